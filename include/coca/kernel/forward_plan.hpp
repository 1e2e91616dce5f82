#pragma once

#include <algorithm>
#include <cstddef>

#include "coca/core/scalar.hpp"
#include "coca/core/view.hpp"
#include "coca/core/workspace.hpp"
#include "coca/kernel/options.hpp"
#include "coca/kernel/tile_engine.hpp"
#include "coca/mask/mask.hpp"
#include "coca/position/token_positions.hpp"

/// A call of the forward kernel, how it is cut into work items, and the memory a worker needs.
namespace coca::inline v0::detail {

/// Rows in a tile, whole groups of them: 60 x 128 scores are 30 KB of float.
inline constexpr Index kTileRows = 60;

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

/// Widths of a call, and the work memory they ask for.
template <Real T>
struct ForwardWidths {
  Index score;  ///< of phi and psi
  Index value;  ///< of values, in whole vectors
  Index token;  ///< of the widest operand

  ForwardWidths(const TileEngine<T>& engine, const AttentionShape& shape, Index score_dim,
                Index key_dim)
      : score(score_dim),
        value((shape.value_dim + engine.vector - 1) / engine.vector * engine.vector),
        token(std::max({shape.query_dim, key_dim, shape.value_dim})) {}
};

/// One worker's memory, of a size that does not depend on the length of the sequence.
template <Real T>
struct ForwardBuffers {
  T* queries;               ///< rows_per_block x score
  T* sums;                  ///< rows_per_block x value
  SoftmaxState<T>* states;  ///< rows_per_block
  T* key_rows;              ///< kTileKeys x score, before they become panels
  T* keys;                  ///< kTileKeys x score, in panels
  T* values;                ///< kTileKeys x value, in panels
  T* scores;                ///< kTileRows x kTileKeys
  T* scratch;               ///< one token

  ForwardBuffers(Carver& carver, const ForwardPlan& plan, const ForwardWidths<T>& widths)
      : queries(carver.take<T>(plan.rows_per_block * widths.score)),
        sums(carver.take<T>(plan.rows_per_block * widths.value)),
        states(carver.take<SoftmaxState<T>>(plan.rows_per_block)),
        key_rows(carver.take<T>(kTileKeys * widths.score)),
        keys(carver.take<T>(kTileKeys * widths.score)),
        values(carver.take<T>(kTileKeys * widths.value)),
        scores(carver.take<T>(kTileRows * kTileKeys)),
        scratch(carver.take<T>(widths.token)) {}
};

/// Bytes one worker needs.
template <Real T>
std::size_t forward_bytes(const ForwardPlan& plan, const ForwardWidths<T>& widths) {
  Carver measure;
  ForwardBuffers<T>(measure, plan, widths);
  return measure.bytes();
}

}  // namespace coca::inline v0::detail
