#pragma once

#include <algorithm>
#include <concepts>
#include <span>
#include <type_traits>
#include <utility>
#include <variant>

#include "coca/scheme/adjoint.hpp"
#include "coca/scheme/scheme.hpp"

namespace coca::inline v0 {

/// One of several schemes, chosen when the program runs: one kernel to compile where a program must
/// offer them all. Its maps are called through the choice, token by token, and so are a little slower
/// than the scheme's own. For schemes that change no logits.
template <class... S>
class OneOf : public SchemeDefaults {
 public:
  /// The one that is chosen.
  template <class Chosen>
    requires(std::same_as<Chosen, S> || ...)
  OneOf(Chosen scheme) : scheme_(std::move(scheme)) {}

  Index key_dim(Index query_dim) const {
    return std::visit([&](const auto& s) -> Index { return s.key_dim(query_dim); }, scheme_);
  }
  Index score_dim(Index query_dim) const {
    return std::visit([&](const auto& s) -> Index { return s.score_dim(query_dim); }, scheme_);
  }
  void check(const AttentionShape& shape) const {
    std::visit([&](const auto& s) { s.check(shape); }, scheme_);
  }
  bool shift_invariant() const {
    return std::visit([](const auto& s) { return is_shift_invariant(s); }, scheme_);
  }
  template <Real T>
  void map_query(std::span<const T> q, const Token& at, std::span<T> phi) const {
    std::visit([&](const auto& s) { s.map_query(q, at, phi); }, scheme_);
  }
  template <Real T>
  void map_key(std::span<const T> k, const Token& at, std::span<T> psi) const {
    std::visit([&](const auto& s) { s.map_key(k, at, psi); }, scheme_);
  }
  /// Where all of them have adjoints; that of an identity is a copy.
  template <Real T>
    requires(AdjointOfQueries<S, T>&&...)
  void map_query_adjoint(std::span<const T> q, const Token& at, std::span<T> dphi,
                         std::span<T> dq) const {
    std::visit(
        [&](const auto& s) {
          if constexpr (KeepsQueries<std::remove_cvref_t<decltype(s)>, T>) {
            std::copy(dphi.begin(), dphi.end(), dq.begin());
          } else {
            s.map_query_adjoint(q, at, dphi, dq);
          }
        },
        scheme_);
  }
  template <Real T>
    requires(AdjointOfKeys<S, T>&&...)
  void map_key_adjoint(std::span<const T> k, const Token& at, std::span<T> dpsi,
                       std::span<T> dk) const {
    std::visit(
        [&](const auto& s) {
          if constexpr (KeepsKeys<std::remove_cvref_t<decltype(s)>, T>) {
            std::copy(dpsi.begin(), dpsi.end(), dk.begin());
          } else {
            s.map_key_adjoint(k, at, dpsi, dk);
          }
        },
        scheme_);
  }
  template <Real T>
  const char* key_defect(std::span<const T> k) const {
    return std::visit(
        [&](const auto& s) -> const char* {
          if constexpr (requires { s.key_defect(k); }) {
            return s.key_defect(k);
          } else {
            return nullptr;
          }
        },
        scheme_);
  }

 private:
  static_assert(!(TransformsLogits<S, float> || ...),
                "coca::OneOf: a scheme that changes logits must be named when it is compiled");
  std::variant<S...> scheme_;
};

}  // namespace coca::inline v0
