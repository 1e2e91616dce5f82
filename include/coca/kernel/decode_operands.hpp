#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "coca/core/scalar.hpp"
#include "coca/core/target.hpp"
#include "coca/kernel/decode_plan.hpp"
#include "coca/kernel/key_block.hpp"
#include "coca/kernel/key_rows.hpp"
#include "coca/kernel/panels.hpp"
#include "coca/kernel/query_rows.hpp"
#include "coca/kernel/tile_engine.hpp"
#include "coca/scheme/scheme.hpp"

/// The operands of one item of the decode kernel: keys and values where the cache holds them.
namespace coca::inline v0::detail {

/// Few rows meet every key, so what a panel needs is done where it is used, once: narrow numbers are
/// widened, and psi is taken, into a buffer that stays in the first-level cache. A scheme that turns
/// its keys has its queries turned to the block instead, and its keys by small angles from a table
/// (TurnsKeys). Of int8, scores and weights are scaled rather than keys and values.
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
        layout_(*call.cache),
        cached_(*item.sequence.cached) {}

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
    if constexpr (TurnsKeys<S, T>) turn_queries(-block.base);
  }

  /// scores = Q K^T for some rows and the keys first .. last of the block. Computes whole panels.
  void scores(Index row, Index rows, Index first, Index last) const {
    const T* queries = (TurnsKeys<S, T> ? buffers_.turned : tile_.queries) + row * widths_.score;
    for (Index key = first / kPanelTokens * kPanelTokens; key < last; key += kPanelTokens) {
      const PanelPlace at = place(key);
      T* scores = tile_.scores + key;
      engine_.panel_scores(queries, key_panel(key, at), scores, rows, widths_.score);
      if (layout_.scaled() && kScalesScores) {
        engine_.scale_columns(scores, rows, kPanelTokens,
                              layout_.key_scales(at.page, key_head_, at.panel));
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
      if (layout_.scaled() && cached_.finite) {
        engine_.scale_columns(weights, rows, end - key,
                              layout_.value_scales(at.page, key_head_, at.panel) + lane);
      }
      engine_.panel_values(weights, value_panel(at) + lane * layout_.value_width(),
                           layout_.value_width(), sums, rows, end - key, widths_.sums);
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
  static constexpr bool kScalesScores = KeepsKeys<S, T> || TurnsKeys<S, T>;

  PanelPlace place(Index key) const {
    return PanelSequence::place(layout_, *run_, first_panel_ + key / kPanelTokens);
  }

  void turn_queries(Position by) {
    const auto& rope = call_.scheme.rope();
    rope.cos_sin(by, buffers_.cosines, buffers_.sines);
    on_target(
        target(), [&]() __attribute__((always_inline)) {
          for (Index row = 0; row < rows_; ++row) {
            rope.turn(buffers_.cosines, buffers_.sines, tile_.queries + row * widths_.score,
                      buffers_.turned + row * widths_.score);
          }
        });
  }

  /// Numbers of a cache as T, where they are if they are that already.
  const T* widened(const std::byte* from, Index count) const {
    if constexpr (std::is_same_v<T, double>) {
      return reinterpret_cast<const double*>(from);
    } else {
      const auto* words = reinterpret_cast<const std::uint16_t*>(from);
      switch (layout_.type) {
        case ElementType::bfloat16:
          narrow_.widen_bfloat16(words, buffers_.wide, count);
          return buffers_.wide;
        case ElementType::float16:
          narrow_.widen_half(words, buffers_.wide, count);
          return buffers_.wide;
        case ElementType::int8:
          narrow_.widen_int8(reinterpret_cast<const std::int8_t*>(from), buffers_.wide, count);
          return buffers_.wide;
        default:
          return reinterpret_cast<const float*>(from);
      }
    }
  }

  /// psi of the keys of a panel, side by side.
  const T* key_panel(Index key, const PanelPlace& at) const {
    if constexpr (kScalesScores) {
      const T* keys = widened(layout_.keys(at.page, key_head_, at.panel),
                              kPanelTokens * layout_.key_dim);
      if constexpr (KeepsKeys<S, T>) {
        return keys;
      } else {
        on_target(
            target(), [&]() __attribute__((always_inline)) {
              call_.scheme.map_key_panel(keys, key, buffers_.keys);
            });
        return buffers_.keys;
      }
    } else {
      for (Index lane = 0; lane < kPanelTokens; ++lane) map_key(key + lane, at, lane);
      return buffers_.keys;
    }
  }

  /// psi of one key, at its place among those of its panel.
  void map_key(Index key, const PanelPlace& at, Index lane) const {
    T* psi = buffers_.wide;
    if (key < block_.begin || key >= block_.end) {
      std::fill_n(psi, widths_.score, T(0));
    } else {
      const PanelPlace own{at.page, at.panel, lane};
      const T* k = cached_key(layout_, own, key_head_, tile_.scratch);
      const Index number = block_.base + key;
      const Token token{key_positions_(sequence_.batch, number), sequence_.index, number, key_head_};
      call_.scheme.map_key(span(k, layout_.key_dim), token, span(psi, widths_.score));
    }
    for (Index i = 0; i < widths_.score; ++i) buffers_.keys[i * kPanelTokens + lane] = psi[i];
  }

  /// The values of a panel, row by row. NaN and Inf are set aside, as the forward kernel does.
  const T* value_panel(const PanelPlace& at) const {
    const Index width = layout_.value_width();
    const T* values = widened(layout_.values(at.page, key_head_, at.panel), kPanelTokens * width);
    if (cached_.finite) return values;
    for (Index lane = 0; lane < kPanelTokens; ++lane) {
      const T scale =
          layout_.scaled()
              ? static_cast<T>(layout_.value_scales(at.page, key_head_, at.panel)[lane])
              : T(1);
      for (Index i = lane * width; i < (lane + 1) * width; ++i) {
        const T value = values[i] * scale;
        buffers_.wide[i] = std::isfinite(value) ? value : T(0);
      }
    }
    return buffers_.wide;
  }

  const DecodeBuffers<T>& buffers_;
  const PanelLayout& layout_;
  const PanelSequence& cached_;
  KeyBlock block_{};
  const PanelRun* run_ = nullptr;
  Index first_panel_ = 0;
};

}  // namespace coca::inline v0::detail
