#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <type_traits>

#include "coca/core/any_tensor.hpp"
#include "coca/core/scalar.hpp"
#include "coca/core/target.hpp"
#include "coca/kernel/call/kernel_call.hpp"
#include "coca/kernel/decode_plan.hpp"
#include "coca/kernel/key_block.hpp"
#include "coca/kernel/key_rows.hpp"
#include "coca/kernel/panels.hpp"
#include "coca/kernel/query_rows.hpp"
#include "coca/kernel/tile_engine.hpp"
#include "coca/position/panel_turns.hpp"
#include "coca/scheme/scheme.hpp"

/// The operands of one item of the decode kernel: keys and values where the cache holds them.
namespace coca::inline v0::detail {

/// Few rows meet every key, so what a panel needs is done where it is used, once: narrow numbers are
/// widened in registers. A scheme that turns its keys has its queries turned instead, to the block and
/// then to the panel, and its keys by the angles of their places in the panel alone, of which there is
/// a small table (TurnsKeys); of others, psi is taken into a buffer. Of int8, scores and weights are
/// scaled rather than keys and values, and the products are in integers if the engine has them. Of
/// bfloat16, if queries are such too, the products are of pairs of it, but for keys that turn.
///
/// Reading is what takes the time, so it never pauses: while keys are multiplied, their values are
/// asked for, and while those are, the keys of the next block.
template <Real T>
class DecodeOperands : public QueryRows<T> {
  using Base = QueryRows<T>;
  using Base::call_, Base::engine_, Base::widths_, Base::tile_;

 public:
  using Base::key_head;

  DecodeOperands(const ForwardCall<T>& call, const TileEngine<T>& engine,
                 const ForwardWidths& widths, const DecodeBuffers<T>& buffers,
                 const ForwardItem& item)
      : Base(call, engine, widths, buffers, item),
        buffers_(buffers),
        functions_(cache_functions<T>(target())),
        panels_(functions_.panels(call.cache->type)),
        plain_(functions_.panels(kElementType<T>)),
        keeps_keys_(call.scheme.keeps_keys()),
        turned_(call.scheme.functions->turned),
        int8_(call.cache->type == ElementType::int8 && scales_scores() ? functions_.int8 : nullptr),
        bfloat16_(call.cache->type == ElementType::bfloat16 && call.q.type == ElementType::bfloat16
                      ? call.bfloat16
                      : nullptr),
        layout_(*call.cache),
        cached_(*item.sequence.cached) {
    if (!turns_keys()) return;
    turns_ = call.scheme.functions->panel_turns(call.scheme.scheme);
    pairs_ = call.scheme.functions->pair_runs(call.scheme.scheme);
  }

  KeyBlock block(Index number) const {
    const Index before = block_count(cached_.runs[0]);
    const PanelRun& run = cached_.runs[number < before ? 0 : 1];
    const Index lane = (number < before ? number : number - before) * kTileKeys;
    return {run.first_token - run.first_lane + lane, std::max<Index>(run.first_lane - lane, 0),
            std::min(kTileKeys, run.lanes() - lane)};
  }

  /// phi(q), for keys as TurnedKey says. Where those are (t, t),
  ///     (x, y) . R_n (t, t) = (x + y, y - x) . R_n (t, 0).
  void load_queries(T factor) {
    if (keeps_keys_ && bfloat16_ != nullptr) return load_bfloat16_queries(factor);
    Base::load_queries(factor);
    if (turns_keys()) {
      if (turned_ == TurnedKey::twice) {
        std::fill_n(buffers_.cosines, widths_.score / 2, T(1));
        std::fill_n(buffers_.sines, widths_.score / 2, T(-1));
        turn_queries(tile_.queries, this->rows(), buffers_.cosines, buffers_.sines, tile_.queries);
      }
    } else if (int8_ != nullptr) {
      int8_->round_queries(tile_.queries, buffers_.panel_queries, this->rows(), widths_.score);
    }
  }

  /// Makes ready for a block of keys, which stay where they are.
  void load_keys(const KeyBlock& block, const KeyBlock& next) {
    block_ = panels_of(block);
    next_ = panels_of(next);
    if (!turns_keys()) return;
    call_.scheme.functions->cos_sin(call_.scheme.scheme, -(this->key_offset() + block.base),
                                    buffers_.cosines, buffers_.sines);
    turn_queries(tile_.queries, this->rows(), buffers_.cosines, buffers_.sines, buffers_.turned);
    if (int8_ != nullptr) {
      int8_->scale_to_units(buffers_.turned, buffers_.panel_queries, this->rows(), widths_.score);
    }
  }

  /// scores = Q K^T for some rows and the keys first .. last of the block. Computes whole panels.
  void scores(Index row, Index rows, Index first, Index last) const {
    for (Index key = first / kPanelTokens * kPanelTokens; key < last; key += kPanelTokens) {
      const PanelPlace at = block_.place(layout_, key);
      T* scores = tile_.scores + key;
      panel_scores(row, rows, key, at, scores);
      if (scales_scores()) {
        scale(scores, rows, kPanelTokens, layout_.key_scales(at.page, key_head(), at.panel));
      }
    }
  }

