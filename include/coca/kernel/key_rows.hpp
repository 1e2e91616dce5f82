#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "coca/core/scalar.hpp"
#include "coca/kernel/load.hpp"
#include "coca/kernel/panels.hpp"
#include "coca/kernel/sequences.hpp"

/// The keys, or the values, of one head of one sequence, row by row: from a tensor, or from a cache.
namespace coca::inline v0::detail {

/// `count` numbers widened, number i at from + offset(i).
template <Real T, class Offset>
void widen_numbers(ElementType type, const std::byte* from, Index count, T factor, T* to,
                   const Offset& offset) {
  const auto widen = [&]<class X>(X) {
    for (Index i = 0; i < count; ++i) {
      to[i] = static_cast<T>(*reinterpret_cast<const X*>(from + offset(i))) * factor;
    }
  };
  switch (type) {
    case ElementType::float32:
      return widen(float{});
    case ElementType::float64:
      return widen(double{});
    case ElementType::bfloat16:
      return widen(Eigen::bfloat16{});
    case ElementType::float16:
      return widen(Eigen::half{});
    default:
      return widen(std::int8_t{});
  }
}

/// One token's key out of its panel.
template <Real T>
const T* cached_key(const PanelLayout& layout, const PanelPlace& at, Index head, T* to) {
  const T scale =
      layout.scaled() ? static_cast<T>(layout.key_scales(at.page, head, at.panel)[at.lane]) : T(1);
  widen_numbers(layout.type, layout.keys(at.page, head, at.panel), layout.key_dim, scale, to,
                [&](Index i) { return layout.key_offset(at.lane, i); });
  return to;
}

/// One token's value.
template <Real T>
const T* cached_value(const PanelLayout& layout, const PanelPlace& at, Index head, T* to) {
  const T scale = layout.scaled()
                      ? static_cast<T>(layout.value_scales(at.page, head, at.panel)[at.lane])
                      : T(1);
  widen_numbers(layout.type, layout.values(at.page, head, at.panel), layout.value_dim, scale, to,
                [&](Index i) { return layout.value_offset(at.lane, i); });
  return to;
}

/// How a row comes out of a cache: cached_key or cached_value.
template <Real T>
using CachedRow = const T* (*)(const PanelLayout& layout, const PanelPlace& at, Index head, T* to);

template <Real T>
class KeyRows {
 public:
  /// Of a tensor; or of a cache, by `cached_row`, which callers that know of no cache need not compile.
  KeyRows(const AnyInput& tensor, const PanelLayout* cache, CachedRow<T> cached_row,
          const Sequence& sequence, Index head)
      : tensor_(tensor, sequence.batch, head),
        first_(sequence.first_key),
        layout_(cache),
        cached_row_(cached_row),
        cached_(sequence.cached),
        head_(head) {}

  Index width() const { return tensor_.width; }

  /// One row as contiguous T, in `scratch` if it is not that already.
  const T* row(const NarrowEngine* narrow, Index token, T* scratch) const {
    if (cached_ == nullptr) return contiguous_row(narrow, tensor_, first_ + token, scratch);
    return cached_row_(*layout_, cached_->place(*layout_, token), head_, scratch);
  }

  /// One row where it is, if it is contiguous bfloat16 in a tensor; else null.
  const std::byte* bfloat16_row(Index token) const {
    const bool there =
        cached_ == nullptr && tensor_.type == ElementType::bfloat16 && tensor_.step == 1;
    return there ? tensor_(first_ + token) : nullptr;
  }

  /// Asks for a row ahead of its use.
  void prefetch(Index token) const {
    if (cached_ == nullptr) prefetch_row(tensor_, first_ + token);
  }

 private:
  TokenRows<const std::byte> tensor_;
  Index first_;
  const PanelLayout* layout_;
  CachedRow<T> cached_row_;
  const PanelSequence* cached_;
  Index head_;
};

}  // namespace coca::inline v0::detail
