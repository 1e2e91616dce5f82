#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>
#include <variant>

#include "coca/core/parallel.hpp"
#include "coca/core/scalar.hpp"
#include "coca/core/view.hpp"
#include "coca/core/workspace.hpp"
#include "coca/kernel/forward_plan.hpp"
#include "coca/kernel/load.hpp"
#include "coca/kernel/options.hpp"
#include "coca/kernel/softmax.hpp"
#include "coca/kernel/tile_engine.hpp"
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
///       load:     K = psi(k), V = v, in panels              keys x score_dim, keys x value_dim
///       for each tile of rows that sees any of them:
///         S = Q K^T;  S = logit(S);  S = mask(S)            tile
///         P = 2^(S - max);  O = O * 2^(old - new) + P V
///     store:      out = O / sum,  lse = max + log(sum)
///
/// No row sees another one's numbers, and nothing depends on the number of threads.
namespace coca::inline v0::detail {

/// The work on one block of rows of one (batch, key head).
template <class Call>
class ForwardBlock {
  using T = typename Call::Real;
  using S = std::remove_cvref_t<decltype(std::declval<Call>().scheme)>;
  using M = std::remove_cvref_t<decltype(std::declval<Call>().mask)>;

  /// Whether every score is changed one by one, and not those at a mask's edge alone.
  static constexpr bool kEveryScore = TransformsLogits<S, T> || Biased<M>;

 public:
  ForwardBlock(const Call& call, const TileEngine<T>& engine, const ForwardWidths<T>& widths,
               const ForwardBuffers<T>& buffers, Index batch, Index key_head, Index row_begin,
               Index row_end)
      : call_(call),
        engine_(engine),
        widths_(widths),
        buffers_(buffers),
        batch_(batch),
        key_head_(key_head),
        group_(call.group()),
        row_begin_(row_begin),
        rows_(row_end - row_begin) {}

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
    // Scores are wanted in base 2; hooks want them in natural units, and convert when they are
    // done.
    const T factor = kEveryScore ? call_.scale : call_.scale * kLog2e<T>;
    on_target(
        target(), [&]() __attribute__((always_inline)) {
          for (Index row = 0; row < rows_; ++row) {
            const Index query = query_of(row);
            const Index head = head_of(row);
            T* phi = buffers_.queries + row * widths_.score;
            const Token token{call_.query_positions(batch_, query), batch_, query, head};
            call_.scheme.map_query(
                token_row(engine_, call_.q, batch_, query, head, buffers_.scratch), token,
                std::span<T>(phi, static_cast<std::size_t>(widths_.score)));
            engine_.scale(phi, phi, widths_.score, factor);
            buffers_.states[row] = initial_state(head);
          }
        });
    std::fill_n(buffers_.sums, rows_ * widths_.value, T(0));
  }

