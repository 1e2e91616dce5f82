#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <variant>

#include "coca/core/parallel.hpp"
#include "coca/core/scalar.hpp"
#include "coca/core/view.hpp"
#include "coca/core/workspace.hpp"
#include "coca/kernel/load.hpp"
#include "coca/kernel/options.hpp"
#include "coca/kernel/softmax.hpp"
#include "coca/kernel/tile_product.hpp"
#include "coca/mask/mask.hpp"
#include "coca/position/token_positions.hpp"
#include "coca/scheme/scheme.hpp"

/// The one attention kernel: tiles, packed once, and a streaming softmax.
///
/// The query heads that share a key head are rows of one matrix: row r of a (batch, key head) is
/// query r / group, head r % group of the group. A work item is a block of such rows. It walks over
/// blocks of keys; each is mapped by psi once and serves all tiles of the item:
///
///     load rows:  Q = scale * phi(q)                        queries x score_dim
///     for each block of keys:
///       load:     K = psi(k), V = v                         keys x score_dim, keys x value_dim
///       for each tile of rows that sees any of them:
///         S = Q K^T;  S = logit(S);  S = mask(S)            tile
///         P = exp(S - max);  O = O * exp(old - new) + P V
///     store:      out = O / sum,  lse = max + log(sum)
///
/// No row sees another one's numbers, and nothing depends on the number of threads.
namespace coca::inline v0::detail {

/// Tile sizes. 64 x 64 scores are 16 KB of float: they stay in L1 beside the rows they come from.
inline constexpr Index kTileRows = 64;
inline constexpr Index kTileKeys = 64;

/// A checked call, all defaults filled in.
template <class Q, class K, class V, class Out, class S, class M>
struct ForwardCall {
  using Real = Accumulator<Q>;

  TensorView<Out> out;
  TensorView<const Q> q;
  TensorView<const K> k;
  TensorView<const V> v;
  const S& scheme;
  const M& mask;
  AttentionShape shape;
  Real scale;
  TokenPositions query_positions;  ///< first = first_query, ids = those of the scheme
  TokenPositions key_positions;
  decltype(AttentionOptions::sinks) sinks;
  decltype(AttentionOptions::lse) lse;

  Index group() const { return shape.query_heads / shape.key_heads; }
};

/// How a call is cut into work items. A function of shapes alone: were it one of the threads, so
/// would be the rounding.
struct ForwardPlan {
  Index rows_per_block = 0;
  Index blocks = 0;  ///< per (batch, key head)
  Index items = 0;

  ForwardPlan(const AttentionShape& shape, Index score_dim, std::size_t real_bytes) {
    if (shape.key_heads == 0) return;
    const Index rows = shape.queries * (shape.query_heads / shape.key_heads);
    const Index lanes = shape.batch * shape.key_heads;
    // Many rows share the work of loading a key block; a megabyte of them still sits in L2.
    const Index row_bytes = (score_dim + shape.value_dim) * static_cast<Index>(real_bytes);
    Index tiles = std::clamp<Index>((Index{1} << 20) / row_bytes / kTileRows, 1, 16);
    // But not so many that there is nothing to share among threads.
    while (tiles > 1 && lanes * ((rows + tiles * kTileRows - 1) / (tiles * kTileRows)) < 32)
      --tiles;
    rows_per_block = std::min(tiles * kTileRows, rows);
    blocks = rows == 0 ? 0 : (rows + rows_per_block - 1) / rows_per_block;
    items = lanes * blocks;
  }
};

/// One worker's memory, of a size that does not depend on the length of the sequence.
template <Real T>
struct ForwardBuffers {
  T* queries;               ///< rows_per_block x score_dim
  T* sums;                  ///< rows_per_block x value_dim
  SoftmaxState<T>* states;  ///< rows_per_block
  T* keys;                  ///< kTileKeys x score_dim
  T* values;                ///< kTileKeys x value_dim
  T* scores;                ///< kTileRows x kTileKeys
  T* scratch;               ///< one token

  ForwardBuffers(Carver& carver, const ForwardPlan& plan, Index score_dim, Index key_dim,
                 const AttentionShape& shape)
      : queries(carver.take<T>(plan.rows_per_block * score_dim)),
        sums(carver.take<T>(plan.rows_per_block * shape.value_dim)),
        states(carver.take<SoftmaxState<T>>(plan.rows_per_block)),
        keys(carver.take<T>(kTileKeys * score_dim)),
        values(carver.take<T>(kTileKeys * shape.value_dim)),
        scores(carver.take<T>(kTileRows * kTileKeys)),
        scratch(carver.take<T>(std::max({shape.query_dim, key_dim, shape.value_dim}))) {}
};

/// The work on one block of rows of one (batch, key head).
template <class Call>
class ForwardBlock {
  using T = typename Call::Real;

