#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <type_traits>
#include <variant>

#include "coca/core/scalar.hpp"
#include "coca/core/workspace.hpp"
#include "coca/kernel/load.hpp"
#include "coca/kernel/row_sums.hpp"
#include "coca/kernel/sequences.hpp"
#include "coca/kernel/softmax.hpp"
#include "coca/kernel/tile_engine.hpp"
#include "coca/mask/mask.hpp"
#include "coca/position/token_positions.hpp"
#include "coca/scheme/scheme.hpp"

/// The query side of a work item: its rows, from the tensor and back.
namespace coca::inline v0::detail {

/// Rows in a tile, whole groups of them: 60 x 128 scores are 30 KB of float.
inline constexpr Index kTileRows = 10 * kRowGroup;

/// Widths of a call.
struct ForwardWidths {
  Index score;   ///< of phi and psi
  Index value;   ///< of values
  Index sums;    ///< of values, in whole vectors
  Index vector;  ///< of the engine
  Index token;   ///< of the widest operand

  template <Real T>
  ForwardWidths(const TileEngine<T>& engine, const AttentionShape& shape, Index score_dim,
                Index key_dim)
      : score(score_dim),
        value(shape.value_dim),
        sums((shape.value_dim + engine.vector - 1) / engine.vector * engine.vector),
        vector(engine.vector),
        token(std::max({shape.query_dim, key_dim, shape.value_dim})) {}

  /// From one row of sums to the next.
  Index row() const { return sums + vector; }
};

/// What a worker needs to walk over tiles, wherever their keys come from.
template <Real T>
struct TileBuffers {
  T* queries = nullptr;  ///< rows x score
  RowSums<T> sums;       ///< rows x (sums + vector)
  RowSums<T> totals;     ///< as many, over keys further back; null where sums stay few
  T* scores = nullptr;   ///< kTileRows x kTileKeys
  T* scratch = nullptr;  ///< one token

  TileBuffers() = default;
  TileBuffers(T* q, const RowSums<T>& o, const RowSums<T>& all, T* tile, T* token)
      : queries(q), sums(o), totals(all), scores(tile), scratch(token) {}
};

/// The rows of one work item: those of one sequence and key head from begin to end, where row r is
/// query r / group, head r % group of the group.
struct ForwardItem {
  Sequence sequence;
  Index key_head;
  Index begin;
  Index end;
};

template <class Call>
class QueryRows {
 public:
  using T = typename Call::Number;
  using S = typename Call::Scheme;

  QueryRows(const Call& call, const TileEngine<T>& engine, const ForwardWidths& widths,
            const TileBuffers<T>& buffers, const ForwardItem& item)
      : call_(call),
        engine_(engine),
        narrow_(narrow_engine(target())),
        widths_(widths),
        tile_(buffers),
        sequence_(item.sequence),
        query_positions_{item.sequence.query_offset, call.options.query_ids},
        key_positions_{call.options.first_key, call.options.key_ids},
        key_head_(item.key_head),
        group_(call.group()),
        row_begin_(item.begin),
        rows_(item.end - item.begin) {}

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

  /// All rows of the item: factor * phi(q), and no sums yet.
  void load_queries(T factor) {
    on_target(
        target(), [&]() __attribute__((always_inline)) {
          for_each_row([&](Index row, Index query, Index head) __attribute__((always_inline)) {
            const TokenRows<const std::byte> rows(call_.tensors.q, sequence_.batch, head);
            const Index place = sequence_.first_query + query;
            if (query + kQueriesAhead < sequence_.queries) {
              prefetch_row(rows, place + kQueriesAhead);
            }
            const T* q = contiguous_row(narrow_, rows, place, tile_.scratch);
            T* phi = tile_.queries + row * widths_.score;
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
    tile_.sums.clear(rows_);
  }

  /// Adds the sinks: each is a weight of 2^0 without a value, at a maximum of its own logit.
  void add_sinks() const {
    for_each_row([&](Index row, Index, Index head) {
      const T sink = sink_of(head) * kLog2e<T>;
      tile_.sums.maxima[row] = sink;
      if (sink != kMinusInfinity<T>) tile_.sums.row(row)[widths_.sums] = T(1);
    });
  }

  /// out = O / sum and lse = max + log(sum), for all rows.
  void store() const {
    for_each_row([&](Index row, Index query, Index head) {
      const T* sums = tile_.sums.row(row);
      const T sum = sum_of_lanes(sums + widths_.sums);
      const TokenRows<std::byte> out(call_.tensors.out, sequence_.batch, head);
      const Index place = sequence_.first_query + query;
      if (query + kQueriesAhead < sequence_.queries) prefetch_row(out, place + kQueriesAhead);
      // A row that saw nothing has sums of 0: it gives zeros.
      store_row(engine_, narrow_, sums, out, place, sum == T(0) ? T(1) : T(1) / sum);
      std::visit(
          [&](const auto& lse) {
            if constexpr (requires { lse(Index{}, Index{}, Index{}); }) {
              auto& to = lse(sequence_.batch, head, place);
              to = static_cast<std::remove_reference_t<decltype(to)>>(
                  log_sum_exp(tile_.sums.maxima[row], sum));
            }
          },
          call_.options.lse);
    });
  }

 protected:
  /// How many queries ahead of its use a row of them is asked for.
  static constexpr Index kQueriesAhead = 8;

  template <class X>
  static std::span<X> span(X* first, Index count) {
    return {first, static_cast<std::size_t>(count)};
  }

  /// The sum of a vector. Of two halves: in one row each addition would wait for the one before.
  T sum_of_lanes(const T* vector) const {
    const Index half = widths_.vector / 2;
    T first = vector[0];
    T second = vector[half];
    for (Index i = 1; i < half; ++i) {
      first += vector[i];
      second += vector[half + i];
    }
    return first + second;
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

  const Call& call_;
  const TileEngine<T>& engine_;
  const NarrowEngine& narrow_;
  const ForwardWidths& widths_;
  TileBuffers<T> tile_;
  Sequence sequence_;
  TokenPositions query_positions_;
  TokenPositions key_positions_;
  Index key_head_;
  Index group_;
  Index row_begin_;
  Index rows_;
};

}  // namespace coca::inline v0::detail
