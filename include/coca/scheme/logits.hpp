#pragma once

#include <utility>

#include "coca/scheme/adjoint.hpp"
#include "coca/scheme/scheme.hpp"

/// Changes to a score after scaling, before the soft-cap and the mask.
namespace coca::inline v0 {

/// A struct with `T operator()(T score, const Site&) const`.
template <class F, class T = float>
concept LogitTransform = requires(const F& transform, T score, const Site& site) {
  { transform(score, site) } -> std::convertible_to<T>;
};

/// `Base` with `transform` applied to its scores, after the base's own transform if it has one.
template <class Base, class Transform>
class WithLogits : public Base {
  static_assert(LogitTransform<Transform, float> || LogitTransform<Transform, double>,
                "coca::WithLogits: a logit transform has T operator()(T score, const Site&) const");

 public:
  /// Both are kept by value.
  WithLogits(Base base, Transform transform)
      : Base(std::move(base)), transform_(std::move(transform)) {}

  template <Real T>
    requires LogitTransform<Transform, T> T logit(T score, const Site& site)
  const {
    if constexpr (TransformsLogits<Base, T>) score = Base::logit(score, site);
    return transform_(score, site);
  }

  /// By the chain rule, for a transform with `T derivative(T score, const Site&) const`.
  template <Real T>
    requires DerivesLogits<Base, T> &&
        requires(const Transform& transform, T score, const Site& site) {
      { transform.derivative(score, site) } -> std::convertible_to<T>;
    }
  T logit_derivative(T score, const Site& site) const {
    T slope = T(1);
    if constexpr (TransformsLogits<Base, T>) {
      slope = Base::logit_derivative(score, site);
      score = Base::logit(score, site);
    }
    return slope * transform_.derivative(score, site);
  }

 private:
  Transform transform_;
};

}  // namespace coca::inline v0
