#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

#include "coca/core/scalar.hpp"
#include "coca/core/view.hpp"
#include "coca/kernel/options.hpp"
#include "coca/mask/mask.hpp"
#include "coca/reference/attention.hpp"
#include "coca/reference/score.hpp"

/// The gradients of attention by their definition: the chain rule over every pair of a query and a key.
namespace coca::inline v0::reference {

/// Where gradients go; they are added to what is there. An empty view is not written.
struct Gradients {
  TensorView<double> dq;     ///< as q
  TensorView<double> dk;     ///< as k
  TensorView<double> dv;     ///< as v
  View<double, 1> dsinks{};  ///< [query heads]
  View<double, 4>
      dbias{};  ///< [batch, query heads, queries, keys], strides of 0 where it is shared
};

/// Gradients of sum(dout * out), where out is what reference::attention computes.
///     p = softmax(l),  l_n = cap(scale * score(q, k_n)) + bias_n
///     dp_n = dout . v_n,  dl_n = p_n (dp_n - sum_i p_i dp_i),  ds_n = cap'(.) scale dl_n
/// and from ds on by the derivatives of the score's definition.
template <class Score, Mask M>
void attention_backward(const Gradients& to, const TensorView<const double>& dout,
                        const TensorView<const double>& q, const TensorView<const double>& k,
                        const TensorView<const double>& v, const Score& score, const M& mask,
                        const AttentionOptions& options = {}) {
  const Call call{q, k, score, mask, options};
  for (Index b = 0; b < q.shape[0]; ++b) {
    for (Index h = 0; h < q.shape[2]; ++h) {
      const Index key_head = call.key_head(h);
      for (Index m = 0; m < q.shape[1]; ++m) {
        const Weights p = call.weights(b, h, m);
        Vector dp;
        double mean = 0.0;
        for (std::size_t i = 0; i < p.seen.size(); ++i) {
          dp.push_back(dot(row(dout, b, m, h), row(v, b, p.seen[i], key_head)));
          mean += p.weights[i] * dp[i];
        }
        if (!to.dsinks.empty()) to.dsinks(h) -= p.sink * mean;
        for (std::size_t i = 0; i < p.seen.size(); ++i) {
          const Index n = p.seen[i];
          for (Index c = 0; c < v.shape[3]; ++c) {
            to.dv(b, n, key_head, c) += p.weights[i] * dout(b, m, h, c);
          }
          double d = p.weights[i] * (dp[i] - mean);
          if (!to.dbias.empty()) to.dbias(b, h, m, n) += d;
          d *= call.scale();
          if (options.soft_cap > 0.0) d *= 1.0 - std::pow(p.scores[i] / options.soft_cap, 2);
          const ScoreGradient by =
              score.gradient(row(q, b, m, h), call.query_positions()(b, m), row(k, b, n, key_head),
                             call.key_positions()(b, n));
          for (Index c = 0; c < q.shape[3]; ++c) {
            to.dq(b, m, h, c) += d * by.q[static_cast<std::size_t>(c)];
          }
          for (Index c = 0; c < k.shape[3]; ++c) {
            to.dk(b, n, key_head, c) += d * by.k[static_cast<std::size_t>(c)];
          }
        }
      }
    }
  }
}

}  // namespace coca::inline v0::reference
