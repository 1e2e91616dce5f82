#pragma once

#include <Eigen/Core>
#include <type_traits>

#include "coca/core/scalar.hpp"

/// The two matrix products of a tile. All else in kernel/ sees only these and the layouts they
/// want: row-major tiles, a row per query or per key. They are Eigen's.
namespace coca::inline v0::detail {

template <class T>
using Rows = Eigen::Map<
    std::conditional_t<std::is_const_v<T>,
                       const Eigen::Matrix<std::remove_const_t<T>, Eigen::Dynamic, Eigen::Dynamic,
                                           Eigen::RowMajor>,
                       Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>,
    Eigen::Unaligned, Eigen::OuterStride<>>;

template <class T>
Rows<T> rows_of(T* first, Index rows, Index columns, Index stride) {
  return Rows<T>(first, rows, columns, Eigen::OuterStride<>(stride));
}

/// scores[rows x keys] = queries[rows x depth] * keys[keys x depth]^T.
/// scores has rows of `stride` elements; the operands have no gaps.
template <Real T>
void score_product(const T* queries, const T* keys, T* scores, Index rows, Index key_count,
                   Index depth, Index stride) {
  rows_of(scores, rows, key_count, stride).noalias() =
      rows_of(queries, rows, depth, depth) * rows_of(keys, key_count, depth, depth).transpose();
}

/// sums[rows x value_dim] += weights[rows x keys] * values[keys x value_dim].
/// weights has rows of `stride` elements; the others have no gaps.
template <Real T>
void weighted_sum(const T* weights, const T* values, T* sums, Index rows, Index key_count,
                  Index value_dim, Index stride) {
  rows_of(sums, rows, value_dim, value_dim).noalias() +=
      rows_of(weights, rows, key_count, stride) * rows_of(values, key_count, value_dim, value_dim);
}

}  // namespace coca::inline v0::detail
