#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "coca/core/compiled.hpp"
#include "coca/core/error.hpp"
#include "coca/core/scalar.hpp"
#include "coca/position/angle_table.hpp"
#include "coca/position/frequencies.hpp"
#include "coca/position/panel_turns.hpp"
#include "coca/position/rotary_pairs.hpp"
#include "coca/position/scaling.hpp"

/// Rotary position embedding: by which angle each pair of coordinates turns.
namespace coca::inline v0 {

/// What a Rope is made from.
struct RopeOptions {
  Index dim = 0;                               ///< head_dim of the queries, even
  double base = 10000.0;                       ///< theta_j = base^(-2j/rotary_dim)
  Index rotary_dim = 0;                        ///< leading coordinates that turn, even; 0: all
  RopeLayout layout = RopeLayout::half_split;  ///< how coordinates pair up
  std::vector<double> inv_freq = {};           ///< radians per token, one a pair; overrides base
  RopeScaling scaling = {};                    ///< of the frequencies (position/scaling.hpp)
  Index length = 0;  ///< tokens of the sequence at hand, for scalings that follow it
};

/// Rotation of every pair j of a head by position * theta_j radians (Su et al. 2021, equation 15):
/// (a, b) -> (a cos - b sin, b cos + a sin), times the attention factor of the scaling.
/// Coordinates from rotary_dim on do not turn; where a scheme needs them in pairs they pair up in
/// the same layout among themselves. A Rope is a handle: copies share one table of angles, which
/// threads may use together.
/// Throws std::invalid_argument for an odd or non-positive dim, a rotary_dim that is odd or outside
/// [0, dim], a base that is not positive and finite, and an inv_freq of another length than
/// rotary_dim/2 or with a value that is not finite; for a scaling beside inv_freq, or one that cannot
/// be; and for a negative length.
class Rope {
 public:
  /// Computes the frequencies; angles are tabled as they are asked for.
  explicit Rope(RopeOptions options);

  /// The rope of a sequence of `length` tokens, for scalings that follow the length. It shares the
  /// table of this one where the frequencies are the same.
  Rope at_length(Index length) const;

  /// The rope that has this one's rotation of position 0 everywhere.
  Rope still() const;

  /// head_dim of the queries.
  Index dim() const { return pairs_.dim(); }
  /// Leading coordinates that turn.
  Index rotary_dim() const { return pairs_.rotary_dim(); }
  /// How coordinates pair up.
  RopeLayout layout() const { return pairs_.layout(); }
  /// Radians per token, one a turning pair.
  std::span<const double> inv_freq() const { return table_->frequencies(); }
  /// Factor on every cosine and sine, so that scores of turning pairs are multiplied by its square.
  double attention_factor() const { return attention_factor_; }
  /// The angles, which copies share.
  const AngleTable& table() const { return *table_; }

  /// The coordinates of pair j < dim/2.
  std::pair<Index, Index> pair(Index j) const { return pairs_.members(j); }

  /// From the coordinates of a pair to those of the next one.
  Index pair_step() const { return pairs_.step(); }

  /// How coordinates pair up, and loops over the pairs.
  const RotaryPairs& pairs() const { return pairs_; }

  /// Throws std::invalid_argument unless it turns queries this wide, of so many sequences.
  void check(Index query_dim, Index /*sequences*/) const {
    detail::require_equal("head_dim of q", query_dim, dim(), "rope.dim");
  }

  /// Whether the angle between two tokens follows from the difference of their positions.
  static constexpr bool shift_invariant() { return true; }

  /// What map_pairs and map_halves want to know of the place of a token.
  static Position place(Position n, Index /*batch*/) { return n; }

  /// For every pair, whose members in `from` are a and b, with the cos and sin of n * theta_j, times the
  /// attention factor (1 and 0 where the pair does not turn), calls f(a, b, cos, sin, x, y), which sets
  /// the members x and y of the pair in `to`. Both are `dim` long and do not overlap.
  template <Real T, class F>
  [[gnu::always_inline]] void map_pairs(Position n, const T* from, T* to, const F& f) const {
    pairs_.map_pairs(angles_of<T>(n), from, to, f);
  }
  /// The same from one number t a pair: f(t, cos, sin, x, y). `from` is dim/2 long.
  template <Real T, class F>
  [[gnu::always_inline]] void map_halves(Position n, const T* from, T* to, const F& f) const {
    pairs_.map_halves(angles_of<T>(n), from, to, f);
  }

  /// The way back from map_pairs: f(a, b, u, v, cos, sin, x, y) for every pair, with u and v the pair's
  /// members in `with`.
  template <Real T, class F>
  [[gnu::always_inline]] void zip_pairs(Position n, const T* from, const T* with, T* to,
                                        const F& f) const {
    pairs_.zip_pairs(angles_of<T>(n), from, with, to, f);
  }
  /// The way back from map_halves: to[j] = f(a, b, cos, sin), one number a pair.
  template <Real T, class F>
  [[gnu::always_inline]] void fold_pairs(Position n, const T* from, T* to, const F& f) const {
    pairs_.fold_pairs(angles_of<T>(n), from, to, f);
  }
  /// cos and sin of n * theta_j, times the attention factor, for `count` turning pairs from `begin` on,
  /// a multiple of 16, up to a multiple of 16 of them.
  template <Real T>
  void cos_sin(Position n, Index begin, Index count, T* cosines, T* sines) const {
    table_->cos_sin(n, begin, count, cosines, sines, attention_factor_);
  }

  /// The angles of a block of 128 keys that lie side by side, 16 at a time (kernel/panels.hpp). Made
  /// when first asked for, and kept.
  template <Real T>
  detail::PanelTurns<T> panel_turns() const;

  /// cos and sin of n * theta_j for every pair j < dim/2, times the attention factor; 1 and 0 where it
  /// does not turn. Both have room for dim/2 numbers up to a multiple of 16.
  template <Real T>
  void cos_sin(Position n, T* cosines, T* sines) const {
    cos_sin(n, attention_factor_, cosines, sines);
  }

 private:
  template <Real T>
  void cos_sin(Position n, double factor, T* cosines, T* sines) const {
    const Index turning = rotary_dim() / 2;
    table_->cos_sin(n, 0, turning, cosines, sines, factor);
    for (Index j = turning; j < dim() / 2; ++j) {
      cosines[j] = T(1);
      sines[j] = T(0);
    }
  }

  template <Real T>
  [[gnu::always_inline]] auto angles_of(Position n) const {
    return [ this, n ](Index begin, Index count, T * cosines, T * sines)
        __attribute__((always_inline)) {
      cos_sin(n, begin, count, cosines, sines);
    };
  }

  void check(const RopeOptions& options) const;
  void check(const RotaryFrequencies& frequencies) const;

  RotaryFrequencies scaled(const RopeOptions& options) const;

  RotaryPairs pairs_;
  double attention_factor_ = 1.0;
  std::shared_ptr<const RopeOptions> options_;
  std::shared_ptr<const AngleTable> table_;
  std::shared_ptr<const detail::PanelAngles> panel_angles_;
};

}  // namespace coca::inline v0

#ifndef COCA_COMPILED
#include "coca/position/rope-inl.hpp"
#endif
