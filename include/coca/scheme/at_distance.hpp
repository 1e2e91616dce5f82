#pragma once

#include <optional>
#include <span>
#include <string>
#include <utility>

#include "coca/core/error.hpp"
#include "coca/position/rope.hpp"
#include "coca/scheme/adjoint.hpp"
#include "coca/scheme/scheme.hpp"

namespace coca::inline v0 {

/// The same query and key, the key that far behind the query. Their places in the tensors stay.
inline Site at_distance(Site site, Position distance) {
  site.key_offset = site.query() - distance - site.key_index;
  return site;
}

/// `Base` with every key at one distance behind its query, wherever the two stand: score(m, n) is the
/// base's score(distance, 0). A logit transform is told that distance too.
/// Throws std::invalid_argument for a base whose score is no function of the distance, and a negative
/// distance.
template <class Base>
class AtDistance : public Base {
  /// Keys at 0 do not turn, and decoding is told so: by a rope that holds still.
  static constexpr bool kStill = TurnsKeys<Base> && requires(const Base& base) {
    base.rope().still();
  };

 public:
  /// A distance of 0 or more tokens.
  AtDistance(Base base, Position distance) : Base(std::move(base)), distance_(distance) {
    if (!is_shift_invariant(static_cast<const Base&>(*this))) {
      detail::reject(
          "scheme", "one whose score is no function of the distance m - n",
          "one whose score is, as Dot, Rotary, CocaStrict and CocaConstrained with a Rope");
    }
    if (distance < 0) detail::reject("distance", std::to_string(distance), "0 or more tokens");
    if constexpr (kStill) still_ = Base::rope().still();
  }

  /// In tokens.
  Position distance() const { return distance_; }

  template <Real T>
  decltype(auto) map_query(std::span<const T> q, const Token& at, std::span<T> phi) const {
    return Base::map_query(q, moved(at, distance_), phi);
  }
  template <Real T>
  decltype(auto) map_key(std::span<const T> k, const Token& at, std::span<T> psi) const {
    return Base::map_key(k, moved(at, 0), psi);
  }
  template <Real T>
    requires(AdjointOfQueries<Base, T> && !KeepsQueries<Base, T>)
  void map_query_adjoint(std::span<const T> q, const Token& at, std::span<T> dphi,
                         std::span<T> dq) const {
    Base::map_query_adjoint(q, moved(at, distance_), dphi, dq);
  }
  template <Real T>
    requires(AdjointOfKeys<Base, T> && !KeepsKeys<Base, T>)
  void map_key_adjoint(std::span<const T> k, const Token& at, std::span<T> dpsi,
                       std::span<T> dk) const {
    Base::map_key_adjoint(k, moved(at, 0), dpsi, dk);
  }
  Turned<kStill ? kTurnedKey<Base> : TurnedKey::no> turned_key() const { return {}; }
  const Rope& rope() const requires kStill { return *still_; }

  template <Real T>
    requires TransformsLogits<Base, T> T logit(T score, const Site& site)
  const { return Base::logit(score, at_distance(site, distance_)); }
  template <Real T>
    requires(TransformsLogits<Base, T>&& DerivesLogits<Base, T>)
  T logit_derivative(T score, const Site& site)
  const { return Base::logit_derivative(score, at_distance(site, distance_)); }

 private:
  static Token moved(Token at, Position position) {
    at.position = position;
    return at;
  }

  Position distance_;
  std::optional<Rope> still_;
};

}  // namespace coca::inline v0
