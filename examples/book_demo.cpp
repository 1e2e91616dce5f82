#define EIGEN_USE_THREADS
#include <algorithm>
#include <array>
#include <chrono>
#include <coca/coca.hpp>
#include <coca/reference/attention.hpp>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

/// CoCA attention over the bytes of a book: time and work memory of each form as the text grows,
/// and how far the forms agree with each other and with the definition.
namespace {

using coca::Index;
using Tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;

// The attention of a small LLaMA-like model: four query heads to a key head.
constexpr Index kHeads = 8;
constexpr Index kKeyHeads = 2;
constexpr Index kDim = 128;
constexpr int kThreads = 2;

/// A fixed random projection of bytes: one row of normal numbers for each byte value.
class Projection {
 public:
  Projection(std::uint64_t seed, Index width)
      : width_(width), rows_(256 * static_cast<std::size_t>(width)) {
    std::mt19937_64 engine(seed);
    for (float& x : rows_) {
      // The sum of 12 uniform numbers: close to normal, and the same on every machine.
      double sum = -6.0;
      for (int i = 0; i < 12; ++i) sum += static_cast<double>(engine() >> 11) * 0x1p-53;
      x = static_cast<float>(sum);
    }
  }
  /// [1, length, heads, dim] of the text's first `length` bytes.
  Tensor operator()(const std::string& text, Index length, Index heads) const {
    Tensor x(1, length, heads, width_ / heads);
    for (Index n = 0; n < length; ++n) {
      const auto byte = static_cast<unsigned char>(text[static_cast<std::size_t>(n)]);
      std::copy_n(rows_.begin() + byte * width_, width_, x.data() + n * width_);
    }
    return x;
  }

