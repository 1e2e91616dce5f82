#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <type_traits>
#include <utility>
#include <variant>

#include "coca/core/parallel.hpp"
#include "coca/core/scalar.hpp"
#include "coca/core/workspace.hpp"
#include "coca/kernel/forward_operands.hpp"
#include "coca/kernel/forward_plan.hpp"
#include "coca/kernel/load.hpp"
#include "coca/kernel/softmax.hpp"
#include "coca/kernel/tile_engine.hpp"
#include "coca/mask/mask.hpp"
#include "coca/scheme/scheme.hpp"

/// The one attention kernel: tiles, packed once, and a streaming softmax.
///
/// The query heads that share a key head are rows of one matrix: row r of a (batch, key head) is
/// query r / group, head r % group of the group. A work item is a block of such rows. It walks over
/// blocks of keys; each is mapped by psi once and serves all tiles of the item:
///
///     load rows:  Q = scale * phi(q)                        queries x score_dim
///     for each block of keys:
///       load:     K = psi(k), V = v, in panels              keys x score_dim, keys x value_dim
///       for each tile of rows that sees any of them:
///         S = Q K^T;  S = cap(logit(S));  S = mask(S)       tile
///         P = 2^(S - max);  O = O * 2^(old - new) + P V
///     store:      out = O / sum,  lse = max + log(sum)
///
/// No row sees another one's numbers, and nothing depends on the number of threads.
namespace coca::inline v0::detail {

/// The work on one item.
template <class Call>
class ForwardBlock {
  using T = typename Call::Number;
  using S = std::remove_cvref_t<decltype(std::declval<Call>().scheme)>;
  using M = std::remove_cvref_t<decltype(std::declval<Call>().mask)>;

  /// What hooks take and give is in natural units; everything else is in base 2.
  static constexpr bool kHooks = TransformsLogits<S, T> || Biased<M>;

 public:
  ForwardBlock(const Call& call, const TileEngine<T>& engine, const ForwardWidths& widths,
               const ForwardBuffers<T>& buffers, const ForwardItem& item)
      : call_(call),
        engine_(engine),
        widths_(widths),
        buffers_(buffers),
        operands_(call, engine, widths, buffers, item),
        rows_(operands_.rows()),
        keys_(operands_.sequence().keys) {}

  void run() {
    // Whatever changes scores wants them in natural units, and converts them when it is done.
    const bool natural = kHooks || call_.soft_cap > T(0);
    operands_.load_queries(natural ? call_.scale : call_.scale * kLog2e<T>);
    for (Index key = 0; key < keys_; key += kTileKeys) {
      visit_keys(key, std::min(key + kTileKeys, keys_));
    }
    store();
  }

 private:
  T* sums_of(Index row) const { return buffers_.sums + row * (widths_.sums + widths_.vector); }

  void visit_keys(Index key_begin, Index key_end) {
    bool loaded = false;
    Index ahead = key_end;
    const Index ahead_end = std::min(key_end + kTileKeys, keys_);
    const Index ahead_step = 1 + kTileKeys * kTileRows / rows_;
    for (Index row = 0; row < rows_; row += kTileRows) {
      const Index rows = std::min(kTileRows, rows_ - row);
      const Coverage coverage = classify(row, rows, key_begin, key_end);
      if (coverage == Coverage::empty) continue;
      if (!loaded) operands_.load_keys(key_begin, key_end);
      loaded = true;
      // Each tile asks for its share of the next block.
      for (Index i = 0; i < ahead_step && ahead < ahead_end; ++i, ++ahead) {
        operands_.prefetch_key(ahead);
      }
      if (coverage == Coverage::full) {
        visit_full_tile(row, rows, key_begin, key_end - key_begin);
      } else {
        for (Index r = 0; r < rows; r += kRowGroup) {
          visit_mixed_rows(row + r, std::min(kRowGroup, rows - r), key_begin, key_end - key_begin);
        }
      }
    }
  }

