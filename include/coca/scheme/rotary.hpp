#pragma once

#include <span>
#include <utility>

#include "coca/position/rope.hpp"
#include "coca/scheme/scheme.hpp"

namespace coca::inline v0 {

/// RoPE attention (Su et al. 2021, equation 16):
///     score(m, n) = (R_m q_m) . (R_n k_n),
/// a function of m - n, q_m and k_n. Keys are as wide as queries and come unrotated. R is Rope, or
/// MultiRope for positions of several axes.
template <class R = Rope>
class Rotary : public SchemeDefaults {
 public:
  /// Of a Rope or a MultiRope.
  explicit Rotary(R rope) : rope_(std::move(rope)) {}

  const R& rope() const { return rope_; }

  void check(const AttentionShape& shape) const { rope_.check(shape.query_dim, shape.batch); }
  bool shift_invariant() const { return rope_.shift_invariant(); }
  template <Real T>
  [[gnu::always_inline]] void map_query(std::span<const T> q, const Token& at,
                                        std::span<T> phi) const {
    turn(q, at, phi);
  }
  template <Real T>
  [[gnu::always_inline]] void map_key(std::span<const T> k, const Token& at,
                                      std::span<T> psi) const {
    turn(k, at, psi);
  }
  Turned<TurnedKey::whole> turned_key() const { return {}; }

  /// Turning back is the adjoint of turning.
  template <Real T>
  [[gnu::always_inline]] void map_query_adjoint(std::span<const T>, const Token& at,
                                                std::span<T> dphi, std::span<T> dq) const {
    turn_back(dphi, at, dq);
  }
  template <Real T>
  [[gnu::always_inline]] void map_key_adjoint(std::span<const T>, const Token& at,
                                              std::span<T> dpsi, std::span<T> dk) const {
    turn_back(dpsi, at, dk);
  }

 private:
  template <Real T>
  [[gnu::always_inline]] void turn(std::span<const T> x, const Token& at,
                                   std::span<T> rotated) const {
    rope_.map_pairs(rope_.place(at.position, at.batch), x.data(), rotated.data(), turn_pair<T>);
  }
  template <Real T>
  [[gnu::always_inline]] void turn_back(std::span<T> x, const Token& at,
                                        std::span<T> turned) const {
    rope_.map_pairs(
        rope_.place(at.position, at.batch), x.data(), turned.data(),
        [](T a, T b, T cosine, T sine, T& u, T& v) { turn_pair(a, b, cosine, -sine, u, v); });
  }

  R rope_;
};

}  // namespace coca::inline v0
