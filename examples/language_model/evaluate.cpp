#include "language_model/evaluate.hpp"

#include <atomic>
#include <cmath>
#include <mutex>
#include <stdexcept>

#include "language_model/corpus.hpp"

namespace language_model {
namespace {

/// Calls work(i) for i below count on all threads, each when its last is done.
void on_all_threads(Eigen::ThreadPool& pool, Index count, const Progress& progress,
                    const std::function<void(Index)>& work) {
  std::atomic<Index> next{0};
  std::mutex mutex;
  long done = 0;
  std::exception_ptr error;
  const auto run = [&] {
    for (Index i = next++; i < count; i = next++) {
      try {
        work(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        error = std::current_exception();
        next = count;
      }
      const std::lock_guard lock(mutex);
      progress(++done);
    }
  };
  Eigen::Barrier others(static_cast<unsigned>(pool.NumThreads() - 1));
  for (int thread = 1; thread < pool.NumThreads(); ++thread) {
    pool.Schedule([&] {
      run();
      others.Notify();
    });
  }
  run();
  others.Wait();
  if (error) std::rethrow_exception(error);
}

}  // namespace

double mean_loss(const Model& model, const Reading& reading, std::span<const Byte> text,
                 Index length, Index windows, Index counted, Eigen::ThreadPool& pool,
                 const Progress& progress) {
  const auto bytes = static_cast<std::size_t>(length) + 1;
  if (text.size() < bytes) {
    throw std::invalid_argument("length: was " + std::to_string(length) +
                                ", expected less than the " + std::to_string(text.size()) +
                                " bytes of the text");
  }
  std::vector<double> losses(static_cast<std::size_t>(windows));
  on_all_threads(pool, windows, progress, [&](Index i) {
    const std::size_t begin = (text.size() - bytes) * static_cast<std::size_t>(i) /
                              static_cast<std::size_t>(std::max<Index>(1, windows - 1));
    const auto window = text.subspan(begin, bytes);
    Reading own = reading;
    own.length = length;
    const Matrix logits = Reader(model, own).read(window.first(bytes - 1), counted);
    double sum = 0.0;
    for (Index n = 0; n < counted; ++n) {
      const auto row = logits.row(n);
      const Index target = window[bytes - static_cast<std::size_t>(counted - n)];
      const double most = static_cast<double>(row.maxCoeff());
      sum += most + std::log((row.cast<double>().array() - most).exp().sum()) -
             static_cast<double>(row[target]);
    }
    losses[static_cast<std::size_t>(i)] = sum / static_cast<double>(counted);
  });
  double sum = 0.0;
  for (const double loss : losses) sum += loss;
  return sum / static_cast<double>(windows);
}

Found passkeys_found(const Model& model, const Reading& reading, std::span<const Byte> prose,
                     Index length, double depth, Index cases, std::uint64_t seed,
                     Eigen::ThreadPool& pool, const Progress& progress) {
  std::atomic<Index> keys{0};
  std::atomic<Index> right{0};
  on_all_threads(pool, cases, progress, [&](Index i) {
    std::seed_seq mixed{seed, static_cast<std::uint64_t>(i)};
    std::mt19937_64 engine(mixed);
    const Text text = Passkey(prose, static_cast<std::size_t>(length), {depth}, engine).text;
    Reading at_length = reading;
    at_length.length = length;
    constexpr auto symbols = static_cast<Index>(Passkey::symbols);
    const Matrix logits =
        Reader(model, at_length).read(std::span<const Byte>(text).first(text.size() - 1), symbols);
    Index own = 0;
    for (Index n = 0; n < symbols; ++n) {
      Index likely = 0;
      logits.row(n).maxCoeff(&likely);
      own += likely == text[text.size() - static_cast<std::size_t>(symbols - n)] ? 1 : 0;
    }
    right += own;
    keys += own == symbols ? 1 : 0;
  });
  return {keys, right};
}

}  // namespace language_model
