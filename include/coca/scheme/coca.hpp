#pragma once

#include <span>
#include <utility>

#include "coca/position/rope.hpp"
#include "coca/scheme/scheme.hpp"

/// Collinear Constrained Attention (Zhu et al., ACL 2024, arXiv 2309.08646): the key is the query
/// itself, stretched pair by pair by a non-negative t_n, so that no angle is left between them but
/// the one of their positions. The key operand is t, not a key.
///
/// Notation: pair j of q has members (a, b); t_j >= 0 is one number a pair; theta_j is the pair's
/// frequency; R_n turns pair j by n theta_j.
namespace coca::inline v0 {

/// The key operand is t itself: head_dim/2 numbers a token, not negative. A negative t is an error
/// in checked mode; otherwise it is taken as it is, and the pair's score changes its sign.
struct NonNegativeT {
  static Index key_dim(Index query_dim) { return query_dim / 2; }
  static constexpr TurnedKey turned_key(TurnedKey of_t) { return of_t; }

  /// psi from f(t, cos, sin, x, y), pair by pair.
  template <Real T, class R, class Place, class F>
  [[gnu::always_inline]] static void map(const R& rope, std::span<const T> t, const Place& n,
                                         std::span<T> psi, const F& f) {
    rope.map_halves(n, t.data(), psi.data(), f);
  }
  /// dt from f(u, v, cos, sin), (u, v) the pair of dpsi: the derivative by t, where psi is linear in it.
  template <Real T, class R, class Place, class F>
  [[gnu::always_inline]] static void map_adjoint(const R& rope, std::span<const T>, const Place& n,
                                                 std::span<T> dpsi, std::span<T> dt, const F& f) {
    rope.fold_pairs(n, dpsi.data(), dt.data(), f);
  }
  template <Real T>
  static const char* defect(std::span<const T> t) {
    for (const T value : t) {
      if (value < T(0)) return "negative";
    }
    return nullptr;
  }
};

/// The key operand is the raw projection x, as wide as the queries, and
///     t_j = relu((x_first + x_second) / 2)
/// of the two coordinates of pair j, as in the code published with the paper.
struct RawProjection {
  static Index key_dim(Index query_dim) { return query_dim; }
  static constexpr TurnedKey turned_key(TurnedKey) { return TurnedKey::no; }

  /// psi from f(t, cos, sin, x, y), pair by pair.
  template <Real T, class R, class Place, class F>
  [[gnu::always_inline]] static void map(const R& rope, std::span<const T> x, const Place& n,
                                         std::span<T> psi, const F& f) {
    rope.map_pairs(n, x.data(), psi.data(), [&](T a, T b, T cosine, T sine, T& first, T& second) {
      const T mean = (a + b) / 2;
      const T t = mean < T(0) ? T(0) : mean;  // in this order, a NaN stays one
      f(t, cosine, sine, first, second);
    });
  }
  /// Half of it for both members of a pair; nothing where relu is 0, at 0 too.
  template <Real T, class R, class Place, class F>
  [[gnu::always_inline]] static void map_adjoint(const R& rope, std::span<const T> x,
                                                 const Place& n, std::span<T> dpsi, std::span<T> dx,
                                                 const F& f) {
    rope.zip_pairs(n, x.data(), dpsi.data(), dx.data(),
                   [&](T a, T b, T u, T v, T cosine, T sine, T& first, T& second) {
                     const T dt = f(u, v, cosine, sine);
                     first = second = (a + b) / 2 <= T(0) ? T(0) : dt / 2;
                   });
  }
  template <Real T>
  static const char* defect(std::span<const T>) {
    return nullptr;
  }
};

namespace detail {

/// What the three CoCA schemes share: the rope, which is Rope, or MultiRope for positions of several
/// axes, and the form of the key operand.
template <class KeyForm, class R>
class Coca : public SchemeDefaults {
 public:
  explicit Coca(R rope) : rope_(std::move(rope)) {}

