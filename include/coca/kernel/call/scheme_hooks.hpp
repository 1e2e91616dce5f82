#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <type_traits>

#include "coca/core/scalar.hpp"
#include "coca/core/target.hpp"
#include "coca/kernel/item_rows.hpp"
#include "coca/kernel/key_block.hpp"
#include "coca/kernel/key_rows.hpp"
#include "coca/kernel/load.hpp"
#include "coca/kernel/tile_functions.hpp"
#include "coca/position/panel_turns.hpp"
#include "coca/scheme/adjoint.hpp"
#include "coca/scheme/scheme.hpp"

/// A scheme as the kernels see it: functions that take many tokens at a time, so that what is compiled for each scheme
/// is these loops alone, and a kernel once.
namespace coca::inline v0::detail {

template <class X>
std::span<X> span_of(X* first, Index count) {
  return {first, static_cast<std::size_t>(count)};
}

/// The queries of an item on their way to phi.
template <Real T>
struct QuerySource {
  const ItemRows& rows;
  const AnyInput& tensor;
  const NarrowEngine* narrow;
  void (*scale)(const T* from, T* to, Index count, T factor);  ///< TileEngine::scale
  T* scratch;                                                  ///< one token
  Index width;                                                 ///< of phi

  /// How many queries ahead of its use a row of them is asked for.
  static constexpr Index kAhead = 8;

  [[gnu::always_inline]] const T* row(Index query, Index head) const {
    const TokenRows<const std::byte> queries(tensor, rows.sequence().batch, head);
    const Index place = rows.sequence().first_query + query;
    if (query + kAhead < rows.sequence().queries) prefetch_row(queries, place + kAhead);
    return contiguous_row(narrow, queries, place, scratch);
  }
};

/// The keys of an item on their way to psi.
template <Real T>
struct KeySource {
  const ItemRows& rows;
  const KeyRows<T>& keys;
  const NarrowEngine* narrow;
  T* scratch;   ///< one token
  Index width;  ///< of psi
};

/// Products of some rows and keys, on their way to scores; rows of the tile are `stride` apart.
template <Real T>
struct LogitTile {
  const ItemRows& rows;
  T* scores;
  T* derivatives;  ///< of the natural scores by the products, where they are wanted; else null
  Index stride;
  Index row;    ///< the first of the rows
  Index count;  ///< of rows
  Index base;   ///< what the numbers of keys count from
  KeyRange keys;
};

/// The pairs of coordinates that a rope turns, and those that it does not, which have angles of 0.
struct PairRuns {
  std::array<CoordinatePairs, 2> runs;
  std::size_t count = 0;
  Index pairs = 0;  ///< in all

  template <class Use>
  void for_each(const Use& use) const {
    for (std::size_t i = 0; i < count; ++i) use(runs[i]);
  }
};
template <class R>
PairRuns pair_runs(const R& rope) {
  PairRuns result;
  result.pairs = rope.dim() / 2;
  const auto some = [&](Index begin, Index end) {
    if (begin == end) return;
    const auto [first, second] = rope.pair(begin);
    result.runs[result.count++] = {begin, end - begin, first, second, rope.pair_step()};
  };
  some(0, rope.rotary_dim() / 2);
  some(rope.rotary_dim() / 2, rope.dim() / 2);
  return result;
}

/// What the kernels ask of a scheme.
template <Real T>
struct SchemeFunctions {
  /// phi of all rows of an item, times `factor`, `stride` apart. Null where phi is the query itself.
  void (*map_queries)(const void* scheme, const QuerySource<T>& from, T* phi, Index stride,
                      T factor);
  /// psi of keys first .. first + count, `stride` apart. Null where psi is the key itself.
  void (*map_keys)(const void* scheme, const KeySource<T>& from, Index first, Index count, T* psi,
                   Index stride);
  /// psi of one key; null likewise.
  void (*map_key)(const void* scheme, std::span<const T> k, const Token& token, std::span<T> psi);
  /// scores = factor * logit(scores). Null where the scheme leaves logits alone.
  void (*logits)(const void* scheme, const LogitTile<T>& tile, T factor);

  /// How keys turn, and where they do:
  TurnedKey turned = TurnedKey::no;
  PairRuns (*pair_runs)(const void* scheme);
  PanelTurns<T> (*panel_turns)(const void* scheme);
  void (*cos_sin)(const void* scheme, Position n, T* cosines, T* sines);
  const PackedTurns<T>& (*packed_turns)(Target which);
};

/// What the backward pass asks of a scheme as well.
template <Real T>
struct AdjointFunctions {
  void (*map_query_adjoint)(const void* scheme, std::span<const T> q, const Token& token,
                            std::span<T> dphi, std::span<T> dq);
  void (*map_key_adjoint)(const void* scheme, std::span<const T> k, const Token& token,
                          std::span<T> dpsi, std::span<T> dk);
  /// As SchemeFunctions::logits, with derivatives.
  void (*logits)(const void* scheme, const LogitTile<T>& tile, T factor);
};

/// The hooks of scheme S.
template <class S, Real T>
struct SchemeHooks {
  static const S& scheme_of(const void* scheme) { return *static_cast<const S*>(scheme); }

