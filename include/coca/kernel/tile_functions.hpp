#pragma once

#include <cstddef>
#include <cstdint>

#include "coca/core/scalar.hpp"

/// What the hot loops of a tile do, as tables of functions: those of each instruction set are made by
/// kernel/tile_engine.hpp. They know numbers and layouts only: no scheme, no mask, no option.
///
/// Layouts. Queries, scores, weights and sums are row-major. Keys and values are cut into panels, a
/// few vectors wide: a panel of keys holds, for each coordinate, `panel` keys side by side; a panel
/// of values holds, for each key, so many columns side by side, the last ones fewer (panel_width).
namespace coca::inline v0::detail {

/// Keys in a tile. 128 keys of 128 floats are 64 KB: with their values they stay in L2, and one
/// panel of them in L1.
inline constexpr Index kTileKeys = 128;

/// Keys that are packed at a time: whole vectors of every instruction set.
inline constexpr Index kPackKeys = 16;

/// Tokens in a panel of a cache (kernel/panels.hpp).
inline constexpr Index kPanelTokens = 16;

/// Rows whose sums are in registers at a time: 6 x 4 vectors of 32 registers, 6 x 2 of 16, beside
/// what is loaded.
inline constexpr Index kRowGroup = 6;

/// A count of numbers, rounded up or down to whole vectors; the width of a vector is a power of 2.
constexpr Index round_up(Index count, Index vector) { return (count + vector - 1) & -vector; }
constexpr Index round_down(Index count, Index vector) { return count & -vector; }

/// Width of the panel of values that starts `remaining` columns, whole vectors, before the end.
constexpr Index panel_width(Index panel, Index remaining) {
  while (panel > remaining) panel /= 2;
  return panel;
}

/// A panel of a cache, and what will be read after it, which is asked for meanwhile.
struct CachedPanel {
  const std::byte* data;
  const std::byte* ahead;
};

/// Pairs of coordinates: where the members of the first of them are, and how far it is from a pair's
/// to the next one's.
struct CoordinatePairs {
  Index begin;  ///< the number of the first pair
  Index count;
  Index first;
  Index second;
  Index step;
};

/// What is done with the keys of a panel that turn with their places in it. Of each pair, `angles`
/// holds kPanelTokens cosines, then sines.
template <Real T>
struct TurnFunctions {
  /// scores[rows x kPanelTokens] (+)= queries . keys, of some pairs of coordinates. Rows of queries are
  /// `stride` apart.
  void (*scores)(const T* queries, Index stride, const CachedPanel& keys,
                 const CoordinatePairs& pairs, const T* angles, T* scores, Index rows, bool add);

  /// psi = the same keys, coordinate by coordinate: for so many rows that it is worth writing them.
  void (*turn)(const CachedPanel& keys, const CoordinatePairs& pairs, const T* angles, T* psi);
};

/// What is done with panels of a cache (kernel/panels.hpp), of one type of element. kPanelTokens is
/// also how many columns of values lie side by side.
template <Real T>
struct PanelFunctions {
  /// scores[rows x kPanelTokens] = queries . keys.
  void (*scores)(const T* queries, const CachedPanel& keys, T* scores, Index rows, Index depth);

  /// sums[rows x columns] += weights[rows x keys] . values, over the values from the one at `first` of
  /// the first panel on, to which `weights` points. Columns are whole vectors.
  void (*values)(const T* weights, const CachedPanel* panels, T* sums, Index rows, Index first,
                 Index keys, Index columns);

  /// Of keys with both members a and b of a pair: (a c - b s, b c + a s).
  TurnFunctions<T> whole;
  /// Of keys with one number t a pair: (t c, t s).
  TurnFunctions<T> halves;
};

/// The products of a tile whose operands are bfloat16, two of them in the place of a T, which is float:
/// pairs of coordinates of queries and keys, pairs of keys of weights and values. Only where the
/// processor multiplies pairs. `depth`, `first_key` and `keys` of the products count pairs; else they,
/// and how keys are packed, are those of TileEngine.
template <Real T>
struct Bfloat16Functions {
  /// to = from, rounded to nearest, ties to even, and a 0 behind an odd count. May be in place.
  void (*round)(const T* from, T* to, Index count);

  /// Rows of bfloat16 values -> pairs of keys in the panels, from key `first` on, which is even.
  bool (*pack_values)(const T* const* rows, T* panels, Index first, Index keys, Index dim);

  /// scores = factor * queries . panels^T.
  void (*scores)(const T* queries, const T* panels, T* scores, Index rows, Index first, Index last,
                 Index depth, T factor);

