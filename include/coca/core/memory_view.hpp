#pragma once

#include <cstddef>
#include <cstdint>

#include "coca/core/any_tensor.hpp"
#include "coca/core/any_view.hpp"
#include "coca/core/scalar.hpp"
#include "coca/core/view.hpp"

namespace coca::inline v0::detail {

/// The memory that a view of any type and rank reaches, for checks. It points into the view.
struct MemoryView {
  const void* data;
  Index element_bytes;
  const Index* shape;
  const Index* strides;
  std::size_t rank;

  template <class T, int Rank>
  MemoryView(const View<T, Rank>& x)
      : MemoryView(x.data, static_cast<Index>(sizeof(T)), x.shape, x.strides) {}
  template <class Byte>
  MemoryView(const AnyTensor<Byte>& x)
      : MemoryView(x.data, coca::element_bytes(x.type), x.shape, x.strides) {}
  template <class Byte, int Rank>
  MemoryView(const AnyView<Byte, Rank>& x)
      : MemoryView(x.data, coca::element_bytes(x.type), x.shape, x.strides) {}

  bool empty() const {
    for (std::size_t axis = 0; axis < rank; ++axis) {
      if (shape[axis] == 0) return true;
    }
    return false;
  }

 private:
  template <class Extents>
  MemoryView(const void* first, Index bytes, const Extents& extents, const Extents& steps)
      : data(first),
        element_bytes(bytes),
        shape(extents.data()),
        strides(steps.data()),
        rank(extents.size()) {}
};

}  // namespace coca::inline v0::detail
