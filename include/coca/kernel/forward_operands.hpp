#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>
#include <variant>

#include "coca/core/scalar.hpp"
#include "coca/core/view.hpp"
#include "coca/kernel/forward_plan.hpp"
#include "coca/kernel/load.hpp"
#include "coca/kernel/options.hpp"
#include "coca/kernel/sequences.hpp"
#include "coca/kernel/softmax.hpp"
#include "coca/kernel/tile_engine.hpp"
#include "coca/position/token_positions.hpp"
#include "coca/scheme/scheme.hpp"

/// A call of the forward kernel, and the operands of one of its items on their way into work memory.
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

/// Brings the rows of one item, and the keys and values they meet, into work memory: phi of its
/// queries as rows, psi of keys and values in panels.
template <class Call>
class ForwardOperands {
 public:
  using T = typename Call::Real;
  using S = std::remove_cvref_t<decltype(std::declval<Call>().scheme)>;

  ForwardOperands(const Call& call, const TileEngine<T>& engine, const ForwardWidths& widths,
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
        rows_(item.end - item.begin) {}

  const Sequence& sequence() const { return sequence_; }
  const NarrowEngine& narrow() const { return narrow_; }
  Index rows() const { return rows_; }
  /// Which query, and which head, a row is.
  Index query_of(Index row) const { return (row_begin_ + row) / group_; }
  Index head_of(Index row) const { return key_head_ * group_ + (row_begin_ + row) % group_; }
  /// The heads of all rows.
  Index first_head() const { return key_head_ * group_; }
  Index last_head() const { return first_head() + group_ - 1; }
  Position query_offset() const { return query_positions_.first; }
  Position key_offset() const { return key_positions_.first; }

  /// Count of keys or columns, up to whole vectors.
  Index whole_vectors(Index count) const {
    return (count + engine_.vector - 1) / engine_.vector * engine_.vector;
  }

  /// All rows of the item: factor * phi(q), no sums, and the logits of the sinks as maxima.
  void load_queries(T factor) {
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
    const Index stride = widths_.sums + widths_.vector;
    std::fill_n(buffers_.sums, rows_ * stride, T(0));
    for (Index row = 0; row < rows_; ++row) {
      // A sink is a weight of 2^0 without a value.
      const T sink = sink_of(head_of(row)) * kLog2e<T>;
      buffers_.maxima[row] = sink;
      if (sink != kMinusInfinity<T>) buffers_.sums[row * stride + widths_.sums] = T(1);
    }
  }

  /// A block of keys and their values.
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

  /// Whether all values of the block were finite. NaN and Inf are set aside: in a matrix product they
  /// would reach, as 0 * NaN, the rows that do not see them.
  bool values_finite() const { return values_finite_; }

  /// One row of values as it came, in `scratch` if it is not in T already.
  std::span<const T> value_row(Index key, T* scratch) const {
    return token_row(narrow_, call_.v, sequence_.batch, sequence_.first_key + key, key_head_,
                     scratch);
  }

  /// Asks for a key and its value ahead of their use.
  void prefetch_key(Index key) const {
    prefetch_row(call_.k, sequence_.batch, sequence_.first_key + key, key_head_);
    prefetch_row(call_.v, sequence_.batch, sequence_.first_key + key, key_head_);
  }

 private:
  /// How many rows of queries are asked for ahead of their use.
  static constexpr Index kRowsAhead = 16;

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
  bool values_finite_ = true;
};

}  // namespace coca::inline v0::detail