  Coverage classify(Index row, Index rows, Index key_begin, Index key_end) const {
    return call_.mask.classify(MaskTile{.batch = operands_.sequence().index,
                                        .head_begin = operands_.first_head(),
                                        .head_end = operands_.last_head() + 1,
                                        .query_begin = operands_.query_of(row),
                                        .query_end = operands_.query_of(row + rows - 1) + 1,
                                        .key_begin = key_begin,
                                        .key_end = key_end,
                                        .query_offset = operands_.query_offset(),
                                        .key_offset = operands_.key_offset()});
  }

  /// Gives the values set aside to the rows with a weight for them. `first` and `last` bound the
  /// keys of the block that have weights.
  void add_non_finite(Index row, Index rows, const T* scores, Index key_begin, Index first,
                      Index last) {
    for (Index key = first; key < last; ++key) {
      const T* value = operands_.value_row(key_begin + key, buffers_.scratch);
      for (Index i = 0; i < widths_.value; ++i) {
        if (std::isfinite(value[i])) continue;
        for (Index r = 0; r < rows; ++r) {
          const T weight = scores[r * kTileKeys + key];
          T& sum = sums_of(row + r)[i];
          if (weight != T(0)) sum += weight * value[i];
        }
      }
    }
  }

  void visit_full_tile(Index row, Index rows, Index key_begin, Index keys) {
    operands_.scores(row, rows, 0, operands_.whole_vectors(keys));
    transform_scores(row, rows, key_begin, 0, keys);
    if constexpr (Biased<M>) mask_scores(row, rows, key_begin, 0, keys, Coverage::full);
    finish_rows(row, rows, key_begin, 0, keys);
  }

  /// A few rows of a tile that is cut by the mask's edge: only the keys from the first to the last
  /// that they see are computed, and only at the edge are pairs asked about.
  void visit_mixed_rows(Index row, Index rows, Index key_begin, Index keys) {
    std::array<Coverage, kTileKeys> coverages;
    Index first = keys;
    Index last = 0;
    for (Index key = 0; key < keys; key += engine_.vector) {
      const Index end = std::min(key + engine_.vector, keys);
      const Coverage coverage = classify(row, rows, key_begin + key, key_begin + end);
      coverages[static_cast<std::size_t>(key)] = coverage;
      if (coverage == Coverage::empty) continue;
      first = std::min(first, key);
      last = end;
    }
    if (first >= last) return;
    operands_.scores(row, rows, first, operands_.whole_vectors(last));
    transform_scores(row, rows, key_begin, first, last);
    for (Index key = first; key < last; key += engine_.vector) {
      const Index end = std::min(key + engine_.vector, last);
      const Coverage coverage = coverages[static_cast<std::size_t>(key)];
      if (coverage == Coverage::empty) {
        for (Index r = 0; r < rows; ++r) {
          std::fill_n(buffers_.scores + r * kTileKeys + key, end - key, kMinusInfinity<T>);
        }
      } else if (Biased<M> || coverage == Coverage::mixed) {
        mask_scores(row, rows, key_begin, key, end, coverage);
      }
    }
    finish_rows(row, rows, key_begin, first, last);
  }

  Site site(Index row, Index key) const {
    return {.batch = operands_.sequence().index,
            .head = operands_.head_of(row),
            .query_index = operands_.query_of(row),
            .key_index = key,
            .query_offset = operands_.query_offset(),
            .key_offset = operands_.key_offset()};
  }

  /// The scheme's logits and the soft-cap, for keys first .. last of the block.
  void transform_scores(Index row, Index rows, Index key_begin, Index first, Index last) {
    constexpr T unit = Biased<M> ? T(1) : kLog2e<T>;
    if constexpr (TransformsLogits<S, T>) {
      const T factor = call_.soft_cap > T(0) ? T(1) : unit;
      for (Index r = 0; r < rows; ++r) {
        T* scores = buffers_.scores + r * kTileKeys;
        Site at = site(row + r, 0);
        for (Index key = first; key < last; ++key) {
          at.key_index = key_begin + key;
          scores[key] = factor * static_cast<T>(call_.scheme.logit(scores[key], at));
        }
      }
    }
    if (call_.soft_cap > T(0)) {
      engine_.soft_cap(buffers_.scores + first, rows, operands_.whole_vectors(last - first),
                       call_.soft_cap, unit);
    }
  }

