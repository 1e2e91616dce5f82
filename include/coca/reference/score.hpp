#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "coca/core/scalar.hpp"
#include "coca/position/rope.hpp"

/// The scores as the papers define them: in double, from one query row and one key operand, with no
/// thought of speed and none of the kernels' maps. Equation numbers are those of Zhu et al. (arXiv
/// 2309.08646) unless another paper is named.
namespace coca::inline v0::reference {

using Row = std::span<const double>;  ///< an operand of one token
using Vector = std::vector<double>;   ///< what is computed from rows

/// a . b
inline double dot(Row a, Row b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// a o b, coordinate by coordinate.
inline Vector hadamard(Row a, Row b) {
  Vector product(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) product[i] = a[i] * b[i];
  return product;
}

/// R_n x: pair j of x turned by n * theta_j (Su et al. 2021, equation 15), and as much longer as the
/// rope's attention factor says. The angle is taken in long double, so that it is right at any position.
inline Vector rotated(Row x, Position n, const Rope& rope) {
  Vector result(x.begin(), x.end());
  const auto inv_freq = rope.inv_freq();
  for (std::size_t j = 0; j < inv_freq.size(); ++j) {
    const long double angle = static_cast<long double>(n) * static_cast<long double>(inv_freq[j]);
    const double cosine = rope.attention_factor() * static_cast<double>(std::cos(angle));
    const double sine = rope.attention_factor() * static_cast<double>(std::sin(angle));
    const auto [first, second] = rope.pair(static_cast<Index>(j));
    const double a = x[static_cast<std::size_t>(first)];
    const double b = x[static_cast<std::size_t>(second)];
    result[static_cast<std::size_t>(first)] = a * cosine - b * sine;
    result[static_cast<std::size_t>(second)] = b * cosine + a * sine;
  }
  return result;
}

/// [t ; t]: the half-wide t with its value on both members of every pair (equation 6).
inline Vector both_members(Row t, const Rope& rope) {
  Vector result(static_cast<std::size_t>(rope.dim()));
  for (std::size_t j = 0; j < t.size(); ++j) {
    const auto [first, second] = rope.pair(static_cast<Index>(j));
    result[static_cast<std::size_t>(first)] = t[j];
    result[static_cast<std::size_t>(second)] = t[j];
  }
  return result;
}

/// t = relu of the mean of the pair's two coordinates of the raw projection x, as in the published
/// code; half as wide as x.
inline Vector t_of_projection(Row x, const Rope& rope) {
  Vector t(x.size() / 2);
  for (std::size_t j = 0; j < t.size(); ++j) {
    const auto [first, second] = rope.pair(static_cast<Index>(j));
    const double mean =
        (x[static_cast<std::size_t>(first)] + x[static_cast<std::size_t>(second)]) / 2;
    t[j] = mean < 0.0 ? 0.0 : mean;
  }
  return t;
}

/// The query under the constraint of equation 11, q_2j = q_2j+1: both members become their mean.
inline Vector constrained(Row q, const Rope& rope) {
  Vector means(q.size() / 2);
  for (std::size_t j = 0; j < means.size(); ++j) {
    const auto [first, second] = rope.pair(static_cast<Index>(j));
    means[j] = (q[static_cast<std::size_t>(first)] + q[static_cast<std::size_t>(second)]) / 2;
  }
  return both_members(means, rope);
}

/// The derivatives of a score by the query and by the key operand.
struct ScoreGradient {
  Vector q;  ///< by the query
  Vector k;  ///< by the key operand
};

/// a + b
inline Vector sum(Row a, Row b) {
  Vector result(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) result[i] = a[i] + b[i];
  return result;
}

/// The derivative by t, from that by [t ; t].
inline Vector sum_of_members(Row x, const Rope& rope) {
  Vector result(x.size() / 2);
  for (std::size_t j = 0; j < result.size(); ++j) {
    const auto [first, second] = rope.pair(static_cast<Index>(j));
    result[j] = x[static_cast<std::size_t>(first)] + x[static_cast<std::size_t>(second)];
  }
  return result;
}

/// q . k (Vaswani et al. 2017, equation 1).
struct DotScore {
  double operator()(Row q, Position, Row k, Position) const { return dot(q, k); }
  ScoreGradient gradient(Row q, Position, Row k, Position) const {
    return {Vector(k.begin(), k.end()), Vector(q.begin(), q.end())};
  }
};

/// (R_m q) . (R_n k) (Su et al. 2021, equation 16).
struct RotaryScore {
  Rope rope;  ///< R
  double operator()(Row q, Position m, Row k, Position n) const {
    return dot(rotated(q, m, rope), rotated(k, n, rope));
  }
  /// R_-n is the transpose of R_n, its length included.
  ScoreGradient gradient(Row q, Position m, Row k, Position n) const {
    return {rotated(rotated(k, n, rope), -m, rope), rotated(rotated(q, m, rope), -n, rope)};
  }
};

/// (R_m q) . (R_n (q o t)) (equations 7 to 9): the key is made of the query it meets.
struct StrictScore {
  Rope rope;  ///< R
  double operator()(Row q, Position m, Row t, Position n) const {
    const Vector key = hadamard(q, both_members(t, rope));
    return dot(rotated(q, m, rope), rotated(key, n, rope));
  }
  ScoreGradient gradient(Row q, Position m, Row t, Position n) const {
    const Vector both = both_members(t, rope);
    const Vector by_turned = rotated(rotated(hadamard(q, both), n, rope), -m, rope);
    const Vector by_key = rotated(rotated(q, m, rope), -n, rope);
    return {sum(by_turned, hadamard(both, by_key)), sum_of_members(hadamard(q, by_key), rope)};
  }
};

/// (q o R_m q) . (R_n [t ; t]) (equation 10).
struct SlackScore {
  Rope rope;  ///< R
  double operator()(Row q, Position m, Row t, Position n) const {
    return dot(hadamard(q, rotated(q, m, rope)), rotated(both_members(t, rope), n, rope));
  }
  ScoreGradient gradient(Row q, Position m, Row t, Position n) const {
    const Vector turned = rotated(q, m, rope);
    const Vector key = rotated(both_members(t, rope), n, rope);
    return {sum(hadamard(turned, key), rotated(hadamard(q, key), -m, rope)),
            sum_of_members(rotated(hadamard(q, turned), -n, rope), rope)};
  }
};

/// Equation 10 under equation 11.
struct ConstrainedScore {
  Rope rope;  ///< R
  double operator()(Row q, Position m, Row t, Position n) const {
    return SlackScore{rope}(constrained(q, rope), m, t, n);
  }
  /// Taking the mean of a pair is its own transpose.
  ScoreGradient gradient(Row q, Position m, Row t, Position n) const {
    ScoreGradient by = SlackScore{rope}.gradient(constrained(q, rope), m, t, n);
    by.q = constrained(by.q, rope);
    return by;
  }
};

/// A score that is a function of m - n, with a ceiling on it (Han et al. 2024, arXiv 2308.16137, section
/// 4.1): that at the distance min(m - n, ceiling).
template <class Score>
struct CeilingScore {
  Score score;       ///< without a ceiling
  Position ceiling;  ///< in tokens
  double operator()(Row q, Position m, Row k, Position n) const {
    return score(q, n + std::min(m - n, ceiling), k, n);
  }
  ScoreGradient gradient(Row q, Position m, Row k, Position n) const {
    return score.gradient(q, n + std::min(m - n, ceiling), k, n);
  }
};

/// Any of the CoCA scores, of the raw projection x in place of t.
template <class Score>
struct OfProjection {
  Score score;  ///< of t
  double operator()(Row q, Position m, Row x, Position n) const {
    return score(q, m, t_of_projection(x, score.rope), n);
  }
  ScoreGradient gradient(Row q, Position m, Row x, Position n) const {
    const Vector t = t_of_projection(x, score.rope);
    ScoreGradient by = score.gradient(q, m, t, n);
    for (std::size_t j = 0; j < t.size(); ++j) by.k[j] *= t[j] > 0.0 ? 0.5 : 0.0;
    by.k = both_members(by.k, score.rope);
    return by;
  }
};

/// The keys of the strict form, materialised: R_n (q_m o t_n) for every query m and key n, at
/// [m][n][head_dim] of the result. This is the O(N^2 d) memory that the paper's slack form avoids,
/// and that the factored form avoids without giving up the definition. One head: q holds
/// query_positions.size() rows of rope.dim(), t holds key_positions.size() rows of rope.dim()/2.
inline Vector strict_keys(Row q, std::span<const Position> query_positions, Row t,
                          std::span<const Position> key_positions, const Rope& rope) {
  const auto dim = static_cast<std::size_t>(rope.dim());
  Vector keys;
  keys.reserve(query_positions.size() * key_positions.size() * dim);
  for (std::size_t m = 0; m < query_positions.size(); ++m) {
    for (std::size_t n = 0; n < key_positions.size(); ++n) {
      const Vector key =
          hadamard(q.subspan(m * dim, dim), both_members(t.subspan(n * dim / 2, dim / 2), rope));
      const Vector turned = rotated(key, key_positions[n], rope);
      keys.insert(keys.end(), turned.begin(), turned.end());
    }
  }
  return keys;
}

}  // namespace coca::inline v0::reference