  static void map_queries(const void* any, const QuerySource<T>& from, T* phi, Index stride,
                          T factor) {
    const S& scheme = scheme_of(any);
    on_target(
        target(), [&]() __attribute__((always_inline)) {
          from.rows.for_each_row([&](Index row, Index query,
                                     Index head) __attribute__((always_inline)) {
            const T* q = from.row(query, head);
            T* to = phi + row * stride;
            scheme.map_query(span_of(q, from.tensor.shape[3]), from.rows.query_token(query, head),
                             span_of(to, from.width));
            from.scale(to, to, from.width, factor);
          });
        });
  }
  static void map_keys(const void* any, const KeySource<T>& from, Index first, Index count, T* psi,
                       Index stride) {
    const S& scheme = scheme_of(any);
    on_target(
        target(), [&]() __attribute__((always_inline)) {
          for (Index i = 0; i < count; ++i) {
            const T* k = from.keys.row(from.narrow, first + i, from.scratch);
            scheme.map_key(span_of(k, from.keys.width()), from.rows.key_token(first + i),
                           span_of(psi + i * stride, from.width));
          }
        });
  }
  static void map_key(const void* any, std::span<const T> k, const Token& token, std::span<T> psi) {
    scheme_of(any).map_key(k, token, psi);
  }
  template <bool Derivatives>
  static void logits(const void* any, const LogitTile<T>& tile, T factor) {
    const S& scheme = scheme_of(any);
    for (Index r = 0; r < tile.count; ++r) {
      T* scores = tile.scores + r * tile.stride;
      Site at = tile.rows.site(tile.row + r, 0);
      for (Index key = tile.keys.first; key < tile.keys.last; ++key) {
        at.key_index = tile.base + key;
        if constexpr (Derivatives) {
          tile.derivatives[r * tile.stride + key] =
              static_cast<T>(scheme.logit_derivative(scores[key], at));
        }
        scores[key] = factor * static_cast<T>(scheme.logit(scores[key], at));
      }
    }
  }
  static PairRuns pair_runs(const void* any) { return detail::pair_runs(scheme_of(any).rope()); }
  static PanelTurns<T> panel_turns(const void* any) {
    return scheme_of(any).rope().template panel_turns<T>();
  }
  static void cos_sin(const void* any, Position n, T* cosines, T* sines) {
    scheme_of(any).rope().cos_sin(n, cosines, sines);
  }

  static void map_query_adjoint(const void* any, std::span<const T> q, const Token& token,
                                std::span<T> dphi, std::span<T> dq) {
    on_target(
        target(), [&]() __attribute__((always_inline)) {
          scheme_of(any).map_query_adjoint(q, token, dphi, dq);
        });
  }
  static void map_key_adjoint(const void* any, std::span<const T> k, const Token& token,
                              std::span<T> dpsi, std::span<T> dk) {
    on_target(
        target(), [&]() __attribute__((always_inline)) {
          scheme_of(any).map_key_adjoint(k, token, dpsi, dk);
        });
  }

  static constexpr SchemeFunctions<T> functions() {
    SchemeFunctions<T> table{};
    if constexpr (!KeepsQueries<S, T>) table.map_queries = map_queries;
    if constexpr (!KeepsKeys<S, T>) {
      table.map_keys = map_keys;
      table.map_key = map_key;
    }
    if constexpr (TransformsLogits<S, T>) table.logits = logits<false>;
    if constexpr (TurnsKeys<S>) {
      table.turned = kTurnedKey<S>;
      table.pair_runs = pair_runs;
      table.panel_turns = panel_turns;
      table.cos_sin = cos_sin;
      table.packed_turns = packed_turns<T>;
    }
    return table;
  }
  static constexpr AdjointFunctions<T> adjoint_functions() {
    AdjointFunctions<T> table{};
    if constexpr (!KeepsQueries<S, T>) table.map_query_adjoint = map_query_adjoint;
    if constexpr (!KeepsKeys<S, T>) table.map_key_adjoint = map_key_adjoint;
    if constexpr (TransformsLogits<S, T>) table.logits = logits<true>;
    return table;
  }
};

template <class S, Real T>
inline constexpr SchemeFunctions<T> kSchemeFunctions = SchemeHooks<S, T>::functions();
template <class S, Real T>
inline constexpr AdjointFunctions<T> kAdjointFunctions = SchemeHooks<S, T>::adjoint_functions();

/// A scheme, its type erased. It does not own the scheme.
template <Real T>
struct AnyScheme {
  const void* scheme;
  const SchemeFunctions<T>* functions;

  template <class S>
  static AnyScheme of(const S& scheme) {
    return {&scheme, &kSchemeFunctions<S, T>};
  }

  bool keeps_queries() const { return functions->map_queries == nullptr; }
  bool keeps_keys() const { return functions->map_keys == nullptr; }
  bool turns_keys() const { return functions->turned != TurnedKey::no; }
};

/// phi of all rows of an item, times `factor`, `stride` apart.
template <Real T>
void map_queries(const AnyScheme<T>& scheme, const QuerySource<T>& from, T* phi, Index stride,
                 T factor) {
  if (!scheme.keeps_queries()) {
    return scheme.functions->map_queries(scheme.scheme, from, phi, stride, factor);
  }
  from.rows.for_each_row([&](Index row, Index query, Index head) {
    from.scale(from.row(query, head), phi + row * stride, from.width, factor);
  });
}

}  // namespace coca::inline v0::detail