  SoftmaxState<T> initial_state(Index head) const {
    return std::visit(
        [&](const auto& sinks) {
          if constexpr (requires { sinks(head); }) {
            return state_with_sink(static_cast<T>(sinks(head)));
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
      const Coverage coverage = classify(row, rows, key_begin, key_end);
      if (coverage == Coverage::empty) continue;
      if (!loaded) load_keys(key_begin, key_end);
      loaded = true;
      if (coverage == Coverage::full) {
        visit_full_tile(row, rows, key_begin, key_end - key_begin);
      } else {
        for (Index r = 0; r < rows; r += engine_.row_group) {
          visit_mixed_rows(row + r, std::min(engine_.row_group, rows - r), key_begin,
                           key_end - key_begin);
        }
      }
    }
  }

  Coverage classify(Index row, Index rows, Index key_begin, Index key_end) const {
    return call_.mask.classify(MaskTile{.batch = batch_,
                                        .head_begin = key_head_ * group_,
                                        .head_end = (key_head_ + 1) * group_,
                                        .query_begin = query_of(row),
                                        .query_end = query_of(row + rows - 1) + 1,
                                        .key_begin = key_begin,
                                        .key_end = key_end,
                                        .query_offset = call_.query_positions.first,
                                        .key_offset = call_.key_positions.first});
  }

  void load_keys(Index key_begin, Index key_end) {
    const Index keys = key_end - key_begin;
    on_target(
        target(), [&]() __attribute__((always_inline)) {
          for (Index key = 0; key < keys; ++key) {
            const Index index = key_begin + key;
            T* psi = buffers_.key_rows + key * widths_.score;
            const Token token{call_.key_positions(batch_, index), batch_, index, key_head_};
            call_.scheme.map_key(
                token_row(engine_, call_.k, batch_, index, key_head_, buffers_.scratch), token,
                std::span<T>(psi, static_cast<std::size_t>(widths_.score)));
          }
        });
    for (Index key = 0; key < keys; ++key) {
      const auto value =
          token_row(engine_, call_.v, batch_, key_begin + key, key_head_, buffers_.scratch);
      engine_.pack_value(value.data(), buffers_.values, key, call_.shape.value_dim);
    }
    std::fill(buffers_.key_rows + keys * widths_.score,
              buffers_.key_rows + whole_vectors(keys) * widths_.score, T(0));
    engine_.pack_keys(buffers_.key_rows, buffers_.keys, whole_vectors(keys), widths_.score);
    set_aside_non_finite(keys);
  }

  /// Calls visit(panel, first column, width) for each panel of the values.
  template <class Visit>
  void for_each_value_panel(Visit&& visit) const {
    for (Index column = 0; column < widths_.value;) {
      const Index width = panel_width(engine_.panel, widths_.value - column);
      visit(buffers_.values + column * kTileKeys, column, width);
      column += width;
    }
  }

  /// Takes NaN and Inf out of the loaded values: in a matrix product they would reach, as 0 * NaN,
  /// the rows that do not see them.
  void set_aside_non_finite(Index keys) {
    values_finite_ = true;
    for_each_value_panel([&](T* panel, Index, Index width) {
      if (engine_.all_finite(panel, keys * width)) return;
      values_finite_ = false;
      for (Index i = 0; i < keys * width; ++i) {
        if (!std::isfinite(panel[i])) panel[i] = T(0);
      }
    });
  }

  /// Gives the values set aside to the rows with a weight for them. `first` and `last` bound the
  /// keys of the block that have weights.
  void add_non_finite(Index row, Index rows, const T* scores, Index key_begin, Index first,
                      Index last) {
    for (Index key = first; key < last; ++key) {
      const auto value =
          token_row(engine_, call_.v, batch_, key_begin + key, key_head_, buffers_.scratch);
      for (std::size_t i = 0; i < value.size(); ++i) {
        if (std::isfinite(value[i])) continue;
        for (Index r = 0; r < rows; ++r) {
          const T weight = scores[r * kTileKeys + key];
          T& sum = buffers_.sums[(row + r) * widths_.value + static_cast<Index>(i)];
          if (weight != T(0)) sum += weight * value[i];
        }
      }
    }
  }

  void visit_full_tile(Index row, Index rows, Index key_begin, Index keys) {
    engine_.scores(buffers_.queries + row * widths_.score, buffers_.keys, buffers_.scores, rows, 0,
                   whole_vectors(keys), widths_.score);
    if constexpr (kEveryScore) change_scores(row, rows, key_begin, 0, keys, Coverage::full);
    finish_rows(row, rows, key_begin, 0, keys);
  }

  Index whole_vectors(Index count) const {
    return (count + engine_.vector - 1) / engine_.vector * engine_.vector;
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
    engine_.scores(buffers_.queries + row * widths_.score, buffers_.keys, buffers_.scores, rows,
                   first, whole_vectors(last), widths_.score);
    for (Index key = first; key < last; key += engine_.vector) {
      const Index end = std::min(key + engine_.vector, last);
      const Coverage coverage = coverages[static_cast<std::size_t>(key)];
      if (coverage == Coverage::empty) {
        for (Index r = 0; r < rows; ++r) {
          std::fill_n(buffers_.scores + r * kTileKeys + key, end - key, kMinusInfinity<T>);
        }
      } else if (kEveryScore || coverage == Coverage::mixed) {
        change_scores(row, rows, key_begin, key, end, coverage);
      }
    }
    finish_rows(row, rows, key_begin, first, last);
  }

  /// What the scheme and the mask do to the single scores of keys first .. last of the block.
  void change_scores(Index row, Index rows, Index key_begin, Index first, Index last,
                     Coverage coverage) {
    for (Index r = 0; r < rows; ++r) {
      T* scores = buffers_.scores + r * kTileKeys;
      Site site{.batch = batch_,
                .head = head_of(row + r),
                .query_index = query_of(row + r),
                .key_index = key_begin,
                .query_offset = call_.query_positions.first,
                .key_offset = call_.key_positions.first};
      for (Index key = first; key < last; ++key) {
        site.key_index = key_begin + key;
        T score = scores[key];
        if constexpr (TransformsLogits<S, T>) {
          score = static_cast<T>(call_.scheme.logit(score, site));
        }
        if constexpr (Biased<M>) score += static_cast<T>(call_.mask.bias(site));
        if constexpr (kEveryScore) score *= kLog2e<T>;
        if (coverage == Coverage::mixed) {
          score = call_.mask.visible(site) ? score : kMinusInfinity<T>;
        }
        scores[key] = score;
      }
    }
  }

  /// Softmax and values, for rows whose scores of keys first .. last of the block are ready.
  void finish_rows(Index row, Index rows, Index key_begin, Index first, Index last) {
    const Index count = whole_vectors(last - first);
    for (Index r = 0; r < rows && count > last - first; ++r) {
      T* scores = buffers_.scores + r * kTileKeys + first;
      std::fill(scores + (last - first), scores + count, kMinusInfinity<T>);
    }
    engine_.softmax(buffers_.scores + first, rows, count, buffers_.states + row,
                    buffers_.sums + row * widths_.value, widths_.value);
    engine_.add_values(buffers_.scores + first, buffers_.values,
                       buffers_.sums + row * widths_.value, rows, first, last - first,
                       widths_.value);
    if (!values_finite_) add_non_finite(row, rows, buffers_.scores, key_begin, first, last);
  }

  void store() {
    for (Index row = 0; row < rows_; ++row) {
      const Index query = query_of(row);
      const Index head = head_of(row);
      const SoftmaxState<T>& state = buffers_.states[row];
      const T* sums = buffers_.sums + row * widths_.value;
      // A row that saw nothing has sums of 0: it gives zeros.
      const T factor = state.sum == T(0) ? T(1) : T(1) / state.sum;
      auto* to = &call_.out(batch_, query, head, 0);
      using Out = std::remove_pointer_t<decltype(to)>;
      const Index step = call_.out.strides[3];
      if constexpr (std::is_same_v<Out, T>) {
        if (step == 1) engine_.scale(sums, to, call_.shape.value_dim, factor);
      }
      if (!std::is_same_v<Out, T> || step != 1) {
        for (Index i = 0; i < call_.shape.value_dim; ++i) {
          to[i * step] = static_cast<Out>(sums[i] * factor);
        }
      }
      std::visit(
          [&](const auto& lse) {
            if constexpr (requires { lse(batch_, head, query); }) {
              lse(batch_, head, query) =
                  static_cast<std::remove_reference_t<decltype(lse(batch_, head, query))>>(
                      log_sum_exp(state));
            }
          },
          call_.lse);
    }
  }

  const Call& call_;
  const TileEngine<T>& engine_;
  const ForwardWidths<T>& widths_;
  const ForwardBuffers<T>& buffers_;
  Index batch_;
  Index key_head_;
  Index group_;
  Index row_begin_;
  Index rows_;
  bool values_finite_ = true;
};

/// Runs a checked call.
template <class Call, Device D>
void forward(const Call& call, const D& device) {
  using T = typename Call::Real;
  const TileEngine<T>& engine = tile_engine<T>(target());
  const Index score_dim = call.scheme.score_dim(call.shape.query_dim);
  const ForwardWidths<T> widths(engine, call.shape, score_dim, call.k.shape[3]);
  const ForwardPlan plan(call.shape, score_dim, sizeof(T));
  const int workers = worker_count(device, plan.items);
  const std::size_t bytes = forward_bytes<T>(plan, widths);
  std::byte* memory = thread_arena().reserve(bytes * static_cast<std::size_t>(workers));
  const Index lanes = call.shape.batch * call.shape.key_heads;
  const Index rows = call.shape.queries * (plan.items == 0 ? 0 : call.group());

  parallel_for(device, workers, plan.items, [&](int worker, Index item) {
    Carver carver(memory + static_cast<std::size_t>(worker) * bytes);
    const ForwardBuffers<T> buffers(carver, plan, widths);
    // The last rows first: under a causal mask they are the most work, and what is handed out last
    // should be small.
    const Index block = plan.blocks - 1 - item / lanes;
    const Index lane = item % lanes;
    const Index begin = block * plan.rows_per_block;
    ForwardBlock<Call>(call, engine, widths, buffers, lane / call.shape.key_heads,
                       lane % call.shape.key_heads, begin,
                       std::min(begin + plan.rows_per_block, rows))
        .run();
  });
}

}  // namespace coca::inline v0::detail
