#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "coca/core/compiled.hpp"
#include "coca/core/scalar.hpp"

/// cos and sin of position * frequency, exact to double at any position, without a table as long as
/// the sequence.
namespace coca::inline v0 {

/// The rotations by n * frequency[j], for every n. A position is written in base 64,
/// n = d0 + 64 d1 + 4096 d2 + ..., and its rotation is the product of one tabled rotation per digit, in
/// double. A row of the table holds the rotations of one digit value, chunk after chunk, cosines before
/// sines, and is made when first needed: 32K tokens touch 134 rows, whatever is asked in between.
/// Reading needs no lock, so one table serves all threads.
class AngleTable {
 public:
  /// Frequencies in radians a token.
  explicit AngleTable(std::vector<double> frequencies);

  /// In radians a token.
  std::span<const double> frequencies() const { return frequencies_; }

  /// Rotations are computed in pieces of this many, so that the loops have a fixed length and become
  /// vector code.
  static constexpr Index chunk = 16;

  /// Writes the cos and sin of n * frequency[first + i] for i < count, times a factor, up to a whole
  /// chunk; beyond the last frequency, those of 0. `first` is a multiple of chunk. From position
  /// 2^30 on, rotations are computed rather than looked up. What a thread asked for last is kept for it:
  /// heads that share a position ask one after another, and those of a short call for the same few.
  template <Real T>
  void cos_sin(Position n, Index first, Index count, T* cosines, T* sines,
               double factor = 1.0) const;

  /// Bytes of table made so far.
  std::size_t bytes() const {
    return rows_made_.load(std::memory_order_relaxed) * row_size() * sizeof(double);
  }

 private:
  template <Real T>
  struct Kept;

  template <Real T>
  void compute(Position n, Index first, Index count, T* cosines, T* sines, double factor) const;

  /// A digit's rows stay in a second-level cache beside what else goes through it.
  static constexpr std::uint64_t kRadix = 64;
  static constexpr int kDigits = 5;
  static constexpr std::uint64_t kEnd = std::uint64_t{1} << 30;  ///< the first number of more

  double frequency(Index j) const {
    const auto index = static_cast<std::size_t>(j);
    return index < frequencies_.size() ? frequencies_[index] : 0.0;
  }
  /// Numbers in a row: whole chunks of cosines and sines.
  std::size_t row_size() const {
    constexpr auto size = static_cast<std::size_t>(chunk);
    return 2 * ((frequencies_.size() + size - 1) / size * size);
  }

  const double* row(int level, std::uint64_t digit) const;

  const double* make_row(int level, std::uint64_t digit, std::size_t slot) const;

  std::vector<double> frequencies_;
  std::uint64_t number_;  ///< of each table another one, from 1 on: an address may come back
  mutable std::mutex growth_;
  mutable std::vector<std::unique_ptr<double[]>> storage_;
  mutable std::array<std::atomic<const double*>, kDigits * kRadix> rows_{};
  mutable std::atomic<std::size_t> rows_made_{0};
};

}  // namespace coca::inline v0

#ifndef COCA_COMPILED
#include "coca/position/angle_table-inl.hpp"
#endif
