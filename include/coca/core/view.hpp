#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <type_traits>
#include <unsupported/Eigen/CXX11/Tensor>

#include "coca/core/scalar.hpp"

/// The one non-owning tensor type behind the front door, and what converts to it without a copy.
namespace coca::inline v0 {

/// Pointer, shape and strides. Strides count elements, in any order, and may be zero (a broadcast)
/// or negative. The pointer is aligned as T is; calls refuse any other. Nothing is owned and nothing is
/// copied.
template <class T, int Rank>
struct View {
  T* data = nullptr;                  ///< the element at index 0 of every axis
  std::array<Index, Rank> shape{};    ///< extents, in elements
  std::array<Index, Rank> strides{};  ///< from an element to the next along an axis, in elements

  /// Of no elements.
  constexpr View() = default;

  /// Any strides.
  constexpr View(T* first, std::array<Index, Rank> extents, std::array<Index, Rank> steps)
      : data(first), shape(extents), strides(steps) {}

  /// Row-major: the last index runs fastest.
  constexpr View(T* first, std::array<Index, Rank> extents) : data(first), shape(extents) {
    Index step = 1;
    for (int axis = Rank; axis-- > 0;) {
      strides[static_cast<std::size_t>(axis)] = step;
      step *= extents[static_cast<std::size_t>(axis)];
    }
  }

  /// A view to write to is also one to read from.
  constexpr operator View<const T, Rank>() const requires(!std::is_const_v<T>) {
    return {data, shape, strides};
  }

  /// The element at one index per axis.
  template <std::convertible_to<Index>... I>
    requires(sizeof...(I) == Rank)
  constexpr T& operator()(I... at) const {
    const std::array<Index, Rank> index{static_cast<Index>(at)...};
    Index offset = 0;
    for (std::size_t axis = 0; axis < Rank; ++axis) offset += index[axis] * strides[axis];
    return data[offset];
  }

