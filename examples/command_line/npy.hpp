#pragma once

#include <coca/core/view.hpp>
#include <cstddef>
#include <string>
#include <vector>

#include "command_line/file.hpp"

/// .npy files (NumPy's format 1.0 and 2.0), through xtensor.
namespace command_line {

enum class DType { float16, float32, float64, int64, boolean };

const char* name_of(DType dtype);

template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, Eigen::half>) return DType::float16;
  if constexpr (std::is_same_v<T, float>) return DType::float32;
  if constexpr (std::is_same_v<T, double>) return DType::float64;
  if constexpr (std::is_same_v<T, coca::Position>) return DType::int64;
  if constexpr (std::is_same_v<T, bool>) return DType::boolean;
}

/// An array as it is in its file.
struct Array {
  std::string path;
  DType dtype = DType::float32;
  bool fortran_order = false;
  std::vector<coca::Index> shape;
  std::vector<std::byte> bytes;

  /// All its axes, which must be `Rank`, of type T.
  template <class T, int Rank>
  coca::View<const T, Rank> view() const {
    require(dtype_of<T>(), Rank);
    coca::View<const T, Rank> result(reinterpret_cast<const T*>(bytes.data()), {});
    coca::Index step = 1;
    for (std::size_t i = 0; i < Rank; ++i) {
      const std::size_t axis = fortran_order ? i : Rank - 1 - i;
      result.shape[axis] = shape[axis];
      result.strides[axis] = step;
      step *= shape[axis];
    }
    return result;
  }

  /// [batch, sequence, heads, head_dim], or [sequence, head_dim] for one batch entry and one head.
  template <class T>
  coca::TensorView<const T> tensor() const {
    if (!is_matrix()) return view<T, 4>();
    const auto matrix = view<T, 2>();
    return {matrix.data,
            {1, matrix.shape[0], 1, matrix.shape[1]},
            {0, matrix.strides[0], 0, matrix.strides[1]}};
  }

  /// Whether it has 2 axes; throws FileError unless they are 2 or 4.
  bool is_matrix() const;

  /// Throws FileError unless the array has this type and so many axes.
  void require(DType wanted, std::size_t rank) const;
};

/// Throws FileError for a file that cannot be opened, is not .npy, holds another type than those of
/// DType in little-endian order, is of a shape no memory holds, or ends early.
Array read_npy(const std::string& path);

/// Writes row-major values as .npy. Throws FileError if that cannot be done.
template <class T>
void write_npy(const PendingFile& file, const std::vector<coca::Index>& shape,
               const std::vector<T>& values);

}  // namespace command_line
