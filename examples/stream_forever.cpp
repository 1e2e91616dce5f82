#include <algorithm>
#include <array>
#include <chrono>
#include <coca/coca.hpp>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "command_line/cli.hpp"
#include "command_line/rounding.hpp"

/// Attention over a stream without end in constant memory and time a token: a coca::RollingCache
/// keeps the first tokens and the last ones. The stream is a book, from its start again at its end.
///
/// The scheme is CoCA strict, whose score depends on the distance of two tokens alone: positions in
/// the cache fall as tokens are dropped.
namespace {

using coca::Index;
using Tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;

constexpr Index kHeads = 8;
constexpr Index kKeyHeads = 2;
constexpr Index kDim = 64;

struct Arguments {
  std::string book;
  coca::RollingOptions rolling;
  Index chunk = 16;
  Index tokens = 0;
};

/// Operands of attention for every byte value: random numbers, uniform in [low, 1).
class Embedding {
 public:
  Embedding(Index heads, Index dim, float low, std::uint64_t seed)
      : heads_(heads), dim_(dim), rows_(static_cast<std::size_t>(256 * heads * dim)) {
    std::mt19937_64 engine(seed);
    std::uniform_real_distribution<float> uniform(low, 1.0F);
    std::generate(rows_.begin(), rows_.end(), [&] { return uniform(engine); });
  }
  /// [1, tokens, heads, dim].
  Tensor operator()(const std::string& text) const {
    Tensor x(1, static_cast<Index>(text.size()), heads_, dim_);
    float* to = x.data();
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      to = std::copy_n(rows_.begin() + byte * heads_ * dim_, heads_ * dim_, to);
    }
    return x;
  }

 private:
  Index heads_, dim_;
  std::vector<float> rows_;
};

/// The book, over and over.
class Stream {
 public:
  explicit Stream(std::string book) : book_(std::move(book)) {}

  /// Tokens `first` to `end` - 1.
  std::string tokens(Index first, Index end) const {
    std::string text;
    for (Index n = first; n < end; ++n) {
      text.push_back(book_[static_cast<std::size_t>(n) % book_.size()]);
    }
    return text;
  }

 private:
  std::string book_;
};

int run(const Arguments& a, const Stream& stream) {
  const coca::CocaStrict scheme{coca::Rope({.dim = kDim})};
  const Index key_dim = scheme.key_dim(kDim);
  const Embedding query(kHeads, kDim, -1.0F, 1);
  const Embedding t(kKeyHeads, key_dim, 0.0F, 2);  // t is not negative
  const Embedding value(kKeyHeads, kDim, -1.0F, 3);

  coca::RollingCache cache({.key_heads = kKeyHeads, .key_dim = key_dim, .value_dim = kDim},
                           a.rolling);
  const std::array sequence{cache.add()};
  std::printf("%12s %12s %12s %12s\n", "tokens seen", "tokens held", "cache bytes", "tokens/s");
  // Ten lines, however long the stream.
  const Index every = std::max<Index>(1, a.tokens / 10);
  Index reported = 0;
  Tensor q, out;
  auto start = std::chrono::steady_clock::now();
  for (Index seen = 0; seen < a.tokens;) {
    const Index end = std::min(seen + a.chunk, a.tokens);
    const std::string text = stream.tokens(seen, end);
    q = query(text);
    out.resize(q.dimensions());
    cache.append(sequence, t(text), value(text));
    coca::decode(out, q, cache, sequence, scheme);
    seen = end;
    if (seen - reported < every && seen < a.tokens) continue;
    const auto now = std::chrono::steady_clock::now();
    const std::chrono::duration<double> taken = now - start;
    std::printf("%12ld %12ld %12zu %12.0f\n", static_cast<long>(seen),
                static_cast<long>(cache.length(sequence[0])), cache.bytes(),
                static_cast<double>(seen - reported) / taken.count());
    std::fflush(stdout);
    reported = seen;
    start = now;
  }

  // The same from the stream itself: its first tokens and its last ones, as if there were no others.
  const Index sinks = std::min(a.rolling.sinks, a.tokens);
  const std::string held = stream.tokens(0, sinks) +
                           stream.tokens(std::max(sinks, a.tokens - a.rolling.window), a.tokens);
  Tensor expected(out.dimensions());
  coca::attention(expected, q, t(held), value(held), scheme, coca::Causal{});
  const Eigen::Tensor<float, 0, Eigen::RowMajor> difference = (out - expected).abs().maximum();
  const double allowed = command_line::attention_rounding(kDim, static_cast<Index>(held.size()));
  std::printf(
      "\nThe last output and attention over the %zu tokens held: largest difference %.1e, "
      "bound %.1e\n",
      held.size(), static_cast<double>(difference()), allowed);
  return static_cast<double>(difference()) <= allowed ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments a;
  CLI::App app("Attends to a stream without end with a cache of constant size.", "stream_forever");
  app.add_option("book", a.book, "a text file")->required()->check(CLI::ExistingFile);
  app.add_option("--sinks", a.rolling.sinks, "first tokens to keep")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  app.add_option("--window", a.rolling.window, "last tokens to keep, no fewer than --chunk")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--chunk", a.chunk, "tokens that come at a time")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--tokens", a.tokens, "where the stream ends; the book once unless given")
      ->check(CLI::Range(1, 1 << 30));
  CLI11_PARSE(app, argc, argv);

  std::ifstream file(a.book, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (text.empty() || a.chunk > a.rolling.window) {
    std::fprintf(stderr, "stream_forever: %s\n",
                 text.empty()
                     ? (a.book + " is empty or cannot be read").c_str()
                     : "--chunk is more than --window: its tokens would be dropped at once");
    return 1;
  }
  if (a.tokens == 0) a.tokens = static_cast<Index>(text.size());
  return run(a, Stream(std::move(text)));
}