 private:
  Index width_;
  std::vector<float> rows_;
};

struct Operands {
  Tensor q, k, t, v;
  Operands(const std::string& text, Index length)
      : q(Projection(1, kHeads * kDim)(text, length, kHeads)),
        k(Projection(2, kKeyHeads * kDim)(text, length, kKeyHeads)),
        t(Projection(3, kKeyHeads * kDim / 2)(text, length, kKeyHeads)),
        v(Projection(4, kKeyHeads * kDim)(text, length, kKeyHeads)) {
    t = t.cwiseMax(0.0F);  // t is not negative
  }
  Index length() const { return q.dimension(1); }
};

double apart(const Tensor& a, const Tensor& b) {
  const Eigen::Tensor<float, 0, Eigen::RowMajor> result = (a - b).abs().maximum();
  return static_cast<double>(result());
}

std::string bytes_text(double bytes) {
  const std::array<const char*, 5> units{"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  while (bytes >= 1024.0 && unit + 1 < units.size()) {
    bytes /= 1024.0;
    ++unit;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.3g %s", bytes, units[unit]);
  return text.data();
}

/// Runs one form over one length and prints its line of the table.
template <class S>
void measure(const char* name, const S& scheme, const Tensor& key, const Operands& x,
             const Eigen::ThreadPoolDevice& device) {
  Tensor out(x.q.dimensions());
  const auto run = [&] { coca::attention(out, x.q, key, x.v, scheme, coca::Causal{}, {}, device); };
  run();  // makes the work memory and the table of angles
  double seconds = 1e9;
  for (int repeat = 0; repeat < 3 && (repeat == 0 || seconds < 1.0); ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    run();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    seconds = std::min(seconds, taken.count());
  }
  const auto n = static_cast<double>(x.length());
  // Two products over the lower triangle of scores.
  const double operations = 2.0 * n * (n + 1.0) * static_cast<double>(kHeads * kDim);
  const double work = static_cast<double>(kThreads * coca::workspace_bytes(x.q, key, x.v, scheme));
  const double definition = n * n * static_cast<double>(kHeads * kDim) * sizeof(float);
  std::printf("%8ld   %-16s %9.1f ms %9.1f   %11s   %s\n", static_cast<long>(x.length()), name,
              1e3 * seconds, 1e-9 * operations / seconds, bytes_text(work).c_str(),
              std::string(name) == "CoCA strict" ? bytes_text(definition).c_str() : "");
  std::fflush(stdout);
}

template <class S>
Tensor attended(const S& scheme, const Tensor& q, const Operands& x) {
  Tensor out(q.dimensions());
  coca::attention(out, q, x.t, x.v, scheme, coca::Causal{});
  return out;
}

/// How far the forms agree, on the first tokens of the text.
void compare_forms(const std::string& text, const coca::Rope& rope) {
  const Operands x(text, 128);
  const Tensor strict = attended(coca::CocaStrict{rope}, x.q, x);
  const Tensor slack = attended(coca::CocaSlack{rope}, x.q, x);

  using Wide = Eigen::Tensor<double, 4, Eigen::RowMajor>;
  const Wide q = x.q.cast<double>(), t = x.t.cast<double>(), v = x.v.cast<double>();
  Wide definition(q.dimensions());
  coca::reference::attention(coca::view(definition), coca::view(q), coca::view(t), coca::view(v),
                             coca::reference::StrictScore{rope}, coca::Causal{});

  // Queries whose pairs have equal members, the paper's extra constraint: the mean of each pair.
  Tensor equal(x.q.dimensions());
  const std::array<Index, 4> half{1, 128, kHeads, kDim / 2}, first{0, 0, 0, 0},
      second{0, 0, 0, kDim / 2};
  const Tensor means = 0.5F * (x.q.slice(first, half) + x.q.slice(second, half));
  equal.slice(first, half) = means;
  equal.slice(second, half) = means;
  const Tensor strict_of_equal = attended(coca::CocaStrict{rope}, equal, x);

  const auto line = [](const char* what, double difference) {
    std::printf("  %-62s %.1e\n", what, difference);
  };
  std::printf("\nLargest difference of an output, over 128 tokens\n");
  line("strict, factored, and strict by definition (in double)",
       apart(strict, definition.cast<float>()));
  line("slack and strict, where both members of query pairs are equal",
       apart(attended(coca::CocaSlack{rope}, equal, x), strict_of_equal));
  line("constrained, and strict of the query made so",
       apart(attended(coca::CocaConstrained{rope}, x.q, x), strict_of_equal));
  line("slack and strict, on the text as it is (two different scores)", apart(slack, strict));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: book_demo TEXT_FILE\n");
    return 2;
  }
  std::ifstream file(argv[1], std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (text.size() < 512) {
    std::fprintf(stderr, "book_demo: %s cannot be read or is shorter than 512 bytes\n", argv[1]);
    return 1;
  }

  std::printf(
      "Causal attention over the bytes of %s: %ld query heads, %ld key heads, head_dim %ld,"
      " %d threads\n\n",
      argv[1], static_cast<long>(kHeads), static_cast<long>(kKeyHeads), static_cast<long>(kDim),
      kThreads);
  std::printf("%8s   %-16s %12s %9s   %11s   %s\n", "tokens", "form", "time", "GFLOP/s",
              "work memory", "keys of strict by definition");
  const coca::Rope rope({.dim = kDim});
  Eigen::ThreadPool pool(kThreads);
  const Eigen::ThreadPoolDevice device(&pool, kThreads);
  for (Index length = 512; length <= 8192 && length <= static_cast<Index>(text.size());
       length *= 2) {
    const Operands x(text, length);
    measure("RoPE", coca::Rotary{rope}, x.k, x, device);
    measure("CoCA strict", coca::CocaStrict{rope}, x.t, x, device);
    measure("CoCA slack", coca::CocaSlack{rope}, x.t, x, device);
    measure("CoCA constrained", coca::CocaConstrained{rope}, x.t, x, device);
  }
  compare_forms(text, rope);
}