  /// The mask's biases and what it hides, for keys first .. last of the block.
  void mask_scores(Index row, Index rows, Index key_begin, Index first, Index last,
                   Coverage coverage) {
    for (Index r = 0; r < rows; ++r) {
      T* scores = buffers_.scores + r * kTileKeys;
      Site at = site(row + r, 0);
      for (Index key = first; key < last; ++key) {
        at.key_index = key_begin + key;
        if constexpr (Biased<M>) {
          scores[key] = (scores[key] + static_cast<T>(call_.mask.bias(at))) * kLog2e<T>;
        }
        if (coverage == Coverage::mixed && !call_.mask.visible(at)) {
          scores[key] = kMinusInfinity<T>;
        }
      }
    }
  }

  /// Softmax and values, for rows whose scores of keys first .. last of the block are ready.
  void finish_rows(Index row, Index rows, Index key_begin, Index first, Index last) {
    const Index count = operands_.whole_vectors(last - first);
    for (Index r = 0; r < rows && count > last - first; ++r) {
      T* scores = buffers_.scores + r * kTileKeys + first;
      std::fill(scores + (last - first), scores + count, kMinusInfinity<T>);
    }
    engine_.softmax(buffers_.scores + first, rows, count, buffers_.maxima + row, sums_of(row),
                    widths_.sums);
    operands_.add_values(row, rows, first, last);
    if (!operands_.values_finite())
      add_non_finite(row, rows, buffers_.scores, key_begin, first, last);
  }

  void store() {
    const Sequence& sequence = operands_.sequence();
    operands_.for_each_row([&](Index row, Index query, Index head) {
      const T* sums = sums_of(row);
      T sum = T(0);
      for (Index i = 0; i < widths_.vector; ++i) sum += sums[widths_.sums + i];
      // A row that saw nothing has sums of 0: it gives zeros.
      operands_.store(query, head, sums, sum == T(0) ? T(1) : T(1) / sum);
      std::visit(
          [&](const auto& lse) {
            if constexpr (requires { lse(Index{}, Index{}, Index{}); }) {
              auto& to = lse(sequence.batch, head, sequence.first_query + query);
              to = static_cast<std::remove_reference_t<decltype(to)>>(
                  log_sum_exp(buffers_.maxima[row], sum));
            }
          },
          call_.options.lse);
    });
  }

  const Call& call_;
  const TileEngine<T>& engine_;
  const ForwardWidths& widths_;
  const ForwardBuffers<T>& buffers_;
  ForwardOperands<Call> operands_;
  Index rows_;
  Index keys_;
};

/// Work memory of a call: that of its plan, and that of each worker.
inline std::size_t order_bytes(const ForwardPlan& plan) {
  return aligned_bytes(static_cast<std::size_t>(plan.order_size()) * sizeof(Index));
}

/// Runs a checked call.
template <class Call, Device D>
void forward(const Call& call, const D& device) {
  using T = typename Call::Number;
  const TileEngine<T>& engine = tile_engine<T>(target());
  const ForwardWidths widths(engine, call.shape, call.scheme.score_dim(call.shape.query_dim),
                             call.tensors.k.shape[3]);
  ForwardPlan plan(call.sequences, call.shape, widths, sizeof(T), thread_count(device),
                   helper_count(device));
  const std::size_t bytes = ForwardBuffers<T>::bytes(plan.rows_per_block(), widths);
  std::byte* memory = work_memory(
      call.options.workspace, order_bytes(plan) + bytes * static_cast<std::size_t>(plan.workers()));
  plan.order(reinterpret_cast<Index*>(memory));
  memory += order_bytes(plan);
  parallel_for(device, plan.workers(), plan.items(), [&](int worker, Index number) {
    Carver carver(memory + static_cast<std::size_t>(worker) * bytes);
    const ForwardBuffers<T> buffers(carver, plan.rows_per_block(), widths);
    ForwardBlock<Call>(call, engine, widths, buffers, plan.item(number)).run();
  });
}

}  // namespace coca::inline v0::detail