  /// O = O + P V for some rows and the keys first .. last of the block.
  void add_values(Index row, Index rows, Index first, Index last) const {
    T* sums = tile_.sums.row(row);
    if (!cached_.finite) {
      for_each_panel(first, last, [&](Index key, Index end, const PanelPlace& at) {
        const CachedPanel values = finite_values(at);
        plain_.values(tile_.scores + key, &values, sums, rows, key % kPanelTokens, end - key,
                      widths_.sums);
      });
      return;
    }
    std::array<CachedPanel, kTileKeys / kPanelTokens> panels{};
    std::size_t count = 0;
    for_each_panel(first, last, [&](Index key, Index end, const PanelPlace& at) {
      scale(tile_.scores + key, rows, end - key,
            layout_.value_scales(at.page, key_head(), at.panel) + key % kPanelTokens);
      const std::byte* values = layout_.values(at.page, key_head(), at.panel);
      const bool more = key < next_.keys.end;
      panels[count++] = {values, more ? keys_at(next_.place(layout_, key)) : values};
    });
    // Whole pairs: a key beside those from first to last has a weight of 0.
    const Index pair = first / 2;
    const Index pairs = (last + 1) / 2 - pair;
    const Index first_pair = pair % (kPanelTokens / 2);
    T* weights = tile_.scores + 2 * pair;
    if (int8_ != nullptr) {
      int8_->round_weights(weights, rows, 2 * pairs);
      int8_->values(weights, panels.data(), sums, rows, first_pair, pairs, widths_.sums);
    } else if (bfloat16_ != nullptr) {
      bfloat16_->round_weights(weights, rows, 2 * pairs);
      bfloat16_->panel_values(weights, panels.data(), sums, rows, first_pair, pairs, widths_.sums);
    } else {
      panels_.values(tile_.scores + first, panels.data(), sums, rows, first % kPanelTokens,
                     last - first, widths_.sums);
    }
  }

  bool values_finite() const { return cached_.finite; }

  const T* value_row(Index key, T* scratch) const {
    return cached_value(layout_, cached_.place(layout_, key), key_head(), scratch);
  }

  void prefetch_key(Index) const {}

 private:
  /// Whether psi grows with the key, so that the scale of an int8 key may wait for the score.
  bool scales_scores() const { return keeps_keys_ || turns_keys(); }
  bool turns_keys() const { return turned_ != TurnedKey::no; }

  /// So many rows are worth psi of a panel being written, and read again.
  static constexpr Index kManyRows = 9;

  /// A block by its panels.
  struct BlockPanels {
    const PanelRun* run;
    Index first;  ///< the panel of key 0
    KeyBlock keys;

    PanelPlace place(const PanelLayout& layout, Index key) const {
      return PanelSequence::place(layout, *run, first + key / kPanelTokens);
    }
  };
  BlockPanels panels_of(const KeyBlock& block) const {
    const PanelRun& run = cached_.runs[block.base + block.begin < cached_.runs[0].tokens ? 0 : 1];
    return {&run, (block.base - run.first_token + run.first_lane) / kPanelTokens, block};
  }
  const std::byte* keys_at(const PanelPlace& at) const {
    return layout_.keys(at.page, key_head(), at.panel);
  }
  /// Calls visit(first, last, place) for the parts of some keys that are in the same panel.
  template <class Visit>
  void for_each_panel(Index first, Index last, const Visit& visit) const {
    for (Index key = first; key < last;) {
      const Index end = std::min(key - key % kPanelTokens + kPanelTokens, last);
      visit(key, end, block_.place(layout_, key));
      key = end;
    }
  }

  /// Of int8: columns of scores or weights, times the scales of their keys or values.
  void scale(T* columns, Index rows, Index count, const float* factors) const {
    if constexpr (std::is_same_v<T, float>) {
      if (layout_.scaled()) functions_.scale_columns(columns, rows, count, factors);
    }
  }

  /// Queries as they are, in pairs; the factor comes to the scores.
  void load_bfloat16_queries(T factor) {
    Base::load_queries(T(1));
    factor_ = factor;
    const Index pairs = (widths_.score + 1) / 2;
    for (Index row = 0; row < this->rows(); ++row) {
      bfloat16_->round(tile_.queries + row * widths_.score, buffers_.panel_queries + row * pairs,
                       widths_.score);
    }
  }