  /// The number of elements: the product of the extents.
  constexpr Index size() const {
    Index count = 1;
    for (const Index extent : shape) count *= extent;
    return count;
  }
  /// Asked of the extents: their product may be any number, where strides are 0.
  constexpr bool empty() const { return std::count(shape.begin(), shape.end(), 0) > 0; }
};

/// [batch, sequence, heads, head_dim], the shape of queries, keys, values and outputs.
template <class T>
using TensorView = View<T, 4>;

namespace detail {

template <class T>
struct IsView : std::false_type {};
template <class T, int Rank>
struct IsView<View<T, Rank>> : std::true_type {};

template <class T>
struct IsEigenTensor : std::false_type {};
template <class T, int Rank, int Options, class I>
struct IsEigenTensor<Eigen::Tensor<T, Rank, Options, I>> : std::true_type {};
template <class T, class Dims, int Options, class I>
struct IsEigenTensor<Eigen::TensorFixedSize<T, Dims, Options, I>> : std::true_type {};
template <class Plain, int Options, template <class> class Pointer>
struct IsEigenTensor<Eigen::TensorMap<Plain, Options, Pointer>> : std::true_type {};

/// A matrix, map, block or Ref with memory behind it; an expression such as `a + b` has none.
template <class X>
concept EigenMatrix = requires(const X& x) {
  requires std::derived_from<X, Eigen::DenseBase<X>>;
  requires bool(X::Flags & Eigen::DirectAccessBit);
};

/// Anything that speaks std::mdspan's language, so that its header need not be there.
template <class X>
concept MdspanLike = requires(const X& x) {
  x.data_handle();
  x.extent(std::size_t{0});
  x.stride(std::size_t{0});
  { X::rank() } -> std::convertible_to<std::size_t>;
};

template <class X>
concept Viewable = IsView<X>::value || IsEigenTensor<X>::value || EigenMatrix<X> || MdspanLike<X>;

}  // namespace detail

/// A view of `x` with its own rank: a View, Eigen::Tensor, TensorMap, TensorFixedSize, std::mdspan,
/// or an Eigen matrix (rank 2: rows, columns). A const `x` gives a view to read from.
template <class X>
  requires detail::Viewable<std::remove_cvref_t<X>>
constexpr auto view(X&& x) {
  using Bare = std::remove_cvref_t<X>;
  if constexpr (detail::IsView<Bare>::value) {
    return x;
  } else if constexpr (detail::EigenMatrix<Bare>) {
    using T = std::remove_pointer_t<decltype(x.data())>;
    return View<T, 2>(x.data(), {x.rows(), x.cols()}, {x.rowStride(), x.colStride()});
  } else if constexpr (detail::IsEigenTensor<Bare>::value) {
    using T = std::remove_pointer_t<decltype(x.data())>;
    constexpr int rank = Bare::NumDimensions;
    View<T, rank> result;
    result.data = x.data();
    Index step = 1;
    for (int i = 0; i < rank; ++i) {
      constexpr bool row_major =
          static_cast<int>(Bare::Layout) == static_cast<int>(Eigen::RowMajor);
      const auto axis = static_cast<std::size_t>(row_major ? rank - 1 - i : i);
      result.shape[axis] = static_cast<Index>(x.dimensions()[axis]);
      result.strides[axis] = step;
      step *= result.shape[axis];
    }
    return result;
  } else {
    using T = std::remove_pointer_t<decltype(x.data_handle())>;
    constexpr int rank = static_cast<int>(Bare::rank());
    View<T, rank> result;
    result.data = x.data_handle();
    for (std::size_t axis = 0; axis < static_cast<std::size_t>(rank); ++axis) {
      result.shape[axis] = static_cast<Index>(x.extent(axis));
      result.strides[axis] = static_cast<Index>(x.stride(axis));
    }
    return result;
  }
}

/// The view type of X.
template <class X>
using ViewOf = decltype(view(std::declval<X>()));

namespace detail {

template <class V>
struct RankOf;
template <class T, int Rank>
struct RankOf<View<T, Rank>> : std::integral_constant<int, Rank> {};
template <class V>
struct ValueOf;
template <class T, int Rank>
struct ValueOf<View<T, Rank>> {
  using type = T;
};

}  // namespace detail

/// Whether X can stand for a [batch, sequence, heads, head_dim] tensor: it has four axes, or it is
/// a matrix [sequence, head_dim], one batch entry and one head.
template <class X>
concept TensorLike = detail::Viewable<std::remove_cvref_t<X>> &&
    (detail::RankOf<ViewOf<X>>::value == 4 || detail::RankOf<ViewOf<X>>::value == 2);

/// The four-axis view of a TensorLike.
template <TensorLike X>
constexpr auto tensor_view(X&& x) {
  const auto any = view(std::forward<X>(x));
  using V = std::remove_const_t<decltype(any)>;
  if constexpr (detail::RankOf<V>::value == 4) {
    return any;
  } else {
    return TensorView<typename detail::ValueOf<V>::type>(
        any.data, {1, any.shape[0], 1, any.shape[1]},
        {any.shape[0] * any.strides[0], any.strides[0], any.strides[1], any.strides[1]});
  }
}

/// Whether X can stand for a [tokens, heads, head_dim] tensor.
template <class X>
concept PackedLike = detail::Viewable<std::remove_cvref_t<X>> &&
    (detail::RankOf<ViewOf<X>>::value == 3);

namespace detail {

/// The four-axis view, of one batch entry, of a PackedLike.
template <PackedLike X>
constexpr auto packed_view(X&& x) {
  const auto any = view(x);
  using T = typename ValueOf<std::remove_const_t<decltype(any)>>::type;
  return TensorView<T>(
      any.data, {1, any.shape[0], any.shape[1], any.shape[2]},
      {any.shape[0] * any.strides[0], any.strides[0], any.strides[1], any.strides[2]});
}

}  // namespace detail

/// The element type behind a TensorLike, without const.
template <class X>
using ElementOf = std::remove_const_t<typename detail::ValueOf<ViewOf<X>>::type>;

}  // namespace coca::inline v0
