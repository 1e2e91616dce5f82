#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "coca/core/aligned.hpp"
#include "coca/core/compiled.hpp"
#include "coca/core/error.hpp"
#include "coca/core/scalar.hpp"
#include "coca/core/view.hpp"
#include "coca/position/rope.hpp"

/// Positions of several axes: time, height and width of what is not text.
namespace coca::inline v0 {

/// Axis 0 for the first sections[0] pairs, axis 1 for the next sections[1], and so on: the mrope_section
/// of Qwen2-VL (Wang et al. 2024, arXiv 2409.12191, section 2.1), and with two sections the rotation of
/// images by row and column.
/// Throws std::invalid_argument for a negative section.
COCA_FUNCTION std::vector<Index> axes_by_section(std::span<const Index> sections);

/// Axes in turn, 0 1 2 0 1 2 ..., for as long as a section has pairs left, and axis 0 for the rest: the
/// interleaved sections of Qwen3-VL. Throws std::invalid_argument for a negative section.
COCA_FUNCTION std::vector<Index> axes_in_turn(std::span<const Index> sections);

/// A rope whose pairs each turn by the position of an axis of their own, for any scheme:
/// `Rotary{MultiRope{...}}`, `CocaSlack{MultiRope{...}}`.
///
/// `ids` is [axes, batch or 1, tokens], where packed sequences and those of a cache are batch entries, in
/// the order of the call: what stands at position n of the sequence (at place n, unless
/// the call says otherwise) has ids(axis, batch, n). Behind the last of them all axes go on from one
/// more than the largest id of the sequence, as generated text does (mrope_position_deltas). The ids
/// are copied. Copies of a MultiRope share them.
/// Throws std::invalid_argument for another number of axes than turning pairs, and an axis that ids do
/// not have.
class MultiRope {
 public:
  /// Time, height, width, and one more.
  static constexpr std::size_t kMostAxes = 4;

  /// The positions of a token.
  using Place = std::array<Position, kMostAxes>;

  /// `axes` has the axis of each turning pair, as axes_by_section and axes_in_turn give it.
  MultiRope(Rope rope, std::vector<Index> axes, View<const Position, 3> ids);

  /// head_dim of the queries.
  Index dim() const { return rope_.dim(); }
  /// Leading coordinates that turn.
  Index rotary_dim() const { return rope_.rotary_dim(); }
  /// Factor on every cosine and sine.
  double attention_factor() const { return rope_.attention_factor(); }
  /// The rope that gives frequencies and layout.
  const Rope& base() const { return rope_; }
  /// The coordinates of pair j.
  std::pair<Index, Index> pair(Index j) const { return rope_.pair(j); }

  /// Throws std::invalid_argument unless it turns queries this wide, and has ids for so many sequences.
  void check(Index query_dim, Index sequences) const;

  /// Places by ids are no function of the position: it is not, unless there are no ids.
  bool shift_invariant() const { return table_->tokens == 0; }

  /// Where what stands at position n of a sequence is.
  Place place(Position n, Index batch) const {
    const Index b = table_->batches == 1 ? 0 : batch;
    Place all;
    if (n < 0) {
      all.fill(n);
    } else if (n >= table_->tokens) {
      all.fill(table_->next[static_cast<std::size_t>(b)] + (n - table_->tokens));
    } else {
      all = table_->places[static_cast<std::size_t>(b * table_->tokens + n)];
    }
    return all;
  }

  /// As those of Rope.
  template <Real T, class F>
  void map_pairs(const Place& at, const T* from, T* to, const F& f) const {
    rope_.pairs().map_pairs(angles_of<T>(at), from, to, f);
  }
  /// As those of Rope.
  template <Real T, class F>
  void map_halves(const Place& at, const T* from, T* to, const F& f) const {
    rope_.pairs().map_halves(angles_of<T>(at), from, to, f);
  }
  /// As those of Rope.
  template <Real T, class F>
  void zip_pairs(const Place& at, const T* from, const T* with, T* to, const F& f) const {
    rope_.pairs().zip_pairs(angles_of<T>(at), from, with, to, f);
  }
  /// As those of Rope.
  template <Real T, class F>
  void fold_pairs(const Place& at, const T* from, T* to, const F& f) const {
    rope_.pairs().fold_pairs(angles_of<T>(at), from, to, f);
  }

 private:
  struct Table {
    std::vector<Index> axes;  ///< of each turning pair
    Index used = 0;           ///< axes that there are
    Index batches = 0;
    Index tokens = 0;
    std::vector<Place> places;   ///< [batches, tokens]
    std::vector<Position> next;  ///< the position of the first token behind those
  };

  template <Real T>
  auto angles_of(const Place& at) const {
    return [this, at](Index begin, Index count, T* cosines, T* sines) {
      constexpr Index most = 64;  // pairs are asked for so many at a time
      T some_cosines[most];
      T some_sines[most];
      rope_.cos_sin(at[0], begin, count, cosines, sines);
      for (Index axis = 1; axis < table_->used; ++axis) {
        rope_.cos_sin(at[static_cast<std::size_t>(axis)], begin, count, some_cosines, some_sines);
        for (Index i = 0; i < count; ++i) {
          if (table_->axes[static_cast<std::size_t>(begin + i)] != axis) continue;
          cosines[i] = some_cosines[i];
          sines[i] = some_sines[i];
        }
      }
    };
  }

  Rope rope_;
  std::shared_ptr<const Table> table_;
};

}  // namespace coca::inline v0

#ifndef COCA_COMPILED
#include "coca/position/multi_rope-inl.hpp"
#endif