  /// The scores of the keys of one panel, `key` the first of them.
  void panel_scores(Index row, Index rows, Index key, const PanelPlace& at, T* scores) const {
    const CachedPanel keys{keys_at(at), layout_.values(at.page, key_head(), at.panel)};
    if (keeps_keys_) {
      const Index pairs = (widths_.score + 1) / 2;
      if (int8_ != nullptr) {
        const T* rounded = buffers_.panel_queries + row * (pairs + 1);
        int8_->scores(rounded, keys, scores, rows, widths_.score);
      } else if (bfloat16_ != nullptr) {
        bfloat16_->panel_scores(buffers_.panel_queries + row * pairs, keys, scores, rows, pairs,
                                factor_);
      } else {
        panels_.scores(tile_.queries + row * widths_.score, keys, scores, rows, widths_.score);
      }
    } else if (turns_keys()) {
      const T* turned = buffers_.turned + row * widths_.score;
      const T* cosines = turns_.panels + key / kPanelTokens * turns_.stride;
      const T* sines = cosines + turns_.stride / 2;
      if (int8_ == nullptr) {
        turn_queries(turned, rows, cosines, sines, buffers_.panel_queries);
        turned_scores(keys, scores, rows);
      } else {
        T* rounded = buffers_.panel_queries + row * (widths_.score / 2 + 1);
        pairs_.for_each([&](const CoordinatePairs& pairs) {
          int8_->turn_queries(turned, pairs, cosines, sines, rounded, rows, widths_.score);
          const auto product = turned_ == TurnedKey::whole ? int8_->whole : int8_->halves;
          product(rounded, widths_.score, keys, pairs, turns_.integers, scores, rows,
                  pairs.begin > 0);
        });
      }
    } else {
      for (Index lane = 0; lane < kPanelTokens; ++lane) map_key(key + lane, at, lane);
      plain_.scores(tile_.queries + row * widths_.score, psi_panel(), scores, rows, widths_.score);
    }
  }

  CachedPanel psi_panel() const {
    const auto* psi = reinterpret_cast<const std::byte*>(buffers_.keys);
    return {psi, psi};
  }

  /// Some rows of queries, turned by angles of which every pair has a cosine and a sine.
  void turn_queries(const T* queries, Index rows, const T* cosines, const T* sines, T* to) const {
    pairs_.for_each([&](const CoordinatePairs& pairs) {
      functions_.turn_rows(queries, pairs, cosines, sines, to, rows, widths_.score);
    });
  }

  /// The scores of keys as they are, turned to their places, with queries turned to the panel.
  void turned_scores(const CachedPanel& keys, T* scores, Index rows) const {
    const TurnFunctions<T>& turned = turned_ == TurnedKey::whole ? panels_.whole : panels_.halves;
    pairs_.for_each([&](const CoordinatePairs& pairs) {
      if (rows < kManyRows) {
        turned.scores(buffers_.panel_queries, widths_.score, keys, pairs, turns_.places, scores,
                      rows, pairs.begin > 0);
      } else {
        turned.turn(keys, pairs, turns_.places, buffers_.keys);
      }
    });
    if (rows < kManyRows) return;
    plain_.scores(buffers_.panel_queries, psi_panel(), scores, rows, widths_.score);
  }

  /// psi of one key, at its place among those of its panel.
  void map_key(Index key, const PanelPlace& at, Index lane) const {
    T* psi = buffers_.values;
    if (key < block_.keys.begin || key >= block_.keys.end) {
      std::fill_n(psi, widths_.score, T(0));
    } else {
      const PanelPlace own{at.page, at.panel, lane};
      const T* k = cached_key(layout_, own, key_head(), tile_.scratch);
      const Index number = block_.keys.base + key;
      call_.scheme.functions->map_key(call_.scheme.scheme, span_of(k, layout_.key_dim),
                                      this->key_token(number), span_of(psi, widths_.score));
    }
    for (Index i = 0; i < widths_.score; ++i) buffers_.keys[i * kPanelTokens + lane] = psi[i];
  }

  /// The values of a panel in T. NaN and Inf are set aside, as the forward kernel does.
  CachedPanel finite_values(const PanelPlace& at) const {
    PanelPlace own = at;
    for (own.lane = 0; own.lane < kPanelTokens; ++own.lane) {
      const T* value = cached_value(layout_, own, key_head(), tile_.scratch);
      for (Index i = 0; i < layout_.value_width(); ++i) {
        const bool there = i < layout_.value_dim && std::isfinite(value[i]);
        buffers_.values[PanelLayout::value_place(own.lane, i)] = there ? value[i] : T(0);
      }
    }
    const auto* values = reinterpret_cast<const std::byte*>(buffers_.values);
    return {values, values};
  }

  const DecodeBuffers<T>& buffers_;
  const CacheFunctions<T>& functions_;
  const PanelFunctions<T>& panels_;  ///< for what the cache holds
  const PanelFunctions<T>& plain_;   ///< for buffers
  bool keeps_keys_;
  TurnedKey turned_;
  const Int8Functions<T>* int8_;          ///< if the cache holds int8 and they serve, else null
  const Bfloat16Functions<T>* bfloat16_;  ///< if queries and cache are such, else null
  T factor_ = T(1);                       ///< of scores in bfloat16
  const PanelLayout& layout_;
  const PanelSequence& cached_;
  BlockPanels block_{};
  BlockPanels next_{};
  PanelTurns<T> turns_{};
  PairRuns pairs_{};
};

}  // namespace coca::inline v0::detail
