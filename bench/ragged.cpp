#define EIGEN_USE_THREADS
#include <benchmark/benchmark.h>

#include <algorithm>
#include <numeric>

#include "paired.hpp"
#include "problem.hpp"
#include "program.hpp"

/// Sequences of different lengths: does the work divide, and what would padding cost.
namespace {

using bench::Index;

const std::vector<Index> kLengths{17, 900, 33, 4096, 250, 2, 1800, 700};
constexpr Index kHeads = 8;
constexpr Index kKeyHeads = 2;

/// Eight sequences, packed one behind the other.
class Packed {
 public:
  explicit Packed(Index dim)
      : problem_(bench::Shape{std::accumulate(kLengths.begin(), kLengths.end(), Index{0}), dim,
                              kHeads, kKeyHeads, true}) {
    for (const Index length : kLengths) starts_.push_back(starts_.back() + length);
  }
  void attend(const bench::Device& device) {
    coca::packed_attention(tokens(problem_.out), tokens(problem_.q), tokens(problem_.k),
                           tokens(problem_.v), starts_, starts_, coca::Dot{}, coca::Causal{}, {},
                           device);
  }

 private:
  /// Without the batch axis.
  static coca::View<float, 3> tokens(bench::Tensor<float>& x) {
    return {x.data(), {x.dimension(1), x.dimension(2), x.dimension(3)}};
  }

  bench::Problem<float> problem_;
  std::vector<std::int64_t> starts_{0};
};

/// The same, padded to the longest: under a causal mask, padding at the end changes nothing.
class Padded {
 public:
  explicit Padded(Index dim) {
    const auto batch = static_cast<Index>(kLengths.size());
    const Index longest = *std::max_element(kLengths.begin(), kLengths.end());
    q_ = bench::Tensor<float>(batch, longest, kHeads, dim);
    k_ = bench::Tensor<float>(batch, longest, kKeyHeads, dim);
    v_ = k_;
    out_ = q_;
    bench::fill(q_, -1.0F, 1);
    bench::fill(k_, -1.0F, 2);
    bench::fill(v_, -1.0F, 3);
  }
  void attend(const bench::Device& device) {
    coca::attention(out_, q_, k_, v_, coca::Dot{}, coca::Causal{}, {}, device);
  }

 private:
  bench::Tensor<float> q_, k_, v_, out_;
};

void add_rows() {
  for (const Index dim : {64, 128}) {
    for (const int threads : bench::thread_counts()) {
      const std::string place =
          "mask:causal/dim:" + std::to_string(dim) + "/threads:" + std::to_string(threads);
      bench::add("padding/" + place, [=](benchmark::State& state) {
        const bench::Threads pool(threads);
        Packed packed(dim);
        Padded padded(dim);
        bench::measure_pair(
            state, [&] { padded.attend(pool.device()); }, [&] { packed.attend(pool.device()); });
      });
      if (threads == 1) continue;
      bench::add("speedup/" + place, [=](benchmark::State& state) {
        const bench::Threads one(1), many(threads);
        Packed packed(dim);
        bench::measure_pair(
            state, [&] { packed.attend(one.device()); }, [&] { packed.attend(many.device()); });
      });
    }
  }
}

}  // namespace

int main(int argc, char** argv) { return bench::run(argc, argv, add_rows); }
