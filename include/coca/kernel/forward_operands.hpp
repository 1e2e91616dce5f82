#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "coca/core/scalar.hpp"
#include "coca/kernel/call/kernel_call.hpp"
#include "coca/kernel/forward_plan.hpp"
#include "coca/kernel/key_block.hpp"
#include "coca/kernel/key_rows.hpp"
#include "coca/kernel/query_rows.hpp"
#include "coca/kernel/tile_engine.hpp"
#include "coca/position/panel_turns.hpp"
#include "coca/scheme/scheme.hpp"

/// The operands of one item of the forward kernel on their way into work memory.
namespace coca::inline v0::detail {

/// Up to so many rows of a whole sequence, packing its keys would take longer than to use them once.
/// Of the sequence, not the item: how a call is cut must not change a row's result.
inline constexpr Index kFewRows = 4;

/// Brings the rows of one item, and the keys and values they meet, into work memory: phi of its
/// queries as rows; psi of keys, and values, in panels, or as rows where rows are few. Where the
/// processor multiplies bfloat16, and all tensors are, two of those take the place of a float.
template <Real T>
class ForwardOperands : public QueryRows<T> {
  using Base = QueryRows<T>;
  using Base::call_, Base::engine_, Base::narrow_, Base::widths_;

 public:
  using Base::sequence, Base::whole_vectors, Base::key_position;

  ForwardOperands(const ForwardCall<T>& call, const TileEngine<T>& engine,
                  const ForwardWidths& widths, const ForwardBuffers<T>& buffers,
                  const ForwardItem& item)
      : Base(call, engine, widths, buffers, item),
        buffers_(buffers),
        keys_(call.k, call.cache, call.cached_key, item.sequence, item.key_head),
        values_(call.v, call.cache, call.cached_value, item.sequence, item.key_head),
        few_rows_(item.sequence.queries * call.group() <= kFewRows),
        bfloat16_(few_rows_ || !all_bfloat16(call) ? nullptr : call.bfloat16),
        turns_keys_(call.scheme.turns_keys() && in_panels()) {
    if (!turns_keys_) return;
    turns_ = call.scheme.functions->panel_turns(call.scheme.scheme);
    pairs_ = call.scheme.functions->pair_runs(call.scheme.scheme);
  }

  /// All rows of the item: factor * phi(q).
  void load_queries(T factor) {
    if (bfloat16_ == nullptr) return Base::load_queries(factor);
    // What is rounded is phi as it is, which for Dot is exact; the factor comes to the scores.
    factor_ = factor;
    Base::load_queries(T(1));
    for (Index row = 0; row < this->rows(); ++row) {
      bfloat16_->round(buffers_.queries + row * widths_.score, queries_of(row), widths_.score);
    }
  }

  /// The blocks of keys, one behind the other.
  Index blocks() const { return (sequence().keys + kTileKeys - 1) / kTileKeys; }
  KeyBlock block(Index number) const {
    const Index base = number * kTileKeys;
    return {base, 0, std::min(kTileKeys, sequence().keys - base)};
  }

  /// A block of keys and their values.
  void load_keys(const KeyBlock& block, const KeyBlock& /*next*/) {
    values_finite_ = true;
    for (Index first = 0; first < block.end; first += kPackKeys) {
      const Index count = std::min(kPackKeys, block.end - first);
      load_some_keys(block.base, first, count);
      load_some_values(block.base, first, count);
    }
    if (!values_finite_) set_aside_non_finite(block.end);
  }

  /// scores = Q K^T for some rows and the loaded keys first .. last, whole vectors.
  void scores(Index row, Index rows, Index first, Index last) const {
    const T* queries = queries_of(row);
    if (few_rows_) {
      engine_.few_scores(queries, key_rows_.data(), buffers_.scores, rows, first, last,
                         widths_.score);
    } else if (bfloat16_ != nullptr) {
      bfloat16_->scores(queries, buffers_.keys, buffers_.scores, rows, first, last, depth(),
                        factor_);
    } else {
      engine_.scores(queries, buffers_.keys, buffers_.scores, rows, first, last, widths_.score);
    }
  }

