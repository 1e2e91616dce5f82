#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>
#include <variant>

#include "coca/core/any_tensor.hpp"
#include "coca/core/scalar.hpp"
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
template <Real T, class S, class M>
struct ForwardCall {
  using Number = T;  ///< what is computed with

  Tensors tensors;
  const S& scheme;
  const M& mask;
  AttentionShape shape;
  Sequences sequences;
  T scale;
  T soft_cap;  ///< 0: none
  const AttentionOptions& options;

  Index group() const { return shape.query_heads / shape.key_heads; }
};

/// Up to so many rows of a whole sequence, packing its keys would take longer than to use them once.
/// Of the sequence, not the item: how a call is cut must not change a row's result.
inline constexpr Index kFewRows = 4;

/// Brings the rows of one item, and the keys and values they meet, into work memory: phi of its
/// queries as rows; psi of keys, and values, in panels, or as rows where rows are few.
template <class Call>
class ForwardOperands {
 public:
  using T = typename Call::Number;
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
        keys_(call.tensors.k, sequence_.batch, item.key_head),
        values_(call.tensors.v, sequence_.batch, item.key_head),
        key_head_(item.key_head),
        group_(call.group()),
        row_begin_(item.begin),
        rows_(item.end - item.begin),
        few_rows_(sequence_.queries * group_ <= kFewRows) {}

  const Sequence& sequence() const { return sequence_; }
  Index rows() const { return rows_; }
  /// Which query, and which head, a row is.
  Index query_of(Index row) const { return (row_begin_ + row) / group_; }
  Index head_of(Index row) const { return key_head_ * group_ + (row_begin_ + row) % group_; }
  /// The heads of all rows.
  Index first_head() const { return key_head_ * group_; }
  Index last_head() const { return first_head() + group_ - 1; }
  Position query_offset() const { return query_positions_.first; }
  Position key_offset() const { return key_positions_.first; }

  /// Calls visit(row, query, head) for all rows, in order.
  template <class Visit>
  [[gnu::always_inline]] void for_each_row(const Visit& visit) const {
    Index query = query_of(0);
    Index head = head_of(0);
    for (Index row = 0; row < rows_; ++row) {
      visit(row, query, head);
      if (head++ < last_head()) continue;
      head = first_head();
      ++query;
    }
  }

  /// Count of keys or columns, up to whole vectors.
  Index whole_vectors(Index count) const {
    return (count + engine_.vector - 1) / engine_.vector * engine_.vector;
  }

  /// All rows of the item: factor * phi(q), no sums, and the logits of the sinks as maxima.
  void load_queries(T factor) {
    on_target(
        target(), [&]() __attribute__((always_inline)) {
          for_each_row([&](Index row, Index query, Index head) __attribute__((always_inline)) {
            const TokenRows<const std::byte> rows(call_.tensors.q, sequence_.batch, head);
            const Index place = sequence_.first_query + query;
            if (query + kQueriesAhead < sequence_.queries) {
              prefetch_row(rows, place + kQueriesAhead);
            }
            const T* q = contiguous_row(narrow_, rows, place, buffers_.scratch);
            T* phi = buffers_.queries + row * widths_.score;
            if constexpr (KeepsQueries<S, T>) {
              engine_.scale(q, phi, widths_.score, factor);
            } else {
              const Token token{query_positions_(sequence_.batch, place, query), sequence_.index,
                                query, head};
              call_.scheme.map_query(span(q, call_.shape.query_dim), token,
                                     span(phi, widths_.score));
              engine_.scale(phi, phi, widths_.score, factor);
            }
          });
        });
    const Index stride = widths_.sums + widths_.vector;
    std::fill_n(buffers_.sums, rows_ * stride, T(0));
    for_each_row([&](Index row, Index, Index head) {
      // A sink is a weight of 2^0 without a value.
      const T sink = sink_of(head) * kLog2e<T>;
      buffers_.maxima[row] = sink;
      if (sink != kMinusInfinity<T>) buffers_.sums[row * stride + widths_.sums] = T(1);
    });
  }

  /// A block of keys and their values.
  void load_keys(Index key_begin, Index key_end) {
    const Index keys = key_end - key_begin;
    values_finite_ = true;
    for (Index first = 0; first < keys; first += kPackKeys) {
      const Index count = std::min(kPackKeys, keys - first);
      load_some_keys(key_begin, first, count);
      load_some_values(key_begin, first, count);
    }
    if (!values_finite_) set_aside_non_finite(keys);
  }

