#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "coca/core/scalar.hpp"
#include "coca/core/view.hpp"
#include "coca/kernel/options.hpp"
#include "coca/mask/mask.hpp"
#include "coca/position/token_positions.hpp"
#include "coca/reference/score.hpp"

/// Attention by its definition: every score, one softmax, one sum. The kernels are held against it.
namespace coca::inline v0::reference {

/// x[b, n, h], as a vector.
inline Vector row(const TensorView<const double>& x, Index b, Index n, Index h) {
  Vector values(static_cast<std::size_t>(x.shape[3]));
  for (Index i = 0; i < x.shape[3]; ++i) values[static_cast<std::size_t>(i)] = x(b, n, h, i);
  return values;
}

/// The logit of a head's sink, -inf where there is none.
inline double sink(const AttentionOptions& options, Index head) {
  return options.sinks ? options.sinks(head) : -std::numeric_limits<double>::infinity();
}

/// The softmax of one query.
struct Weights {
  std::vector<Index> seen;  ///< the keys it sees
  Vector scores;            ///< theirs, scaled and capped
  Vector weights;           ///< theirs, and with the sink's they add up to 1
  double sink = 0.0;        ///< the sink's
  double lse = 0.0;         ///< the natural logarithm of the denominator
};

/// One call: `score` is one of reference/score.hpp; shapes, mask and options are those of
/// coca::attention and are not checked.
template <class Score, Mask M>
struct Call {
  TensorView<const double> q;       ///< [batch, queries, heads, head_dim]
  TensorView<const double> k;       ///< [batch, keys, key heads, width of the key operand]
  const Score& score;               ///< score(q, m, k, n)
  const M& mask;                    ///< which keys a query sees
  const AttentionOptions& options;  ///< scale, soft-cap, positions, sinks

  /// The key head that a query head meets.
  Index key_head(Index head) const { return head / (q.shape[2] / k.shape[2]); }
  /// options.scale, or 1/sqrt(head_dim).
  double scale() const {
    return options.scale.value_or(1.0 / std::sqrt(static_cast<double>(q.shape[3])));
  }
  /// Where the queries stand.
  TokenPositions query_positions() const {
    return {options.first_query.value_or(options.first_key + k.shape[1] - q.shape[1]),
            options.query_ids};
  }
  /// Where the keys stand.
  TokenPositions key_positions() const { return {options.first_key, options.key_ids}; }

  /// The softmax of query m of head h in batch entry b.
  Weights weights(Index b, Index h, Index m) const {
    constexpr double minus_infinity = -std::numeric_limits<double>::infinity();
    const Vector query = row(q, b, m, h);
    Weights result;
    Vector logits;
    const double sink_logit = sink(options, h);
    double top = sink_logit;
    for (Index n = 0; n < k.shape[1]; ++n) {
      const Site site{b, h, m, n, query_positions().first, key_positions().first};
      if (!mask.visible(site)) continue;
      double s = scale() * score(query, query_positions()(b, m), row(k, b, n, key_head(h)),
                                 key_positions()(b, n));
      if (options.soft_cap > 0.0) s = options.soft_cap * std::tanh(s / options.soft_cap);
      result.seen.push_back(n);
      result.scores.push_back(s);
      logits.push_back(s + added_to_score(mask, site));
      top = std::fmax(top, logits.back());
    }
    const auto power = [&](double s) { return s == minus_infinity ? 0.0 : std::exp(s - top); };
    double sum = power(sink_logit);
    for (const double s : logits) sum += power(s);
    const double total = sum == 0.0 ? 1.0 : sum;
    for (const double s : logits) result.weights.push_back(power(s) / total);
    result.sink = power(sink_logit) / total;
    result.lse = sum == 0.0 ? minus_infinity : top + std::log(sum);
    return result;
  }
};
/// What Call is made of says what it is.
template <class Score, class M>
Call(TensorView<const double>, TensorView<const double>, const Score&, const M&,
     const AttentionOptions&) -> Call<Score, M>;

/// What coca::attention computes, in double and with plain loops.
template <class Score, Mask M>
void attention(const TensorView<double>& out, const TensorView<const double>& q,
               const TensorView<const double>& k, const TensorView<const double>& v,
               const Score& score, const M& mask, const AttentionOptions& options = {}) {
  const Call call{q, k, score, mask, options};
  for (Index b = 0; b < q.shape[0]; ++b) {
    for (Index h = 0; h < q.shape[2]; ++h) {
      for (Index m = 0; m < q.shape[1]; ++m) {
        const Weights row = call.weights(b, h, m);
        for (Index c = 0; c < v.shape[3]; ++c) {
          double sum = 0.0;
          for (std::size_t i = 0; i < row.seen.size(); ++i) {
            if (row.weights[i] != 0.0)
              sum += row.weights[i] * v(b, row.seen[i], call.key_head(h), c);
          }
          out(b, m, h, c) = sum;
        }
        if (options.lse) options.lse.set(row.lse, b, h, m);
      }
    }
  }
}

}  // namespace coca::inline v0::reference