  /// O = O + P V for some rows and the loaded keys first .. last.
  void add_values(Index row, Index rows, Index first, Index last) const {
    T* sums = buffers_.sums.row(row);
    const T* weights = buffers_.scores + first;
    if (few_rows_) {
      engine_.few_values(weights, value_rows_.data() + first, sums, rows, last - first,
                         widths_.value, widths_.sums);
    } else if (bfloat16_ != nullptr) {
      add_value_pairs(sums, rows, first, last);
    } else {
      engine_.add_values(weights, buffers_.values, sums, rows, first, last - first, widths_.sums);
    }
  }

  /// Whether all values in the panels were finite. NaN and Inf are set aside: in a matrix product
  /// they would reach, as 0 * NaN, the rows that do not see them.
  bool values_finite() const { return values_finite_; }

  /// One row of values as it came, in `scratch` if it is not in T already.
  const T* value_row(Index key, T* scratch) const { return values_.row(narrow_, key, scratch); }

  /// Asks for a key and its value ahead of their use.
  void prefetch_key(Index key) const {
    keys_.prefetch(key);
    values_.prefetch(key);
  }

 private:
  void load_some_keys(Index key_begin, Index first, Index count) {
    if (turns_keys_ && in_a_row(key_begin + first, count)) {
      return load_turned_keys(key_begin, first, count);
    }
    const T** rows = key_rows_.data() + (few_rows_ ? first : 0);
    // Rows that stay rows have the place of the panels.
    T* memory = few_rows_ ? buffers_.keys + first * widths_.score : buffers_.key_rows;
    load_key_rows(key_begin + first, count, memory, rows);
    // What fills up a vector may be any numbers: their scores are not looked at.
    const Index whole = whole_vectors(count);
    std::fill(rows + count, rows + whole, rows[0]);
    if (!few_rows_) engine_.pack_keys(rows, buffers_.keys, first, whole, 0, depth());
  }

  /// psi of keys whose positions follow each other: packed as they are, and turned side by side. All of
  /// them by the rotation of the first, and each by that of its place, so that angles are looked up once.
  void load_turned_keys(Index key_begin, Index first, Index count) {
    const T** rows = key_rows_.data();
    for (Index i = 0; i < count; ++i) {
      rows[i] = keys_.row(narrow_, key_begin + first + i, buffers_.key_rows + i * keys_.width());
    }
    const Index whole = whole_vectors(count);
    std::fill(rows + count, rows + whole, rows[0]);
    engine_.pack_keys(rows, buffers_.keys, first, whole, widths_.score - keys_.width(),
                      widths_.score);
    const SchemeFunctions<T>& scheme = *call_.scheme.functions;
    scheme.cos_sin(call_.scheme.scheme, key_position(key_begin + first), buffers_.cosines,
                   buffers_.sines);
    if (scheme.turned == TurnedKey::twice) {
      // R (t, t) = R' (t, 0), where R' has c - s for a cosine, and c + s for a sine.
      for (Index j = 0; j < pairs_.pairs; ++j) {
        const T cosine = buffers_.cosines[j];
        buffers_.cosines[j] = cosine - buffers_.sines[j];
        buffers_.sines[j] = cosine + buffers_.sines[j];
      }
    }
    const PackedTurns<T>& turns = scheme.packed_turns(target());
    const auto turn = scheme.turned == TurnedKey::whole ? turns.whole : turns.halves;
    pairs_.for_each([&](const CoordinatePairs& pairs) {
      turn(buffers_.keys, first, whole, widths_.score, pairs, turns_.places, buffers_.cosines,
           buffers_.sines);
    });
  }

  /// Whether keys become panels of T, and not rows or pairs of bfloat16.
  bool in_panels() const { return !few_rows_ && bfloat16_ == nullptr; }

  /// Whether some keys stand one behind the other.
  bool in_a_row(Index key, Index count) const {
    for (Index i = 1; i < count; ++i) {
      const Position before = key_position(key + i - 1);
      if (before >= key_position(key + i) || before + 1 != key_position(key + i)) return false;
    }
    return true;
  }

