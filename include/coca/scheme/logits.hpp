#pragma once

#include <utility>

#include "coca/core/elementary.hpp"
#include "coca/scheme/scheme.hpp"

/// Changes to a score after scaling and before the mask.
namespace coca::inline v0 {

/// A struct with `T operator()(T score, const Site&) const`.
template <class F, class T = float>
concept LogitTransform = requires(const F& transform, T score, const Site& site) {
  { transform(score, site) } -> std::convertible_to<T>;
};

/// cap * tanh(score / cap) (Gemma 2): the score stays within (-cap, cap). cap > 0.
struct SoftCap {
  double cap;

  template <Real T>
  T operator()(T score, const Site&) const {
    return static_cast<T>(cap) * detail::tanh_branchless(score / static_cast<T>(cap));
  }
};

/// `Base` with `transform` applied to its scores, after the base's own transform if it has one.
template <class Base, class Transform>
class WithLogits : public Base {
  static_assert(LogitTransform<Transform, float> || LogitTransform<Transform, double>,
                "coca::WithLogits: a logit transform has T operator()(T score, const Site&) const");

 public:
  WithLogits(Base base, Transform transform)
      : Base(std::move(base)), transform_(std::move(transform)) {}

  template <Real T>
    requires LogitTransform<Transform, T> T logit(T score, const Site& site)
  const {
    if constexpr (TransformsLogits<Base, T>) score = Base::logit(score, site);
    return transform_(score, site);
  }

 private:
  Transform transform_;
};

}  // namespace coca::inline v0