  /// Rows of weights -> pairs in their first half.
  void (*round_weights)(T* weights, Index rows, Index count);

  void (*add_values)(const T* weights, const T* values, T* sums, Index rows, Index first_key,
                     Index keys, Index columns);

  /// As PanelFunctions of bfloat16, in pairs of coordinates, and of tokens. Beside the last of an odd
  /// number of coordinates a query has a 0, which meets whatever lies behind the keys.
  void (*panel_scores)(const T* queries, const CachedPanel& keys, T* scores, Index rows,
                       Index depth, T factor);
  void (*panel_values)(const T* weights, const CachedPanel* panels, T* sums, Index rows,
                       Index first, Index pairs, Index columns);
};

/// The same with panels of int8 in integers: queries and weights are rounded to 16 bits, and so are keys
/// when they have turned. A rounded row has two integers in the place of a T, which is float, and behind
/// them the unit that they count: depth / 2 + 1 places of a row of queries, an odd one with a 0 beside
/// it, which meets whatever lies behind the keys. `angles` holds for each pair cosine and sine of the places of a panel, then minus sine and cosine,
/// in multiples of 2^-13. Only where the instruction set is worth it.
template <Real T>
struct Int8Functions {
  void (*round_queries)(const T* queries, T* rounded, Index rows, Index depth);
  void (*scores)(const T* rounded, const CachedPanel& keys, T* scores, Index rows, Index depth);

  /// The units of queries, however they may turn; queries become multiples of them.
  void (*scale_to_units)(T* queries, T* rounded, Index rows, Index depth);
  /// Those turned as by turn_rows, and rounded pair by pair.
  void (*turn_queries)(const T* queries, const CoordinatePairs& pairs, const T* cosines,
                       const T* sines, T* rounded, Index rows, Index depth);
  /// As TurnFunctions::scores.
  void (*whole)(const T* rounded, Index depth, const CachedPanel& keys,
                const CoordinatePairs& pairs, const std::int16_t* angles, T* scores, Index rows,
                bool add);
  void (*halves)(const T* rounded, Index depth, const CachedPanel& keys,
                 const CoordinatePairs& pairs, const std::int16_t* angles, T* scores, Index rows,
                 bool add);

  /// Rows of an even count of weights, in their place.
  void (*round_weights)(T* weights, Index rows, Index keys);
  /// As PanelFunctions::values, in pairs of tokens.
  void (*values)(const T* rounded, const CachedPanel* panels, T* sums, Index rows, Index first,
                 Index pairs, Index columns);
};

/// What decoding does beyond TileEngine. Apart, as GradientFunctions are, so that who does not decode does
/// not compile it.
template <Real T>
struct CacheFunctions {
  /// What is done with panels of a cache, by the type of their elements.
  const PanelFunctions<T>& (*panels)(ElementType type);

  /// Turns pairs of coordinates of some rows, `stride` apart, each pair by its own angle:
  /// (a, b) -> (a c - b s, b c + a s). `from` and `to` may be the same.
  void (*turn_rows)(const T* from, const CoordinatePairs& pairs, const T* cosines, const T* sines,
                    T* to, Index rows, Index stride);

  /// x[rows x count], kTileKeys apart, times a factor for each column.
  void (*scale_columns)(T* x, Index rows, Index count, const T* factors);

  /// The products with int8 in integers, if the instruction set has them; else null.
  const Int8Functions<T>* int8;
};

/// What the backward pass does beyond TileEngine. Rows lie as far apart as each call says; columns are whole
/// vectors.
template <Real T>
struct GradientFunctions {
  /// c[rows x first .. last] = a[rows x depth] . panels^T, as TileEngine::scores.
  void (*multiply_keys)(const T* a, Index a_stride, const T* panels, T* c, Index c_stride,
                        Index rows, Index first, Index last, Index depth);
  /// c[rows x columns] += a[rows x depth] . b[depth x columns].
  void (*add_product)(const T* a, Index a_stride, const T* b, Index b_stride, T* c, Index c_stride,
                      Index rows, Index columns, Index depth);
  /// c[rows x columns] += a[depth x rows]^T . b[depth x columns].
  void (*add_transposed)(const T* a, Index a_stride, const T* b, Index b_stride, T* c,
                         Index c_stride, Index rows, Index columns, Index depth);

  /// With p = 2^(score - shift) of the row: scores become p, products become p (product - mean);
  /// where a score is -inf, both become 0 whatever else there is.
  void (*weigh)(T* scores, T* products, Index stride, Index rows, Index count, const T* shifts,
                const T* means);
  /// derivatives[count] (*)= 1 - (inverse * score)^2: `first` does not look at what was there.
  void (*derive_soft_cap)(const T* scores, T* derivatives, Index count, T inverse, bool first);
  /// x *= factors.
  void (*multiply)(T* x, const T* factors, Index stride, Index rows, Index count);