 public:
  ForwardBlock(const Call& call, const ForwardBuffers<T>& buffers, Index batch, Index key_head,
               Index row_begin, Index row_end)
      : call_(call),
        buffers_(buffers),
        batch_(batch),
        key_head_(key_head),
        group_(call.group()),
        row_begin_(row_begin),
        rows_(row_end - row_begin),
        score_dim_(call.scheme.score_dim(call.shape.query_dim)),
        value_dim_(call.shape.value_dim) {}

  void run() {
    load_queries();
    for (Index key = 0; key < call_.shape.keys; key += kTileKeys) {
      visit_keys(key, std::min(key + kTileKeys, call_.shape.keys));
    }
    store();
  }

 private:
  Index query_of(Index row) const { return (row_begin_ + row) / group_; }
  Index head_of(Index row) const { return key_head_ * group_ + (row_begin_ + row) % group_; }

  void load_queries() {
    for (Index row = 0; row < rows_; ++row) {
      const Index query = query_of(row);
      const Index head = head_of(row);
      T* phi = buffers_.queries + row * score_dim_;
      const Token token{call_.query_positions(batch_, query), batch_, query, head};
      call_.scheme.map_query(token_row(call_.q, batch_, query, head, buffers_.scratch), token,
                             std::span<T>(phi, static_cast<std::size_t>(score_dim_)));
      for (Index i = 0; i < score_dim_; ++i) phi[i] *= call_.scale;
      buffers_.states[row] = initial_state(head);
    }
    std::fill_n(buffers_.sums, rows_ * value_dim_, T(0));
  }

  SoftmaxState<T> initial_state(Index head) const {
    return std::visit(
        [&](const auto& sinks) {
          if constexpr (requires { sinks(head); }) {
            return SoftmaxState<T>::with_sink(static_cast<T>(sinks(head)));
          } else {
            return SoftmaxState<T>{};
          }
        },
        call_.sinks);
  }

  void visit_keys(Index key_begin, Index key_end) {
    bool loaded = false;
    for (Index row = 0; row < rows_; row += kTileRows) {
      const Index rows = std::min(kTileRows, rows_ - row);
      const Coverage coverage = call_.mask.classify(mask_tile(row, rows, key_begin, key_end));
      if (coverage == Coverage::empty) continue;
      if (!loaded) load_keys(key_begin, key_end);
      loaded = true;
      visit_tile(row, rows, key_begin, key_end - key_begin, coverage);
    }
  }

  MaskTile mask_tile(Index row, Index rows, Index key_begin, Index key_end) const {
    return {.batch = batch_,
            .head_begin = key_head_ * group_,
            .head_end = (key_head_ + 1) * group_,
            .query_begin = query_of(row),
            .query_end = query_of(row + rows - 1) + 1,
            .key_begin = key_begin,
            .key_end = key_end,
            .query_offset = call_.query_positions.first,
            .key_offset = call_.key_positions.first};
  }

  void load_keys(Index key_begin, Index key_end) {
    for (Index key = key_begin; key < key_end; ++key) {
      T* psi = buffers_.keys + (key - key_begin) * score_dim_;
      const Token token{call_.key_positions(batch_, key), batch_, key, key_head_};
      call_.scheme.map_key(token_row(call_.k, batch_, key, key_head_, buffers_.scratch), token,
                           std::span<T>(psi, static_cast<std::size_t>(score_dim_)));
      const auto value = token_row(call_.v, batch_, key, key_head_, buffers_.scratch);
      std::copy(value.begin(), value.end(), buffers_.values + (key - key_begin) * value_dim_);
    }
    set_aside_non_finite((key_end - key_begin) * value_dim_);
  }

  /// Takes NaN and Inf out of the loaded values: in a matrix product they would reach, as 0 * NaN,
  /// the rows that do not see them.
  void set_aside_non_finite(Index count) {
    values_finite_ = all_finite(buffers_.values, count);
    if (values_finite_) return;
    for (Index i = 0; i < count; ++i) {
      if (!std::isfinite(buffers_.values[i])) buffers_.values[i] = T(0);
    }
  }

  /// Gives the values set aside to the rows with a weight for them.
  void add_non_finite(Index row, Index rows, Index key_begin, Index keys) {
    for (Index key = key_begin; key < key_begin + keys; ++key) {
      const auto value = token_row(call_.v, batch_, key, key_head_, buffers_.scratch);
      for (Index i = 0; i < value_dim_; ++i) {
        const T number = value[static_cast<std::size_t>(i)];
        if (std::isfinite(number)) continue;
        for (Index r = 0; r < rows; ++r) {
          const T weight = buffers_.scores[r * kTileKeys + key - key_begin];
          if (weight != T(0)) buffers_.sums[(row + r) * value_dim_ + i] += weight * number;
        }
      }
    }
  }

