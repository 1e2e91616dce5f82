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
#include "coca/kernel/sequences.hpp"
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
  Sequences sequences;
  Real scale;
  const AttentionOptions& options;

  Index group() const { return shape.query_heads / shape.key_heads; }
};

/// The work on one item.
template <class Call>
class ForwardBlock {
  using T = typename Call::Real;
  using S = std::remove_cvref_t<decltype(std::declval<Call>().scheme)>;
  using M = std::remove_cvref_t<decltype(std::declval<Call>().mask)>;

  /// How many rows of queries are asked for ahead of their use.
  static constexpr Index kRowsAhead = 16;

  /// Whether every score is changed one by one, and not those at a mask's edge alone.
  static constexpr bool kEveryScore = TransformsLogits<S, T> || Biased<M>;

 public:
  ForwardBlock(const Call& call, const TileEngine<T>& engine, const ForwardWidths& widths,
               const ForwardBuffers<T>& buffers, const ForwardItem& item)
      : call_(call),
        engine_(engine),
        narrow_(narrow_engine(target())),
        widths_(widths),
        buffers_(buffers),
        sequence_(item.sequence),
        query_positions_{item.sequence.query_offset, call.options.query_ids},
        key_positions_{call.options.first_key, call.options.key_ids},
        key_head_(item.key_head),
        group_(call.group()),
        row_begin_(item.begin),
        rows_(item.end - item.begin),
        sums_stride_(widths.sums + widths.vector) {}

  void run() {
    load_queries();
    for (Index key = 0; key < sequence_.keys; key += kTileKeys) {
      visit_keys(key, std::min(key + kTileKeys, sequence_.keys));
    }
    store();
  }

 private:
  Index query_of(Index row) const { return (row_begin_ + row) / group_; }
  Index head_of(Index row) const { return key_head_ * group_ + (row_begin_ + row) % group_; }
  T* sums_of(Index row) const { return buffers_.sums + row * sums_stride_; }

  void load_queries() {
    // Scores are wanted in base 2; hooks want them in natural units, and convert when they are
    // done.
    const T factor = kEveryScore ? call_.scale : call_.scale * kLog2e<T>;
    on_target(
        target(), [&]() __attribute__((always_inline)) {
          for (Index row = 0; row < rows_; ++row) {
            if (row + kRowsAhead < rows_) {
              prefetch_row(call_.q, sequence_.batch,
                           sequence_.first_query + query_of(row + kRowsAhead),
                           head_of(row + kRowsAhead));
            }
            const Index query = query_of(row);
            const Index place = sequence_.first_query + query;
            const Index head = head_of(row);
            const Token token{query_positions_(sequence_.batch, place, query), sequence_.index,
                              query, head};
            T* phi = buffers_.queries + row * widths_.score;
            const auto q =
                token_row(narrow_, call_.q, sequence_.batch, place, head, buffers_.scratch);
            if constexpr (KeepsQueries<S, T>) {
              engine_.scale(q.data(), phi, widths_.score, factor);
            } else {
              call_.scheme.map_query(q, token,
                                     std::span<T>(phi, static_cast<std::size_t>(widths_.score)));
              engine_.scale(phi, phi, widths_.score, factor);
            }
          }
        });
    std::fill_n(buffers_.sums, rows_ * sums_stride_, T(0));
    for (Index row = 0; row < rows_; ++row) {
      // A sink is a weight of 2^0 without a value.
      const T sink = sink_of(head_of(row)) * kLog2e<T>;
      buffers_.maxima[row] = sink;
      if (sink != kMinusInfinity<T>) sums_of(row)[widths_.sums] = T(1);
    }
  }

  T sink_of(Index head) const {
    return std::visit(
        [&](const auto& sinks) {
          if constexpr (requires { sinks(head); }) {
            return static_cast<T>(sinks(head));
          } else {
            return kMinusInfinity<T>;
          }
        },
        call_.options.sinks);
  }

