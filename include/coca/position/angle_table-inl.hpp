#pragma once

#include <algorithm>
#include <cmath>
#include <utility>

#include "coca/core/target.hpp"
#include "coca/position/angle_table.hpp"

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

/// Rotations asked for, and who asked for what.
template <Real T>
struct AngleTable::Kept {
  static constexpr Index most = 64;
  alignas(64) T cosines[most];
  alignas(64) T sines[most];
  std::uint64_t table = 0;  ///< 0: none
  Position n = 0;
  Index first = 0;
  Index count = 0;
  double factor = 0.0;

  bool has(std::uint64_t number, Position at, Index begin, Index wanted, double times) const {
    return table == number && n == at && first == begin && count >= wanted && factor == times;
  }
  void set(std::uint64_t number, Position at, Index begin, Index made, double times) {
    table = number;
    n = at;
    first = begin;
    count = made;
    factor = times;
  }
};

COCA_FUNCTION AngleTable::AngleTable(std::vector<double> frequencies)
    : frequencies_(std::move(frequencies)) {
  static std::atomic<std::uint64_t> last{0};
  number_ = last.fetch_add(1, std::memory_order_relaxed) + 1;
}

template <Real T>
void AngleTable::cos_sin(Position n, Index first, Index count, T* cosines, T* sines,
                         double factor) const {
  if (count > Kept<T>::most) return compute(n, first, count, cosines, sines, factor);
  static thread_local Kept<T> kept[4];
  // Parts of one rotation have places of their own, and so have those of a few positions in a row.
  Kept<T>& own = kept[static_cast<std::size_t>(n + first / Kept<T>::most) % 4];
  if (!own.has(number_, n, first, count, factor)) {
    own.table = 0;  // until all is there: a row that takes memory may throw
    compute(n, first, count, own.cosines, own.sines, factor);
    own.set(number_, n, first, count, factor);
  }
  const Index whole = (count + chunk - 1) / chunk * chunk;
  std::copy_n(own.cosines, whole, cosines);
  std::copy_n(own.sines, whole, sines);
}

template <Real T>
void AngleTable::compute(Position n, Index first, Index count, T* cosines, T* sines,
                         double factor) const {
  const auto size = n < 0 ? ~static_cast<std::uint64_t>(n) + 1 : static_cast<std::uint64_t>(n);
  const double sine_factor = n < 0 ? -factor : factor;
  if (size >= kEnd) {
    for (Index i = 0; i < count; ++i) {
      const auto [c, s] = detail::exact_cos_sin(static_cast<double>(size), frequency(first + i));
      cosines[i] = static_cast<T>(factor * c);
      sines[i] = static_cast<T>(sine_factor * s);
    }
    return;
  }
  // Rows of the digits; a rotation by 0 changes nothing and is left out.
  const double* rows[kDigits] = {row(0, size % kRadix)};
  int digits = 1;
  std::uint64_t left = size / kRadix;
  for (int level = 1; left > 0; ++level, left /= kRadix) {
    if (left % kRadix != 0) rows[digits++] = row(level, left % kRadix);
  }
  detail::on_target(
      target(), [&]() __attribute__((always_inline)) {
        for (Index i = 0; i < count; i += chunk) {
          const Index place = 2 * (first + i);
          // Numbers of its own: a loop that writes where it may read does not become vector code.
          double c[chunk], s[chunk];
          for (Index l = 0; l < chunk; ++l) c[l] = rows[0][place + l];
          for (Index l = 0; l < chunk; ++l) s[l] = rows[0][place + chunk + l];
          for (int digit = 1; digit < digits; ++digit) {
            const double* by = rows[digit] + place;
            for (Index l = 0; l < chunk; ++l) {
              const double cosine = c[l] * by[l] - s[l] * by[chunk + l];
              s[l] = s[l] * by[l] + c[l] * by[chunk + l];
              c[l] = cosine;
            }
          }
          for (Index l = 0; l < chunk; ++l) cosines[i + l] = static_cast<T>(factor * c[l]);
          for (Index l = 0; l < chunk; ++l) sines[i + l] = static_cast<T>(sine_factor * s[l]);
        }
      });
}

COCA_FUNCTION const double* AngleTable::row(int level, std::uint64_t digit) const {
  const std::size_t slot = static_cast<std::size_t>(level) * kRadix + digit;
  const double* values = rows_[slot].load(std::memory_order_acquire);
  return values != nullptr ? values : make_row(level, digit, slot);
}

COCA_FUNCTION const double* AngleTable::make_row(int level, std::uint64_t digit,
                                                 std::size_t slot) const {
  const std::lock_guard lock(growth_);
  if (const double* made = rows_[slot].load(std::memory_order_relaxed)) return made;
  auto values = std::make_unique<double[]>(row_size());
  const auto n = static_cast<double>(digit << (6 * level));
  for (std::size_t i = 0; i < row_size(); i += 2 * static_cast<std::size_t>(chunk)) {
    for (std::size_t j = 0; j < static_cast<std::size_t>(chunk); ++j) {
      const auto pair = static_cast<Index>(i / 2 + j);
      const auto [cosine, sine] = detail::exact_cos_sin(n, frequency(pair));
      values[i + j] = cosine;
      values[i + static_cast<std::size_t>(chunk) + j] = sine;
    }
  }
  storage_.push_back(std::move(values));
  rows_[slot].store(storage_.back().get(), std::memory_order_release);
  rows_made_.fetch_add(1, std::memory_order_relaxed);
  return storage_.back().get();
}

}  // namespace coca::inline v0
