#define EIGEN_USE_THREADS
#include <algorithm>
#include <array>
#include <cstdio>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "command_line/cli.hpp"
#include "command_line/progress_bar.hpp"
#include "command_line/stopwatch.hpp"
#include "generate/model.hpp"

/// Generation of text with keys and values in paged caches, one for each layer.
///
/// The model is untrained: its weights are random numbers of a fixed seed, and any size will do. So the
/// text means nothing; the steps, their speed and the memory are those of a trained model of this size.
/// (language_model generates with trained ones.)
namespace generate {
namespace {

struct Arguments {
  Index tokens = 256;
  Index layers = 4;
  std::string scheme = "coca-slack";
  int threads = 1;
  std::string prompt = "Well, Prince, so Genoa and Lucca are now just family estates";
  std::uint64_t seed = 1;
  double temperature = 1.0;
  bool check = false;
};

/// Attention of new tokens to those before them, which every layer has in a cache of its own.
class CachedAttention {
 public:
  CachedAttention(const Model& model, const Eigen::ThreadPoolDevice& device)
      : model_(model), device_(device) {
    for (Index layer = 0; layer < model.layers(); ++layer) {
      caches_.push_back(std::make_unique<coca::PagedCache>(model.attention(layer).cache_options()));
      caches_.back()->add();
    }
  }

  Matrix operator()(Index layer, const Matrix& x) const {
    return model_.attention(layer).forward(x, *caches_[static_cast<std::size_t>(layer)], kSequence,
                                           device_);
  }

  std::size_t bytes() const {
    std::size_t sum = 0;
    for (const auto& cache : caches_) sum += cache->bytes();
    return sum;
  }
  /// What a token takes, in all layers.
  Index token_bytes() const { return model_.layers() * caches_.front()->token_bytes(); }

 private:
  static constexpr std::array<coca::SequenceId, 1> kSequence{0};  ///< the only one of each cache

  const Model& model_;
  const Eigen::ThreadPoolDevice& device_;
  std::vector<std::unique_ptr<coca::PagedCache>> caches_;
};

/// Draws a byte with probabilities softmax(logits / temperature); at temperature 0, the most likely.
Byte sample(const Vector& logits, double temperature, std::mt19937_64& engine) {
  Index best = 0;
  const float most = logits.maxCoeff(&best);
  if (temperature == 0.0) return static_cast<Byte>(best);
  const Eigen::VectorXd weights =
      ((logits.array() - most).cast<double>() / temperature).exp().matrix();
  std::discrete_distribution<int> distribution(weights.data(), weights.data() + weights.size());
  return static_cast<Byte>(distribution(engine));
}

/// Random weights write any bytes: those that are no plain text become dots.
std::string printable(std::span<const Byte> text) {
  std::string result(text.begin(), text.end());
  std::replace_if(
      result.begin(), result.end(), [](char c) { return c < ' ' || c > '~'; }, '.');
  return result;
}

/// The largest difference of the last logits from those without a cache, by coca::attention over
/// the whole text; returns whether it is rounding.
bool check(const Model& model, std::span<const Byte> text, const Vector& logits,
           const Eigen::ThreadPoolDevice& device) {
  const Vector whole = model.next_logits(text, [&](Index layer, const Matrix& x) {
    return model.attention(layer).forward(x, 1, device);
  });
  const float difference = (whole - logits).cwiseAbs().maxCoeff();
  // A sum of n rounded products is off by 8 sqrt(n) u of its size or less, all but surely (Higham &
  // Mary 2019). The longest sums here are of `hidden` terms; a block has six of them one after the
  // other, attention for two, and passes on what came in about as large as it was.
  const float sum = 8.0F * std::sqrt(static_cast<float>(model.hidden())) *
                    std::numeric_limits<float>::epsilon() / 2.0F;
  const float bound =
      2.0F * static_cast<float>(6 * model.layers() + 1) * sum * whole.cwiseAbs().maxCoeff();
  std::printf("last logits with and without a cache: largest difference %.1e, bound %.1e\n",
              static_cast<double>(difference), static_cast<double>(bound));
  return difference <= bound;
}

int run(const Arguments& arguments, layers::Scheme scheme) {
  const Model model({.layers = arguments.layers, .scheme = scheme}, arguments.seed);
  Eigen::ThreadPool pool(arguments.threads);
  const Eigen::ThreadPoolDevice device(&pool, arguments.threads);
  const CachedAttention cached(model, device);
  const Model::Attend attend = std::cref(cached);
  std::mt19937_64 engine(arguments.seed);

  std::vector<Byte> text(arguments.prompt.begin(), arguments.prompt.end());
  const command_line::Stopwatch prefill;
  Vector logits = model.next_logits(text, attend);
  const double prefill_seconds = prefill.seconds();

  const command_line::Stopwatch generation;
  {
    command_line::ProgressBar bar(arguments.tokens);
    for (Index n = 1; n <= arguments.tokens; ++n) {
      text.push_back(sample(logits, arguments.temperature, engine));
      logits = model.next_logits(std::span(text).last(1), attend);
      bar.show(n, static_cast<double>(n) / generation.seconds());
    }
  }
  const double generation_seconds = generation.seconds();

  std::printf("%s\n\n", printable(text).c_str());
  std::printf("prompt:     %zu tokens, %.0f tokens/s\n", arguments.prompt.size(),
              static_cast<double>(arguments.prompt.size()) / prefill_seconds);
  std::printf("generation: %ld tokens, %.0f tokens/s\n", static_cast<long>(arguments.tokens),
              static_cast<double>(arguments.tokens) / generation_seconds);
  std::printf("caches:     %zu bytes in pages, %ld bytes a token (%s)\n", cached.bytes(),
              static_cast<long>(cached.token_bytes()), arguments.scheme.c_str());
  if (arguments.check && !check(model, text, logits, device)) return 1;
  return 0;
}

}  // namespace
}  // namespace generate

int main(int argc, char** argv) {
  generate::Arguments a;
  CLI::App app("Generates text with a small untrained model, keys and values in paged caches.",
               "generate");
  app.add_option("--tokens", a.tokens, "to generate")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--layers", a.layers, "blocks of the model")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--scheme", a.scheme, "how a query and a key make a score")
      ->check(CLI::IsMember({"rotary", "coca-slack", "coca-strict"}))
      ->capture_default_str();
  app.add_option("--threads", a.threads, "threads for attention")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--prompt", a.prompt, "text to go on from")
      ->check([](const std::string& text) { return text.empty() ? "is empty" : ""; })
      ->capture_default_str();
  app.add_option("--seed", a.seed, "of the weights and of what is drawn")->capture_default_str();
  app.add_option("--temperature", a.temperature, "0: always the most likely byte")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  app.add_flag("--check", a.check, "compare the last logits with those without a cache");
  CLI11_PARSE(app, argc, argv);

  if (a.scheme == "rotary") return generate::run(a, layers::Scheme::rotary);
  if (a.scheme == "coca-strict") return generate::run(a, layers::Scheme::coca_strict);
  return generate::run(a, layers::Scheme::coca_slack);
}