  /// Of any count.
  T (*dot)(const T* x, const T* y, Index count);
  bool (*all_finite)(const T* x, Index count);
};

/// The functions of one instruction set. Rows of scores and weights are kTileKeys apart, rows of
/// sums `columns + vector`: behind the sums of the value columns, a row has one vector of partial
/// sums of its weights, which comes onto a new maximum with them.
template <Real T>
struct TileEngine {
  Index vector;  ///< numbers in a vector; columns of sums are padded to this
  Index panel;   ///< keys, or columns, in a panel

  /// Rows of keys -> coordinates begin .. depth of their place in the panels, from key `first` on;
  /// `first` and `keys` are whole vectors.
  void (*pack_keys)(const T* const* rows, T* panels, Index first, Index keys, Index begin,
                    Index depth);

  /// Rows of values -> their place in the panels, from key `first` on; columns beyond `dim` up to a
  /// whole vector become 0. Returns whether all of them are finite.
  bool (*pack_values)(const T* const* rows, T* panels, Index first, Index keys, Index dim);

  /// scores[rows x keys first .. last] = queries[rows x depth] . panels^T, first and last whole
  /// vectors. Rows of queries are `depth` apart.
  void (*scores)(const T* queries, const T* panels, T* scores, Index rows, Index first, Index last,
                 Index depth);

  /// scores[rows x count], rows a stride apart, = height * tanh(scores), whole vectors.
  void (*soft_cap)(T* scores, Index stride, Index rows, Index count, T height);

  /// scores[count] of one row -= slope * |distance - i|, whole vectors.
  void (*add_slope)(T* scores, Index count, T distance, T slope);

  /// Brings maxima[rows] and sums up to date with scores in base 2 [rows x count], whole vectors,
  /// and turns those into weights 2^(score - maximum), which join their partial sums.
  void (*softmax)(T* scores, Index rows, Index count, T* maxima, T* sums, Index columns);

  /// sums[rows x columns] += weights[rows x keys] . values, over the keys from `first_key` on, to
  /// which `weights` points. Panels are kTileKeys rows apart; columns are whole vectors.
  void (*add_values)(const T* weights, const T* values, T* sums, Index rows, Index first_key,
                     Index keys, Index columns);

  /// The same two products with rows of keys and values as they are. A weight of 0 passes over its
  /// value, which need not be finite then; `dim` is how wide values are.
  void (*few_scores)(const T* queries, const T* const* keys, T* scores, Index rows, Index first,
                     Index last, Index depth);
  void (*few_values)(const T* weights, const T* const* values, T* sums, Index rows, Index keys,
                     Index dim, Index columns);

  /// to = factor * from, for any count; they may be the same.
  void (*scale)(const T* from, T* to, Index count, T factor);

  /// to = factor * to + from_factor * from, whole vectors.
  void (*add_scaled)(T* to, T factor, const T* from, T from_factor, Index count);
};

/// What is done with packed keys that turn with their positions.
template <Real T>
struct PackedTurns {
  /// Turns some pairs of keys that are packed, at most kPackKeys of them: the i-th by the angles at place
  /// i of `angles`, as TurnFunctions has them, and all by one more of each pair. Of both members of a
  /// pair: (a, b) -> (a c - b s, b c + a s).
  void (*whole)(T* panels, Index first, Index keys, Index depth, const CoordinatePairs& pairs,
                const T* angles, const T* cosines, const T* sines);
  /// Of one number t a pair, packed from coordinate depth / 2 on: t -> (t c, t s). Pairs in order, and
  /// no member of pair j behind coordinate depth / 2 + j.
  void (*halves)(T* panels, Index first, Index keys, Index depth, const CoordinatePairs& pairs,
                 const T* angles, const T* cosines, const T* sines);
};

/// The same of one instruction set for the narrow types, as their bits, `step` apart. Any count; to a narrow
/// type it rounds to nearest, ties to even.
struct NarrowEngine {
  void (*widen_half)(const std::uint16_t* from, Index step, float* to, Index count);
  void (*widen_bfloat16)(const std::uint16_t* from, Index step, float* to, Index count);
  void (*scale_to_half)(const float* from, std::uint16_t* to, Index step, Index count,
                        float factor);
  void (*scale_to_bfloat16)(const float* from, std::uint16_t* to, Index step, Index count,
                            float factor);
};

}  // namespace coca::inline v0::detail