  void visit_tile(Index row, Index rows, Index key_begin, Index keys, Coverage coverage) {
    T* scores = buffers_.scores;
    score_product(buffers_.queries + row * score_dim_, buffers_.keys, scores, rows, keys,
                  score_dim_, kTileKeys);
    constexpr bool every_score =
        TransformsLogits<decltype(call_.scheme), T> || Biased<decltype(call_.mask)>;
    if (every_score || coverage == Coverage::mixed) {
      change_scores(row, rows, key_begin, keys, coverage);
    }
    for (Index r = 0; r < rows; ++r) {
      T* row_scores = scores + r * kTileKeys;
      std::fill(row_scores + keys, row_scores + padded(keys), kMinusInfinity<T>);
      absorb_scores(row_scores, keys, buffers_.states[row + r],
                    buffers_.sums + (row + r) * value_dim_, value_dim_);
    }
    weighted_sum(scores, buffers_.values, buffers_.sums + row * value_dim_, rows, keys, value_dim_,
                 kTileKeys);
    if (!values_finite_) add_non_finite(row, rows, key_begin, keys);
  }

  /// What the scheme and the mask do to single scores.
  void change_scores(Index row, Index rows, Index key_begin, Index keys, Coverage coverage) {
    for (Index r = 0; r < rows; ++r) {
      T* scores = buffers_.scores + r * kTileKeys;
      Site site{.batch = batch_,
                .head = head_of(row + r),
                .query_index = query_of(row + r),
                .key_index = key_begin,
                .query_offset = call_.query_positions.first,
                .key_offset = call_.key_positions.first};
      for (Index j = 0; j < keys; ++j) {
        site.key_index = key_begin + j;
        T score = scores[j];
        if constexpr (TransformsLogits<decltype(call_.scheme), T>) {
          score = static_cast<T>(call_.scheme.logit(score, site));
        }
        if constexpr (Biased<decltype(call_.mask)>) {
          score += static_cast<T>(call_.mask.bias(site));
        }
        if (coverage == Coverage::mixed) {
          score = call_.mask.visible(site) ? score : kMinusInfinity<T>;
        }
        scores[j] = score;
      }
    }
  }

  void store() {
    for (Index row = 0; row < rows_; ++row) {
      const Index query = query_of(row);
      const Index head = head_of(row);
      const SoftmaxState<T>& state = buffers_.states[row];
      const T* sums = buffers_.sums + row * value_dim_;
      // A row that saw nothing has sums of 0: it gives zeros.
      const T denominator = state.sum == T(0) ? T(1) : state.sum;
      auto* to = &call_.out(batch_, query, head, 0);
      using Out = std::remove_reference_t<decltype(*to)>;
      for (Index i = 0; i < value_dim_; ++i) {
        to[i * call_.out.strides[3]] = static_cast<Out>(sums[i] / denominator);
      }
      std::visit(
          [&](const auto& lse) {
            if constexpr (requires { lse(batch_, head, query); }) {
              lse(batch_, head, query) =
                  static_cast<std::remove_reference_t<decltype(lse(batch_, head, query))>>(
                      state.log_sum_exp());
            }
          },
          call_.lse);
    }
  }

  const Call& call_;
  const ForwardBuffers<T>& buffers_;
  Index batch_;
  Index key_head_;
  Index group_;
  Index row_begin_;
  Index rows_;
  Index score_dim_;
  Index value_dim_;
  bool values_finite_ = true;
};

/// Bytes one worker needs.
template <Real T>
std::size_t forward_bytes(const ForwardPlan& plan, const AttentionShape& shape, Index score_dim,
                          Index key_dim) {
  Carver measure;
  ForwardBuffers<T>(measure, plan, score_dim, key_dim, shape);
  return measure.bytes();
}

/// Runs a checked call.
template <class Call, Device D>
void forward(const Call& call, const D& device) {
  using T = typename Call::Real;
  const Index score_dim = call.scheme.score_dim(call.shape.query_dim);
  const Index key_dim = call.k.shape[3];
  const ForwardPlan plan(call.shape, score_dim, sizeof(T));
  const int workers = worker_count(device, plan.items);
  const std::size_t bytes = forward_bytes<T>(plan, call.shape, score_dim, key_dim);
  std::byte* memory = thread_arena().reserve(bytes * static_cast<std::size_t>(workers));
  const Index lanes = call.shape.batch * call.shape.key_heads;
  const Index rows = call.shape.queries * (plan.items == 0 ? 0 : call.group());

  parallel_for(device, workers, plan.items, [&](int worker, Index item) {
    Carver carver(memory + static_cast<std::size_t>(worker) * bytes);
    const ForwardBuffers<T> buffers(carver, plan, score_dim, key_dim, call.shape);
    // The last rows first: under a causal mask they are the most work, and what is handed out last
    // should be small.
    const Index block = plan.blocks - 1 - item / lanes;
    const Index lane = item % lanes;
    const Index begin = block * plan.rows_per_block;
    ForwardBlock<Call>(call, buffers, lane / call.shape.key_heads, lane % call.shape.key_heads,
                       begin, std::min(begin + plan.rows_per_block, rows))
        .run();
  });
}

}  // namespace coca::inline v0::detail