  /// scores = Q K^T for some rows and the loaded keys first .. last, whole vectors.
  void scores(Index row, Index rows, Index first, Index last) const {
    const T* queries = buffers_.queries + row * widths_.score;
    if (few_rows_) {
      engine_.few_scores(queries, key_rows_.data(), buffers_.scores, rows, first, last,
                         widths_.score);
    } else {
      engine_.scores(queries, buffers_.keys, buffers_.scores, rows, first, last, widths_.score);
    }
  }

  /// O = O + P V for some rows and the loaded keys first .. last.
  void add_values(Index row, Index rows, Index first, Index last) const {
    T* sums = buffers_.sums + row * (widths_.sums + widths_.vector);
    const T* weights = buffers_.scores + first;
    if (few_rows_) {
      engine_.few_values(weights, value_rows_.data() + first, sums, rows, last - first,
                         widths_.value, widths_.sums);
    } else {
      engine_.add_values(weights, buffers_.values, sums, rows, first, last - first, widths_.sums);
    }
  }

  /// Whether all values in the panels were finite. NaN and Inf are set aside: in a matrix product
  /// they would reach, as 0 * NaN, the rows that do not see them.
  bool values_finite() const { return values_finite_; }

  /// One row of values as it came, in `scratch` if it is not in T already.
  const T* value_row(Index key, T* scratch) const {
    return contiguous_row(narrow_, values_, sequence_.first_key + key, scratch);
  }

  /// Asks for a key and its value ahead of their use.
  void prefetch_key(Index key) const {
    prefetch_row(keys_, sequence_.first_key + key);
    prefetch_row(values_, sequence_.first_key + key);
  }

  /// One row's sums, times factor, to the output.
  void store(Index query, Index head, const T* sums, T factor) const {
    store_row(engine_, narrow_, sums,
              TokenRows<std::byte>(call_.tensors.out, sequence_.batch, head),
              sequence_.first_query + query, factor);
  }

 private:
  /// How many queries ahead of its use a row of them is asked for.
  static constexpr Index kQueriesAhead = 8;

  template <class X>
  static std::span<X> span(X* first, Index count) {
    return {first, static_cast<std::size_t>(count)};
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

  void load_some_keys(Index key_begin, Index first, Index count) {
    const T** rows = key_rows_.data() + (few_rows_ ? first : 0);
    // Rows that stay rows have the place of the panels.
    T* memory = few_rows_ ? buffers_.keys + first * widths_.score : buffers_.key_rows;
    on_target(
        target(), [&]() __attribute__((always_inline)) {
          for (Index i = 0; i < count; ++i) {
            rows[i] = key_row(key_begin + first + i, memory + i * widths_.score);
          }
        });
    // What fills up a vector may be any numbers: their scores are not looked at.
    const Index whole = whole_vectors(count);
    std::fill(rows + count, rows + whole, rows[0]);
    if (!few_rows_) engine_.pack_keys(rows, buffers_.keys, first, whole, widths_.score);
  }

  /// psi of one key, in `to` if it is not where it was.
  [[gnu::always_inline]] const T* key_row(Index key, T* to) const {
    const Index place = sequence_.first_key + key;
    if constexpr (KeepsKeys<S, T>) {
      return contiguous_row(narrow_, keys_, place, to);
    } else {
      const Token token{key_positions_(sequence_.batch, place, key), sequence_.index, key,
                        key_head_};
      call_.scheme.map_key(
          span(contiguous_row(narrow_, keys_, place, buffers_.scratch), keys_.width), token,
          span(to, widths_.score));
      return to;
    }
  }

  void load_some_values(Index key_begin, Index first, Index count) {
    const T** rows = value_rows_.data() + (few_rows_ ? first : 0);
    T* memory = few_rows_ ? buffers_.values + first * widths_.value : buffers_.value_rows;
    for (Index i = 0; i < count; ++i) {
      rows[i] = value_row(key_begin + first + i, memory + i * widths_.value);
    }
    if (few_rows_) return;
    values_finite_ &= engine_.pack_values(rows, buffers_.values, first, count, widths_.value);
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
  TokenRows<const std::byte> keys_;
  TokenRows<const std::byte> values_;
  Index key_head_;
  Index group_;
  Index row_begin_;
  Index rows_;
  bool few_rows_;
  bool values_finite_ = true;
  std::array<const T*, kTileKeys> key_rows_;  ///< of the block, where rows are few
  std::array<const T*, kTileKeys> value_rows_;
};

}  // namespace coca::inline v0::detail
