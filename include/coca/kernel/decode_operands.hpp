#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <type_traits>

#include "coca/core/any_tensor.hpp"
#include "coca/core/scalar.hpp"
#include "coca/core/target.hpp"
#include "coca/kernel/decode_plan.hpp"
#include "coca/kernel/key_block.hpp"
#include "coca/kernel/key_rows.hpp"
#include "coca/kernel/panels.hpp"
#include "coca/kernel/query_rows.hpp"
#include "coca/kernel/tile_engine.hpp"
#include "coca/position/panel_angles.hpp"
#include "coca/scheme/scheme.hpp"

/// The operands of one item of the decode kernel: keys and values where the cache holds them.
namespace coca::inline v0::detail {

/// Few rows meet every key, so what a panel needs is done where it is used, once: narrow numbers are
/// widened in registers, and psi is taken into a buffer that stays in the first-level cache. A scheme
/// that turns its keys has its queries turned instead, to the block and then to the panel, and its
/// keys by the angles of their places in the panel, of which there is a small table (TurnsKeys). Of
/// int8, scores and weights are scaled rather than keys and values.
template <class Call>
class DecodeOperands : public QueryRows<Call> {
  using Base = QueryRows<Call>;
  using Base::call_, Base::engine_, Base::narrow_, Base::widths_, Base::sequence_, Base::span;
  using Base::key_positions_, Base::key_head_, Base::rows_, Base::tile_;

 public:
  using T = typename Call::Number;
  using S = typename Call::Scheme;

  DecodeOperands(const Call& call, const TileEngine<T>& engine, const ForwardWidths& widths,
                 const DecodeBuffers<T>& buffers, const ForwardItem& item)
      : Base(call, engine, widths, buffers, item),
        buffers_(buffers),
        panels_(engine.panels(call.cache->type)),
        plain_(engine.panels(kElementType<T>)),
        layout_(*call.cache),
        cached_(*item.sequence.cached) {
    if constexpr (TurnsKeys<S>) turns_ = call.scheme.rope().template panel_turns<T>();
  }

  KeyBlock block(Index number) const {
    const Index before = block_count(cached_.runs[0]);
    const PanelRun& run = cached_.runs[number < before ? 0 : 1];
    const Index lane = (number < before ? number : number - before) * kTileKeys;
    return {run.first_token - run.first_lane + lane, std::max<Index>(run.first_lane - lane, 0),
            std::min(kTileKeys, run.lanes() - lane)};
  }

  /// Makes ready for a block of keys, which stay where they are.
  void load_keys(const KeyBlock& block) {
    block_ = block;
    run_ = &cached_.runs[block.base + block.begin < cached_.runs[0].tokens ? 0 : 1];
    first_panel_ = (block.base - run_->first_token + run_->first_lane) / kPanelTokens;
    if constexpr (TurnsKeys<S>) {
      call_.scheme.rope().cos_sin(-block.base, buffers_.cosines, buffers_.sines);
      turn_queries(tile_.queries, rows_, buffers_.cosines, buffers_.sines, buffers_.turned);
    }
  }

  /// scores = Q K^T for some rows and the keys first .. last of the block. Computes whole panels.
  void scores(Index row, Index rows, Index first, Index last) const {
    const T* queries = tile_.queries + row * widths_.score;
    for (Index key = first / kPanelTokens * kPanelTokens; key < last; key += kPanelTokens) {
      const PanelPlace at = place(key);
      T* scores = tile_.scores + key;
      if constexpr (KeepsKeys<S, T>) {
        panels_.scores(queries, layout_.keys(at.page, key_head_, at.panel), scores, rows,
                       widths_.score);
      } else {
        const auto* psi = reinterpret_cast<const std::byte*>(buffers_.keys);
        if constexpr (TurnsKeys<S>) {
          const T* angles = turns_.panels + key / kPanelTokens * turns_.stride;
          turn_queries(buffers_.turned + row * widths_.score, rows, angles,
                       angles + turns_.stride / 2, buffers_.panel_queries);
          turn_keys(layout_.keys(at.page, key_head_, at.panel));
          plain_.scores(buffers_.panel_queries, psi, scores, rows, widths_.score);
        } else {
          for (Index lane = 0; lane < kPanelTokens; ++lane) map_key(key + lane, at, lane);
          plain_.scores(queries, psi, scores, rows, widths_.score);
        }
      }
      if constexpr (std::is_same_v<T, float> && kScalesScores) {
        if (layout_.scaled()) {
          engine_.scale_columns(scores, rows, kPanelTokens,
                                layout_.key_scales(at.page, key_head_, at.panel));
        }
      }
    }
  }