  const R& rope() const { return rope_; }

  Index key_dim(Index query_dim) const { return KeyForm::key_dim(query_dim); }
  void check(const AttentionShape& shape) const { rope_.check(shape.query_dim, shape.batch); }
  bool shift_invariant() const { return rope_.shift_invariant(); }
  template <Real T>
  const char* key_defect(std::span<const T> key) const {
    return KeyForm::defect(key);
  }

 protected:
  auto place(const Token& at) const { return rope_.place(at.position, at.batch); }

  R rope_;
};

/// psi of the dual form, R_n [t ; t]: both members of pair j are t_j before they turn.
template <class KeyForm, class R>
class CocaDual : public Coca<KeyForm, R> {
 public:
  using Coca<KeyForm, R>::Coca;

  template <Real T>
  [[gnu::always_inline]] void map_key(std::span<const T> key, const Token& at,
                                      std::span<T> psi) const {
    KeyForm::map(this->rope_, key, this->place(at), psi, [](T t, T cosine, T sine, T& x, T& y) {
      x = t * (cosine - sine);
      y = t * (cosine + sine);
    });
  }
  template <Real T>
  [[gnu::always_inline]] void map_key_adjoint(std::span<const T> key, const Token& at,
                                              std::span<T> dpsi, std::span<T> dkey) const {
    KeyForm::map_adjoint(
        this->rope_, key, this->place(at), dpsi, dkey,
        [](T u, T v, T cosine, T sine) { return u * (cosine - sine) + v * (cosine + sine); });
  }
  Turned<KeyForm::turned_key(TurnedKey::twice)> turned_key() const { return {}; }
};

}  // namespace detail

/// The strict form, as defined (equations 7 to 9 and 17), in O(N d) memory:
///     score(m, n) = (R_m q_m) . (R_n (q_m o t_n)) = sum_j t_nj (a^2 + b^2) cos((m - n) theta_j)
///                 = phi . psi,
///     phi_j = (a^2 + b^2) (cos(m theta_j), sin(m theta_j)),
///     psi_j = t_nj (cos(n theta_j), sin(n theta_j)).
/// A function of m - n. See docs/mathematics.md for the factoring.
template <class KeyForm = NonNegativeT, class R = Rope>
class CocaStrict : public detail::Coca<KeyForm, R> {
 public:
  /// The key form is NonNegativeT{} for t, RawProjection{} for x.
  explicit CocaStrict(R rope, KeyForm = {}) : detail::Coca<KeyForm, R>(std::move(rope)) {}

  template <Real T>
  [[gnu::always_inline]] void map_query(std::span<const T> q, const Token& at,
                                        std::span<T> phi) const {
    this->rope_.map_pairs(this->place(at), q.data(), phi.data(),
                          [](T a, T b, T cosine, T sine, T& x, T& y) {
                            const T squared_length = a * a + b * b;
                            x = squared_length * cosine;
                            y = squared_length * sine;
                          });
  }
  template <Real T>
  [[gnu::always_inline]] void map_key(std::span<const T> key, const Token& at,
                                      std::span<T> psi) const {
    KeyForm::map(this->rope_, key, this->place(at), psi, [](T t, T cosine, T sine, T& x, T& y) {
      x = t * cosine;
      y = t * sine;
    });
  }
  template <Real T>
  [[gnu::always_inline]] void map_query_adjoint(std::span<const T> q, const Token& at,
                                                std::span<T> dphi, std::span<T> dq) const {
    this->rope_.zip_pairs(this->place(at), q.data(), dphi.data(), dq.data(),
                          [](T a, T b, T u, T v, T cosine, T sine, T& x, T& y) {
                            const T twice = 2 * (u * cosine + v * sine);
                            x = a * twice;
                            y = b * twice;
                          });
  }
  template <Real T>
  [[gnu::always_inline]] void map_key_adjoint(std::span<const T> key, const Token& at,
                                              std::span<T> dpsi, std::span<T> dkey) const {
    KeyForm::map_adjoint(this->rope_, key, this->place(at), dpsi, dkey,
                         [](T u, T v, T cosine, T sine) { return u * cosine + v * sine; });
  }
  /// How keys turn with their position.
  Turned<KeyForm::turned_key(TurnedKey::once)> turned_key() const { return {}; }
};

/// The slack form, the dual of the paper's theorem 1 (equation 10) without its constraint, which is
/// what the paper's models use:
///     score(m, n) = (q_m o R_m q_m) . (R_n [t_n ; t_n]).
/// Equal to the strict form where a = b in every pair. NOT a function of m - n otherwise: adding a
/// constant to all positions changes it (docs/mathematics.md).
template <class KeyForm = NonNegativeT, class R = Rope>
class CocaSlack : public detail::CocaDual<KeyForm, R> {
 public:
  /// The key form is NonNegativeT{} for t, RawProjection{} for x.
  explicit CocaSlack(R rope, KeyForm = {}) : detail::CocaDual<KeyForm, R>(std::move(rope)) {}

