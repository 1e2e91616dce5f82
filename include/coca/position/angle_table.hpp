#pragma once

#include <array>
#include <atomic>
#include <cmath>
#include <memory>
#include <mutex>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "coca/core/scalar.hpp"

/// cos and sin of position * frequency, exact to double at any position, without a table as long as
/// the sequence.
namespace coca::inline v0 {

namespace detail {

/// cos and sin of n * frequency. The product is taken exactly, n * frequency = p + e, because its
/// rounding alone would cost 1e-9 radians at ten million tokens.
inline std::pair<double, double> exact_cos_sin(double n, double frequency) {
  const double p = n * frequency;
  const double e = std::fma(n, frequency, -p);
  return {std::cos(p) * std::cos(e) - std::sin(p) * std::sin(e),
          std::sin(p) * std::cos(e) + std::cos(p) * std::sin(e)};
}

}  // namespace detail

/// The rotations by n * frequency[j], for every n. A position is written in base 256,
/// n = d0 + 256 d1 + 65536 d2, and its rotation is the product of one tabled rotation per digit, in
/// double. A row of the table holds the rotations of one digit value and is made when first needed:
/// 32K tokens touch 384 rows, whatever is asked in between. Reading needs no lock, so one table
/// serves all threads.
class AngleTable {
 public:
  explicit AngleTable(std::vector<double> frequencies) : frequencies_(std::move(frequencies)) {}

  std::span<const double> frequencies() const { return frequencies_; }

  /// Writes the cos and sin of n * frequency[first + i] for i < count. Rotations beyond position
  /// 2^28 are computed rather than looked up.
  template <Real T>
  void cos_sin(Position n, Index first, Index count, T* cosines, T* sines) const {
    const double sign = n < 0 ? -1.0 : 1.0;
    const auto size = n < 0 ? ~static_cast<std::uint64_t>(n) + 1 : static_cast<std::uint64_t>(n);
    if (size >= kRadix * kRadix * kTopRows) {
      for (Index i = 0; i < count; ++i) {
        const auto [c, s] = detail::exact_cos_sin(static_cast<double>(size), frequency(first + i));
        cosines[i] = static_cast<T>(c);
        sines[i] = static_cast<T>(sign * s);
      }
      return;
    }
    const Row low = row(0, size % kRadix, first);
    const std::uint64_t mid_digit = size / kRadix % kRadix;
    const std::uint64_t top_digit = size / (kRadix * kRadix);
    if (mid_digit == 0 && top_digit == 0) {
      for (Index i = 0; i < count; ++i) {
        cosines[i] = static_cast<T>(low.cosines[i]);
        sines[i] = static_cast<T>(sign * low.sines[i]);
      }
      return;
    }
    const Row mid = row(1, mid_digit, first);
    if (top_digit == 0) {
      for (Index i = 0; i < count; ++i) {
        cosines[i] = static_cast<T>(low.cosines[i] * mid.cosines[i] - low.sines[i] * mid.sines[i]);
        sines[i] =
            static_cast<T>(sign * (low.sines[i] * mid.cosines[i] + low.cosines[i] * mid.sines[i]));
      }
      return;
    }
    const Row top = row(2, top_digit, first);
    for (Index i = 0; i < count; ++i) {
      const double c = low.cosines[i] * mid.cosines[i] - low.sines[i] * mid.sines[i];
      const double s = low.sines[i] * mid.cosines[i] + low.cosines[i] * mid.sines[i];
      cosines[i] = static_cast<T>(c * top.cosines[i] - s * top.sines[i]);
      sines[i] = static_cast<T>(sign * (s * top.cosines[i] + c * top.sines[i]));
    }
  }

  /// Bytes of table made so far.
  std::size_t bytes() const {
    return rows_made_.load(std::memory_order_relaxed) * frequencies_.size() * 2 * sizeof(double);
  }

 private:
  static constexpr std::uint64_t kRadix = 256;
  static constexpr std::uint64_t kTopRows = 4096;

  struct Row {
    const double* cosines;
    const double* sines;
  };

  double frequency(Index j) const { return frequencies_[static_cast<std::size_t>(j)]; }

  Row row(int level, std::uint64_t digit, Index first) const {
    const std::size_t slot = static_cast<std::size_t>(level) * kRadix + digit;
    const double* values = rows_[slot].load(std::memory_order_acquire);
    if (values == nullptr) values = make_row(level, digit, slot);
    return {values + first, values + static_cast<Index>(frequencies_.size()) + first};
  }

  const double* make_row(int level, std::uint64_t digit, std::size_t slot) const {
    const std::lock_guard lock(growth_);
    if (const double* made = rows_[slot].load(std::memory_order_relaxed)) return made;
    const std::size_t pairs = frequencies_.size();
    auto values = std::make_unique<double[]>(2 * pairs);
    const auto n = static_cast<double>(digit << (8 * level));
    for (std::size_t j = 0; j < pairs; ++j) {
      std::tie(values[j], values[pairs + j]) = detail::exact_cos_sin(n, frequencies_[j]);
    }
    storage_.push_back(std::move(values));
    rows_[slot].store(storage_.back().get(), std::memory_order_release);
    rows_made_.fetch_add(1, std::memory_order_relaxed);
    return storage_.back().get();
  }

  std::vector<double> frequencies_;
  mutable std::mutex growth_;
  mutable std::vector<std::unique_ptr<double[]>> storage_;
  mutable std::array<std::atomic<const double*>, 2 * kRadix + kTopRows> rows_{};
  mutable std::atomic<std::size_t> rows_made_{0};
};

}  // namespace coca::inline v0