  /// O = O + P V for some rows and the keys first .. last of the block.
  void add_values(Index row, Index rows, Index first, Index last) const {
    T* sums = tile_.sums + row * widths_.row();
    for (Index key = first; key < last;) {
      const Index lane = key % kPanelTokens;
      const Index end = std::min(key - lane + kPanelTokens, last);
      const PanelPlace at = place(key);
      T* weights = tile_.scores + key;
      if (!cached_.finite) {
        plain_.values(weights, finite_values(at), sums, rows, lane, end - key, widths_.sums);
      } else {
        if constexpr (std::is_same_v<T, float>) {
          if (layout_.scaled()) {
            engine_.scale_columns(weights, rows, end - key,
                                  layout_.value_scales(at.page, key_head_, at.panel) + lane);
          }
        }
        panels_.values(weights, layout_.values(at.page, key_head_, at.panel), sums, rows, lane,
                       end - key, widths_.sums);
      }
      key = end;
    }
  }

  bool values_finite() const { return cached_.finite; }

  const T* value_row(Index key, T* scratch) const {
    return cached_value(layout_, cached_.place(layout_, key), key_head_, scratch);
  }

  void prefetch_key(Index) const {}

 private:
  /// Whether psi grows with the key, so that the scale of an int8 key may wait for the score.
  static constexpr bool kScalesScores = KeepsKeys<S, T> || TurnsKeys<S>;

  PanelPlace place(Index key) const {
    return PanelSequence::place(layout_, *run_, first_panel_ + key / kPanelTokens);
  }

  /// Some rows of queries, turned by angles of which every pair has a cosine and a sine.
  void turn_queries(const T* queries, Index rows, const T* cosines, const T* sines, T* to) const {
    for_both_kinds([&](Index begin, Index end, Index first, Index second, Index step) {
      engine_.turn_rows(queries + first, queries + second, step, cosines + begin, sines + begin,
                        to + first, to + second, rows, widths_.score, end - begin);
    });
  }

  /// Calls turn(begin, end, first, second, step) for the pairs that turn, and for those that do not and
  /// have angles of 0: pairs begin .. end, where the members of the first are, and how far it is to
  /// those of the next one.
  template <class Turn>
  void for_both_kinds(const Turn& turn) const {
    const auto& rope = call_.scheme.rope();
    const auto some = [&](Index begin, Index end) {
      if (begin == end) return;
      const auto [first, second] = rope.pair(begin);
      turn(begin, end, first, second, rope.pair_step());
    };
    some(0, rope.rotary_dim() / 2);
    some(rope.rotary_dim() / 2, rope.dim() / 2);
  }

  /// The keys of a panel, turned to their places in it.
  void turn_keys(const std::byte* keys) const {
    const Index row = kPanelTokens * element_bytes(layout_.type);
    for_both_kinds([&](Index begin, Index end, Index first, Index second, Index pair_step) {
      const Index step = pair_step * kPanelTokens;
      const T* angles = turns_.places + 2 * begin * kPanelTokens;
      T* x = buffers_.keys + first * kPanelTokens;
      T* y = buffers_.keys + second * kPanelTokens;
      if constexpr (S::turned_key == TurnedKey::whole) {
        panels_.turn_keys(keys + first * row, keys + second * row, step, angles, x, y, step,
                          end - begin);
      } else {
        const auto turn_halves =
            S::turned_key == TurnedKey::twice ? panels_.turn_twice : panels_.turn_once;
        turn_halves(keys + begin * row, angles, x, y, step, end - begin);
      }
    });
  }

  /// psi of one key, at its place among those of its panel.
  void map_key(Index key, const PanelPlace& at, Index lane) const {
    T* psi = buffers_.values;
    if (key < block_.begin || key >= block_.end) {
      std::fill_n(psi, widths_.score, T(0));
    } else {
      const PanelPlace own{at.page, at.panel, lane};
      const T* k = cached_key(layout_, own, key_head_, tile_.scratch);
      const Index number = block_.base + key;
      const Token token{key_positions_(sequence_.batch, number), sequence_.index, number,
                        key_head_};
      call_.scheme.map_key(span(k, layout_.key_dim), token, span(psi, widths_.score));
    }
    for (Index i = 0; i < widths_.score; ++i) buffers_.keys[i * kPanelTokens + lane] = psi[i];
  }

  /// The values of a panel in T. NaN and Inf are set aside, as the forward kernel does.
  const std::byte* finite_values(const PanelPlace& at) const {
    PanelPlace own = at;
    for (own.lane = 0; own.lane < kPanelTokens; ++own.lane) {
      const T* value = cached_value(layout_, own, key_head_, tile_.scratch);
      for (Index i = 0; i < layout_.value_width(); ++i) {
        const bool there = i < layout_.value_dim && std::isfinite(value[i]);
        buffers_.values[PanelLayout::value_place(own.lane, i)] = there ? value[i] : T(0);
      }
    }
    return reinterpret_cast<const std::byte*>(buffers_.values);
  }

  const DecodeBuffers<T>& buffers_;
  const PanelFunctions<T>& panels_;  ///< for what the cache holds
  const PanelFunctions<T>& plain_;   ///< for buffers
  const PanelLayout& layout_;
  const PanelSequence& cached_;
  KeyBlock block_{};
  const PanelRun* run_ = nullptr;
  Index first_panel_ = 0;
  PanelTurns<T> turns_{};
};

}  // namespace coca::inline v0::detail