  bool shift_invariant() const { return false; }

  template <Real T>
  [[gnu::always_inline]] void map_query(std::span<const T> q, const Token& at,
                                        std::span<T> phi) const {
    this->rope_.map_pairs(this->place(at), q.data(), phi.data(),
                          [](T a, T b, T cosine, T sine, T& x, T& y) {
                            x = a * (a * cosine - b * sine);
                            y = b * (b * cosine + a * sine);
                          });
  }
  template <Real T>
  [[gnu::always_inline]] void map_query_adjoint(std::span<const T> q, const Token& at,
                                                std::span<T> dphi, std::span<T> dq) const {
    this->rope_.zip_pairs(this->place(at), q.data(), dphi.data(), dq.data(),
                          [](T a, T b, T u, T v, T cosine, T sine, T& x, T& y) {
                            x = u * (2 * a * cosine - b * sine) + v * b * sine;
                            y = v * (2 * b * cosine + a * sine) - u * a * sine;
                          });
  }
};

/// The dual form under the paper's constraint (equation 11), for its ablation: both members of
/// every query pair become their mean c = (a + b) / 2, the nearest query that satisfies the
/// constraint, and
///     score(m, n) = (c o R_m c) . (R_n [t_n ; t_n]) = sum_j 2 c^2 t_nj cos((m - n) theta_j).
/// Equal to the strict form of the constrained query. A query that satisfies the constraint already
/// (a half-width projection, repeated) is taken as it is.
template <class KeyForm = NonNegativeT, class R = Rope>
class CocaConstrained : public detail::CocaDual<KeyForm, R> {
 public:
  /// The key form is NonNegativeT{} for t, RawProjection{} for x.
  explicit CocaConstrained(R rope, KeyForm = {}) : detail::CocaDual<KeyForm, R>(std::move(rope)) {}

  template <Real T>
  [[gnu::always_inline]] void map_query(std::span<const T> q, const Token& at,
                                        std::span<T> phi) const {
    this->rope_.map_pairs(this->place(at), q.data(), phi.data(),
                          [](T a, T b, T cosine, T sine, T& x, T& y) {
                            const T mean = (a + b) / 2;
                            x = mean * mean * (cosine - sine);
                            y = mean * mean * (cosine + sine);
                          });
  }
  template <Real T>
  [[gnu::always_inline]] void map_query_adjoint(std::span<const T> q, const Token& at,
                                                std::span<T> dphi, std::span<T> dq) const {
    this->rope_.zip_pairs(this->place(at), q.data(), dphi.data(), dq.data(),
                          [](T a, T b, T u, T v, T cosine, T sine, T& x, T& y) {
                            const T mean = (a + b) / 2;
                            x = y = mean * (u * (cosine - sine) + v * (cosine + sine));
                          });
  }
};

}  // namespace coca::inline v0
