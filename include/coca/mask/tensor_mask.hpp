#pragma once

#include <array>
#include <limits>
#include <string>
#include <string_view>

#include "coca/core/aligned.hpp"
#include "coca/core/error.hpp"
#include "coca/core/view.hpp"
#include "coca/mask/mask.hpp"

/// Masks a user brings as a tensor.
namespace coca::inline v0 {

namespace detail {

/// A tensor over [batch, query heads, queries, keys] in which an axis of extent 1 stands for all.
/// A matrix is [queries, keys]. Not owned: it must live as long as the mask.
template <class T>
class BroadcastTensor {
 public:
  template <Viewable X>
  BroadcastTensor(std::string_view name, const X& x) : name_(name) {
    const auto any = view(x);
    using V = std::remove_const_t<decltype(any)>;
    static_assert(
        RankOf<V>::value == 4 || RankOf<V>::value == 2,
        "coca: a mask tensor has 4 axes [batch, heads, queries, keys] or 2 [queries, keys]");
    if constexpr (RankOf<V>::value == 4) {
      values_ = any;
    } else {
      values_ = View<const T, 4>(any.data, {1, 1, any.shape[0], any.shape[1]},
                                 {0, 0, any.strides[0], any.strides[1]});
    }
    for (std::size_t axis = 0; axis < 4; ++axis) {
      if (values_.shape[axis] == 1) values_.strides[axis] = 0;
    }
  }

  void check(const AttentionShape& shape) const {
    check_aligned(name_, values_);
    const std::array<Index, 4> wanted{shape.batch, shape.query_heads, shape.queries, shape.keys};
    for (std::size_t axis = 0; axis < 4; ++axis) {
      if (values_.shape[axis] == wanted[axis] || values_.shape[axis] == 1) continue;
      reject(name_, "of shape " + list_text(values_.shape),
             list_text(wanted) + " with 1 where it is the same for all");
    }
  }
  const T& at(const Site& site) const {
    return values_(site.batch, site.head, site.query_index, site.key_index);
  }
  /// Calls visit(value) for the distinct elements of a tile until it returns false.
  template <class Visit>
  void for_each(const MaskTile& tile, Visit&& visit) const {
    const auto end = [&](std::size_t axis, Index begin, Index last) {
      return values_.strides[axis] == 0 ? begin + 1 : last;
    };
    for (Index h = tile.head_begin; h < end(1, tile.head_begin, tile.head_end); ++h) {
      for (Index q = tile.query_begin; q < end(2, tile.query_begin, tile.query_end); ++q) {
        for (Index k = tile.key_begin; k < end(3, tile.key_begin, tile.key_end); ++k) {
          if (!visit(values_(tile.batch, h, q, k))) return;
        }
      }
    }
  }

 private:
  std::string_view name_;
  View<const T, 4> values_;
};

}  // namespace detail

/// True where a query sees a key, [batch, heads, queries, keys] with extents of 1 for "the same for
/// all", or a matrix [queries, keys]; by place in the tensors, not by position. The tensor is not
/// copied and must outlive the mask.
class BooleanMask : public MaskDefaults {
 public:
  /// Of an Eigen::Tensor, TensorMap, std::mdspan, coca::View or Eigen matrix of bool.
  template <detail::Viewable X>
  explicit BooleanMask(const X& allowed) : allowed_("mask", allowed) {}

  void check(const AttentionShape& shape) const { allowed_.check(shape); }
  Coverage classify(const MaskTile& tile) const {
    bool any = false;
    bool all = true;
    allowed_.for_each(tile, [&](bool allowed) {
      any |= allowed;
      all &= allowed;
      return all || !any;
    });
    return all ? Coverage::full : any ? Coverage::mixed : Coverage::empty;
  }
  bool visible(const Site& site) const { return allowed_.at(site); }

 private:
  detail::BroadcastTensor<bool> allowed_;
};

/// Added to the scores after scale and soft-cap, of the same shapes as a BooleanMask; -inf hides a
/// key. The tensor is not copied and must outlive the mask.
template <Element T>
class AdditiveBias : public MaskDefaults {
 public:
  /// Of an Eigen::Tensor, TensorMap, std::mdspan, coca::View or Eigen matrix of T.
  template <detail::Viewable X>
  explicit AdditiveBias(const X& bias) : bias_("bias", bias) {}

  void check(const AttentionShape& shape) const { bias_.check(shape); }
  Coverage classify(const MaskTile&) const { return Coverage::mixed; }
  bool visible(const Site& site) const {
    return static_cast<Accumulator<T>>(bias_.at(site)) !=
           -std::numeric_limits<Accumulator<T>>::infinity();
  }
  Accumulator<T> bias(const Site& site) const {
    return static_cast<Accumulator<T>>(bias_.at(site));
  }

 private:
  detail::BroadcastTensor<T> bias_;
};

/// The type follows from the tensor.
template <detail::Viewable X>
AdditiveBias(const X&) -> AdditiveBias<ElementOf<X>>;

}  // namespace coca::inline v0
