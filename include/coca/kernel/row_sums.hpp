#pragma once

#include <algorithm>
#include <cmath>

#include "coca/core/scalar.hpp"
#include "coca/kernel/softmax.hpp"
#include "coca/kernel/tile_functions.hpp"

/// The sums of rows over some of their keys, and how those over others join them.
namespace coca::inline v0::detail {

/// Of each row: sums of 2^(score - maximum) v and, in a vector behind them, of 2^(score - maximum).
template <Real T>
struct RowSums {
  T* first = nullptr;   ///< rows x width
  T* maxima = nullptr;  ///< rows
  Index width = 0;

  T* row(Index number) const { return first + number * width; }

  void clear(Index rows) const {
    std::fill_n(first, rows * width, T(0));
    std::fill_n(maxima, rows, kMinusInfinity<T>);
  }
  /// Takes the sums of as many rows instead of its own.
  void assign(const RowSums& other, Index rows) const {
    std::copy_n(other.first, rows * width, first);
    std::copy_n(other.maxima, rows, maxima);
  }
  /// Adds the sums of as many rows over other keys, both brought to the larger maximum.
  void merge(const TileEngine<T>& engine, const RowSums& other, Index rows) const {
    for (Index row = 0; row < rows; ++row) merge_row(engine, other, row);
  }

 private:
  void merge_row(const TileEngine<T>& engine, const RowSums& other, Index number) const {
    const T own_maximum = maxima[number];
    const T other_maximum = other.maxima[number];
    const T top = other_maximum > own_maximum ? other_maximum : own_maximum;
    T factor(1);
    T other_factor(1);
    // If there is no maximum yet, there may be NaN among the sums.
    if (top != kMinusInfinity<T> || std::isnan(other_maximum)) {
      factor = std::exp2(own_maximum - top);
      other_factor = std::exp2(other_maximum - top);
    }
    engine.add_scaled(row(number), factor, other.row(number), other_factor, width);
    maxima[number] = top;
  }
};

}  // namespace coca::inline v0::detail