  void visit_keys(Index key_begin, Index key_end) {
    bool loaded = false;
    Index ahead = key_end;
    const Index ahead_end = std::min(key_end + kTileKeys, sequence_.keys);
    const Index ahead_step = 1 + kTileKeys * kTileRows / rows_;
    for (Index row = 0; row < rows_; row += kTileRows) {
      const Index rows = std::min(kTileRows, rows_ - row);
      const Coverage coverage = classify(row, rows, key_begin, key_end);
      if (coverage == Coverage::empty) continue;
      if (!loaded) load_keys(key_begin, key_end);
      loaded = true;
      for (Index i = 0; i < ahead_step && ahead < ahead_end; ++i, ++ahead) {
        prefetch_row(call_.k, sequence_.batch, sequence_.first_key + ahead, key_head_);
        prefetch_row(call_.v, sequence_.batch, sequence_.first_key + ahead, key_head_);
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
    return call_.mask.classify(MaskTile{.batch = sequence_.index,
                                        .head_begin = key_head_ * group_,
                                        .head_end = (key_head_ + 1) * group_,
                                        .query_begin = query_of(row),
                                        .query_end = query_of(row + rows - 1) + 1,
                                        .key_begin = key_begin,
                                        .key_end = key_end,
                                        .query_offset = query_positions_.first,
                                        .key_offset = key_positions_.first});
  }

  void load_keys(Index key_begin, Index key_end) {
    const Index keys = key_end - key_begin;
    values_finite_ = true;
    for (Index first = 0; first < keys; first += kPackKeys) {
      const Index count = std::min(kPackKeys, keys - first);
      pack_keys(key_begin, first, count);
      pack_values(key_begin, first, count);
    }
    if (!values_finite_) set_aside_non_finite(keys);
  }

  void pack_keys(Index key_begin, Index first, Index count) {
    std::array<const T*, kPackKeys> rows;
    on_target(
        target(), [&]() __attribute__((always_inline)) {
          for (Index i = 0; i < count; ++i) {
            rows[static_cast<std::size_t>(i)] =
                key_row(key_begin + first + i, buffers_.key_rows + i * widths_.score);
          }
        });
    // What fills up a vector may be any numbers: their scores are not looked at.
    const Index whole = whole_vectors(count);
    std::fill(rows.begin() + count, rows.begin() + whole, rows[0]);
    engine_.pack_keys(rows.data(), buffers_.keys, first, whole, widths_.score);
  }

  /// psi of one key, in `to` if it is not where it was.
  [[gnu::always_inline]] const T* key_row(Index key, T* to) {
    const Index place = sequence_.first_key + key;
    if constexpr (KeepsKeys<S, T>) {
      return token_row(narrow_, call_.k, sequence_.batch, place, key_head_, to).data();
    } else {
      const Token token{key_positions_(sequence_.batch, place, key), sequence_.index, key,
                        key_head_};
      call_.scheme.map_key(
          token_row(narrow_, call_.k, sequence_.batch, place, key_head_, buffers_.scratch), token,
          std::span<T>(to, static_cast<std::size_t>(widths_.score)));
      return to;
    }
  }

  void pack_values(Index key_begin, Index first, Index count) {
    std::array<const T*, kPackKeys> rows;
    for (Index i = 0; i < count; ++i) {
      rows[static_cast<std::size_t>(i)] =
          value_row(key_begin + first + i, buffers_.value_rows + i * widths_.value).data();
    }
    values_finite_ &=
        engine_.pack_values(rows.data(), buffers_.values, first, count, widths_.value);
  }

  std::span<const T> value_row(Index key, T* scratch) const {
    return token_row(narrow_, call_.v, sequence_.batch, sequence_.first_key + key, key_head_,
                     scratch);
  }

  /// Takes NaN and Inf out of the loaded values: in a matrix product they would reach, as 0 * NaN,
  /// the rows that do not see them.
  void set_aside_non_finite(Index keys) {
    for (Index column = 0; column < widths_.sums;) {
      const Index width = panel_width(engine_.panel, widths_.sums - column);
      T* panel = buffers_.values + column * kTileKeys;
      for (Index i = 0; i < keys * width; ++i) {
        if (!std::isfinite(panel[i])) panel[i] = T(0);
      }
      column += width;
    }
  }

  /// Gives the values set aside to the rows with a weight for them. `first` and `last` bound the
  /// keys of the block that have weights.
  void add_non_finite(Index row, Index rows, const T* scores, Index key_begin, Index first,
                      Index last) {
    for (Index key = first; key < last; ++key) {
      const auto value = value_row(key_begin + key, buffers_.scratch);
      for (std::size_t i = 0; i < value.size(); ++i) {
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
      Site site{.batch = sequence_.index,
                .head = head_of(row + r),
                .query_index = query_of(row + r),
                .key_index = key_begin,
                .query_offset = query_positions_.first,
                .key_offset = key_positions_.first};
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
    engine_.softmax(buffers_.scores + first, rows, count, buffers_.maxima + row, sums_of(row),
                    widths_.sums);
    engine_.add_values(buffers_.scores + first, buffers_.values, sums_of(row), rows, first,
                       last - first, widths_.sums);
    if (!values_finite_) add_non_finite(row, rows, buffers_.scores, key_begin, first, last);
  }

  void store() {
    for (Index row = 0; row < rows_; ++row) {
      const Index place = sequence_.first_query + query_of(row);
      const Index head = head_of(row);
      const T* sums = sums_of(row);
      T sum = T(0);
      for (Index i = 0; i < widths_.vector; ++i) sum += sums[widths_.sums + i];
      // A row that saw nothing has sums of 0: it gives zeros.
      store_row(engine_, narrow_, sums, call_.out, sequence_.batch, place, head,
                sum == T(0) ? T(1) : T(1) / sum);
      std::visit(
          [&](const auto& lse) {
            if constexpr (requires { lse(sequence_.batch, head, place); }) {
              using L = std::remove_reference_t<decltype(lse(sequence_.batch, head, place))>;
              lse(sequence_.batch, head, place) =
                  static_cast<L>(log_sum_exp(buffers_.maxima[row], sum));
            }
          },
          call_.options.lse);
    }
  }

  const Call& call_;
  const TileEngine<T>& engine_;
  const NarrowEngine& narrow_;
  const ForwardWidths& widths_;
  const ForwardBuffers<T>& buffers_;
  Sequence sequence_;
  TokenPositions query_positions_;
  TokenPositions key_positions_;
  Index key_head_;
  Index group_;
  Index row_begin_;
  Index rows_;
  Index sums_stride_;
  bool values_finite_ = true;
};

/// Work memory of a call: that of its plan, and that of each worker.
inline std::size_t order_bytes(const ForwardPlan& plan) {
  return aligned_bytes(static_cast<std::size_t>(plan.order_size()) * sizeof(Index));
}

/// Runs a checked call.
template <class Call, Device D>
void forward(const Call& call, const D& device) {
  using T = typename Call::Real;
  const TileEngine<T>& engine = tile_engine<T>(target());
  const ForwardWidths widths(engine, call.shape, call.scheme.score_dim(call.shape.query_dim),
                             call.k.shape[3]);
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
