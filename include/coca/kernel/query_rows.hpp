#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>

#include "coca/core/scalar.hpp"
#include "coca/core/workspace.hpp"
#include "coca/kernel/call/kernel_call.hpp"
#include "coca/kernel/item_rows.hpp"
#include "coca/kernel/load.hpp"
#include "coca/kernel/row_sums.hpp"
#include "coca/kernel/sequences.hpp"
#include "coca/kernel/softmax.hpp"
#include "coca/kernel/tile_engine.hpp"
#include "coca/mask/mask.hpp"
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
        sums(round_up(shape.value_dim, engine.vector)),
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

/// The rows of one item of forward or decode, from the tensor and back.
template <Real T>
class QueryRows : public ItemRows {
 public:
  QueryRows(const ForwardCall<T>& call, const TileEngine<T>& engine, const ForwardWidths& widths,
            const TileBuffers<T>& buffers, const ForwardItem& item)
      : ItemRows(item, call.group(), call.options),
        call_(call),
        engine_(engine),
        narrow_(call.narrow),
        widths_(widths),
        tile_(buffers) {}

  /// Count of keys or columns, up to whole vectors.
  Index whole_vectors(Index count) const { return round_up(count, engine_.vector); }

  /// All rows of the item: factor * phi(q), and no sums yet.
  void load_queries(T factor) {
    const QuerySource<T> from{*this, call_.q, narrow_, engine_.scale, tile_.scratch, widths_.score};
    map_queries(call_.scheme, from, tile_.queries, widths_.score, factor);
    tile_.sums.clear(rows());
  }

  /// Adds the sinks: each is a weight of 2^0 without a value, at a maximum of its own logit.
  void add_sinks() const {
    for_each_row([&](Index row, Index, Index head) {
      const T sink = sink_of<T>(call_.options, head) * kLog2e<T>;
      tile_.sums.maxima[row] = sink;
      if (sink != kMinusInfinity<T>) tile_.sums.row(row)[widths_.sums] = T(1);
    });
  }

  /// out = O / sum and lse = max + log(sum), for all rows.
  void store() const {
    for_each_row([&](Index row, Index query, Index head) {
      const T* sums = tile_.sums.row(row);
      const T sum = sum_of_lanes(sums + widths_.sums);
      const TokenRows<std::byte> out(call_.out, sequence().batch, head);
      const Index place = sequence().first_query + query;
      if (query + QuerySource<T>::kAhead < sequence().queries) {
        prefetch_row(out, place + QuerySource<T>::kAhead);
      }
      // A row that saw nothing has sums of 0: it gives zeros.
      store_row(engine_.scale, narrow_, sums, out, place, sum == T(0) ? T(1) : T(1) / sum);
      if (call_.options.lse) {
        call_.options.lse.set(static_cast<double>(log_sum_exp(tile_.sums.maxima[row], sum)),
                              sequence().batch, head, place);
      }
    });
  }

 protected:
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

  const ForwardCall<T>& call_;
  const TileEngine<T>& engine_;
  const NarrowEngine* narrow_;
  const ForwardWidths& widths_;
  TileBuffers<T> tile_;
};

}  // namespace coca::inline v0::detail