  /// psi of some keys, in `memory` if they are not where they were.
  void load_key_rows(Index key, Index count, T* memory, const T** rows) const {
    if (!call_.scheme.keeps_keys()) {
      const KeySource<T> from{*this, keys_, narrow_, buffers_.scratch, widths_.score};
      call_.scheme.functions->map_keys(call_.scheme.scheme, from, key, count, memory,
                                       widths_.score);
    }
    for (Index i = 0; i < count; ++i) {
      T* to = memory + i * widths_.score;
      rows[i] = to;
      if (!call_.scheme.keeps_keys()) {
        if (bfloat16_ != nullptr) bfloat16_->round(to, to, widths_.score);
      } else if (bfloat16_ == nullptr) {
        rows[i] = keys_.row(narrow_, key + i, to);
      } else {
        rows[i] = bfloat16_row(keys_, key + i, widths_.score % 2 == 0, to);
      }
    }
  }

  /// One row in bfloat16: where it is, if it may stay there and is such, else in `to`.
  const T* bfloat16_row(const KeyRows<T>& rows, Index token, bool may_stay, T* to) const {
    const std::byte* there = rows.bfloat16_row(token);
    if (may_stay && there != nullptr) return reinterpret_cast<const T*>(there);
    bfloat16_->round(rows.row(narrow_, token, to), to, rows.width());
    return to;
  }

  void load_some_values(Index key_begin, Index first, Index count) {
    const T** rows = value_rows_.data() + (few_rows_ ? first : 0);
    T* memory = few_rows_ ? buffers_.values + first * widths_.value : buffers_.value_rows;
    for (Index i = 0; i < count; ++i) {
      const Index key = key_begin + first + i;
      T* to = memory + i * widths_.value;
      rows[i] = bfloat16_ == nullptr ? value_row(key, to) : bfloat16_row(values_, key, true, to);
    }
    if (few_rows_) return;
    const auto pack = bfloat16_ == nullptr ? engine_.pack_values : bfloat16_->pack_values;
    values_finite_ &= pack(rows, buffers_.values, first, count, widths_.value);
  }

  void set_aside_non_finite(Index keys) {
    for (Index column = 0; column < widths_.sums;) {
      const Index width = panel_width(engine_.panel, widths_.sums - column);
      T* panel = buffers_.values + column * kTileKeys;
      if (bfloat16_ == nullptr) {
        for (Index i = 0; i < keys * width; ++i) {
          if (!std::isfinite(panel[i])) panel[i] = T(0);
        }
      } else {
        auto* bits = reinterpret_cast<std::uint16_t*>(panel);
        for (Index i = 0; i < (keys + 1) / 2 * 2 * width; ++i) {
          if ((bits[i] & kBfloat16Infinity) == kBfloat16Infinity) bits[i] = 0;
        }
      }
      column += width;
    }
  }

  static bool all_bfloat16(const ForwardCall<T>& call) {
    const auto narrow = [](const AnyInput& x) { return x.type == ElementType::bfloat16; };
    return call.cache == nullptr && narrow(call.q) && narrow(call.k) && narrow(call.v);
  }

  /// How many numbers of type T a row of queries or keys has.
  Index depth() const { return bfloat16_ == nullptr ? widths_.score : (widths_.score + 1) / 2; }
  T* queries_of(Index row) const { return buffers_.queries + row * depth(); }

  void add_value_pairs(T* sums, Index rows, Index first, Index last) const {
    // Whole pairs: a key beside those from first to last has a weight of 0.
    const Index pair = first / 2;
    const Index pairs = (last + 1) / 2 - pair;
    T* weights = buffers_.scores + 2 * pair;
    bfloat16_->round_weights(weights, rows, 2 * pairs);
    bfloat16_->add_values(weights, buffers_.values, sums, rows, pair, pairs, widths_.sums);
  }

  /// The exponent bits of a bfloat16, all of them set in Inf and NaN.
  static constexpr std::uint16_t kBfloat16Infinity = 0x7f80;

  const ForwardBuffers<T>& buffers_;
  KeyRows<T> keys_;
  KeyRows<T> values_;
  bool few_rows_;
  const Bfloat16Functions<T>* bfloat16_;  ///< if the products are in bfloat16, else null
  T factor_ = T(1);                       ///< of scores, if they are
  bool values_finite_ = true;
  bool turns_keys_;  ///< side by side, in panels
  PanelTurns<T> turns_{};
  PairRuns pairs_{};
  std::array<const T*, kTileKeys> key_rows_;  ///< of the block, where rows are few
  std::array<const T*, kTileKeys> value_rows_;
};

}  // namespace coca::inline v0::detail
