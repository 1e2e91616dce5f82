#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <variant>
#include <vector>

#include "coca/core/scalar.hpp"
#include "coca/core/view.hpp"
#include "coca/kernel/options.hpp"
#include "coca/mask/mask.hpp"
#include "coca/position/token_positions.hpp"
#include "coca/reference/score.hpp"

/// Attention by its definition: every score, one softmax, one sum. The kernels are held against it.
namespace coca::inline v0::reference {

/// What coca::attention computes, in double and with plain loops. `score` is one of
/// reference/score.hpp; shapes, mask and options are those of coca::attention and are not checked.
template <class Score, Mask M>
void attention(const TensorView<double>& out, const TensorView<const double>& q,
               const TensorView<const double>& k, const TensorView<const double>& v,
               const Score& score, const M& mask, const AttentionOptions& options = {}) {
  constexpr double minus_infinity = -std::numeric_limits<double>::infinity();
  const auto [batch, queries, query_heads, query_dim] = q.shape;
  const auto [k_batch, keys, key_heads, key_dim] = k.shape;
  const Index value_dim = v.shape[3];
  const double scale = options.scale.value_or(1.0 / std::sqrt(static_cast<double>(query_dim)));
  const TokenPositions query_positions{
      options.first_query.value_or(options.first_key + keys - queries), options.query_ids};
  const TokenPositions key_positions{options.first_key, options.key_ids};
  const auto row = [](const TensorView<const double>& x, Index b, Index n, Index h) {
    Vector values(static_cast<std::size_t>(x.shape[3]));
    for (Index i = 0; i < x.shape[3]; ++i) values[static_cast<std::size_t>(i)] = x(b, n, h, i);
    return values;
  };

  for (Index b = 0; b < batch; ++b) {
    for (Index h = 0; h < query_heads; ++h) {
      const Index key_head = h / (query_heads / key_heads);
      for (Index m = 0; m < queries; ++m) {
        const Vector query = row(q, b, m, h);
        Vector scores;
        std::vector<Index> seen;
        for (Index n = 0; n < keys; ++n) {
          const Site site{b, h, m, n, query_positions.first, key_positions.first};
          if (!mask.visible(site)) continue;
          double s = scale * score(query, query_positions(b, m), row(k, b, n, key_head),
                                   key_positions(b, n));
          if (options.soft_cap > 0.0) s = options.soft_cap * std::tanh(s / options.soft_cap);
          s += added_to_score(mask, site);
          scores.push_back(s);
          seen.push_back(n);
        }

        double sink = minus_infinity;
        if (const auto* sinks = std::get_if<View<const float, 1>>(&options.sinks)) {
          sink = static_cast<double>((*sinks)(h));
        } else if (const auto* wide = std::get_if<View<const double, 1>>(&options.sinks)) {
          sink = (*wide)(h);
        }
        double top = sink;
        for (const double s : scores) top = std::fmax(top, s);
        double sum = sink == minus_infinity ? 0.0 : std::exp(sink - top);
        Vector result(static_cast<std::size_t>(value_dim), 0.0);
        for (std::size_t i = 0; i < seen.size(); ++i) {
          if (scores[i] == minus_infinity) continue;
          const double weight = std::exp(scores[i] - top);
          sum += weight;
          for (Index c = 0; c < value_dim; ++c) {
            result[static_cast<std::size_t>(c)] += weight * v(b, seen[i], key_head, c);
          }
        }
        for (Index c = 0; c < value_dim; ++c) {
          const double total = result[static_cast<std::size_t>(c)];
          out(b, m, h, c) = sum == 0.0 ? 0.0 : total / sum;
        }
        const double lse = sum == 0.0 ? minus_infinity : top + std::log(sum);
        if (const auto* wide = std::get_if<View<double, 3>>(&options.lse)) (*wide)(b, h, m) = lse;
        if (const auto* narrow = std::get_if<View<float, 3>>(&options.lse)) {
          (*narrow)(b, h, m) = static_cast<float>(lse);
        }
      }
    }
  }
}

}  // namespace coca::inline v0::reference
