#pragma once

#include <concepts>
#include <span>
#include <type_traits>

#include "coca/scheme/scheme.hpp"

/// What a scheme adds for the backward pass: the adjoints of its maps,
///     map_query_adjoint(std::span<const T> q, const Token&, std::span<T> dphi, std::span<T> dq):
///         dq = (d phi / d q)^T dphi,
///     map_key_adjoint(std::span<const T> k, const Token&, std::span<T> dpsi, std::span<T> dk):
///         dk = (d psi / d k)^T dpsi,
/// at the same operand and token as the map. dphi and dpsi may be overwritten; spans do not overlap. A
/// map that is the identity needs none. A scheme that changes logits has
///     T logit_derivative(T score, const Site&) const,
/// of its `logit` by the scaled score.
namespace coca::inline v0 {

namespace detail {

template <class S, class T>
constexpr bool query_adjoint_is_stale() {
  if constexpr (requires {
                  &S::template map_query<T>;
                  &S::template map_query_adjoint<T>;
                }) {
    return !kOfOneClass<decltype(&S::template map_query<T>),
                        decltype(&S::template map_query_adjoint<T>)>;
  } else if constexpr (requires { &S::template map_query_adjoint<T>; }) {
    return true;  // the map is no template, but its adjoint is: they were not written together
  } else {
    return false;
  }
}
template <class S, class T>
constexpr bool key_adjoint_is_stale() {
  if constexpr (requires {
                  &S::template map_key<T>;
                  &S::template map_key_adjoint<T>;
                }) {
    return !kOfOneClass<decltype(&S::template map_key<T>),
                        decltype(&S::template map_key_adjoint<T>)>;
  } else if constexpr (requires { &S::template map_key_adjoint<T>; }) {
    return true;
  } else {
    return false;
  }
}
template <class S, class T>
constexpr bool logit_derivative_is_stale() {
  if constexpr (requires {
                  &S::template logit<T>;
                  &S::template logit_derivative<T>;
                }) {
    return !kOfOneClass<decltype(&S::template logit<T>),
                        decltype(&S::template logit_derivative<T>)>;
  } else if constexpr (requires { &S::template logit_derivative<T>; }) {
    return true;
  } else {
    return false;
  }
}

}  // namespace detail

/// A scheme whose phi can be gone back through.
template <class S, class T>
concept AdjointOfQueries = KeepsQueries<S, T> ||
    (!detail::query_adjoint_is_stale<S, T>() &&
     requires(const S& scheme, std::span<const T> q, const Token& token, std::span<T> d) {
       scheme.map_query_adjoint(q, token, d, d);
     });
/// A scheme whose psi can be gone back through.
template <class S, class T>
concept AdjointOfKeys = KeepsKeys<S, T> ||
    (!detail::key_adjoint_is_stale<S, T>() &&
     requires(const S& scheme, std::span<const T> k, const Token& token, std::span<T> d) {
       scheme.map_key_adjoint(k, token, d, d);
     });

/// A scheme that leaves logits alone, or says how fast they change.
template <class S, class T>
concept DerivesLogits =
    !TransformsLogits<S, T> || (!detail::logit_derivative_is_stale<S, T>() &&
                                requires(const S& scheme, T score, const Site& site) {
                                  {
                                    scheme.logit_derivative(score, site)
                                    } -> std::convertible_to<T>;
                                });

/// A scheme that the backward pass takes.
template <class S, class T = float>
concept Differentiable = AdjointOfQueries<S, T> && AdjointOfKeys<S, T> && DerivesLogits<S, T>;

}  // namespace coca::inline v0
