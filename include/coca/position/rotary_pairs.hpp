#pragma once

#include <algorithm>
#include <utility>

#include "coca/core/scalar.hpp"
#include "coca/position/angle_table.hpp"

/// Which coordinates of a head pair up, and loops over the pairs with their angles.
namespace coca::inline v0 {

/// Which two coordinates form pair j of a head.
enum class RopeLayout {
  half_split,   ///< (x_j, x_{j + rotary_dim/2}), the "NeoX" layout of LLaMA and Qwen checkpoints
  interleaved,  ///< (x_{2j}, x_{2j+1}), the "GPT-J" layout of the RoPE paper
};

/// (a, b) -> (x, y), turned by an angle (Su et al. 2021, equation 15).
template <Real T>
[[gnu::always_inline]] inline void turn_pair(T a, T b, T cosine, T sine, T& x, T& y) {
  x = a * cosine - b * sine;
  y = b * cosine + a * sine;
}

/// The dim/2 pairs of a head, of which those of the first rotary_dim coordinates turn.
///
/// The maps below take angles(begin, count, cosines, sines), which gives those of `count` pairs that
/// turn, from `begin` on, up to a multiple of 16 of them; 1 and 0 stand for pairs that do not turn.
class RotaryPairs {
 public:
  /// All even, rotary_dim at most dim.
  RotaryPairs(Index dim, Index rotary_dim, RopeLayout layout)
      : dim_(dim), rotary_dim_(rotary_dim), layout_(layout) {}

  /// Coordinates of a head.
  Index dim() const { return dim_; }
  /// Leading coordinates that turn.
  Index rotary_dim() const { return rotary_dim_; }
  /// How coordinates pair up.
  RopeLayout layout() const { return layout_; }

  /// The coordinates of pair j < dim/2.
  std::pair<Index, Index> members(Index j) const {
    if (layout_ == RopeLayout::interleaved) return {2 * j, 2 * j + 1};
    const Index turning = rotary_dim_ / 2;
    if (j < turning) return {j, j + turning};
    const Index first = rotary_dim_ + (j - turning);
    return {first, first + (dim_ - rotary_dim_) / 2};
  }

  /// From the coordinates of a pair to those of the next one.
  Index step() const { return layout_ == RopeLayout::interleaved ? 2 : 1; }

  /// f(a, b, cos, sin, x, y) for every pair, whose members in `from` are a and b, sets the members x and
  /// y of the pair in `to`. Both are `dim` long and do not overlap.
  template <Real T, class Angles, class F>
  [[gnu::always_inline]] void map_pairs(const Angles& angles, const T* from, T* to,
                                        const F& f) const {
    for_each_piece<T>(
        angles, [&](const Piece<T>& pairs) __attribute__((always_inline)) {
          const T* a = from + pairs.first;
          const T* b = from + pairs.second;
          pairs.write(
              to, [&](Index i, Index at, T & x, T & y) __attribute__((always_inline)) {
                f(a[at], b[at], pairs.cosines[i], pairs.sines[i], x, y);
              });
        });
  }
  /// The same from one number t a pair: f(t, cos, sin, x, y). `from` is dim/2 long.
  template <Real T, class Angles, class F>
  [[gnu::always_inline]] void map_halves(const Angles& angles, const T* from, T* to,
                                         const F& f) const {
    for_each_piece<T>(
        angles, [&](const Piece<T>& pairs) __attribute__((always_inline)) {
          const T* t = from + pairs.number;
          pairs.write(
              to, [&](Index i, Index, T & x, T & y) __attribute__((always_inline)) {
                f(t[i], pairs.cosines[i], pairs.sines[i], x, y);
              });
        });
  }

  /// The way back from map_pairs: f(a, b, u, v, cos, sin, x, y) for every pair, with u and v the pair's
  /// members in `with`.
  template <Real T, class Angles, class F>
  [[gnu::always_inline]] void zip_pairs(const Angles& angles, const T* from, const T* with, T* to,
                                        const F& f) const {
    for_each_piece<T>(
        angles, [&](const Piece<T>& pairs) __attribute__((always_inline)) {
          const Index second = pairs.second - pairs.first;
          const T* a = from + pairs.first;
          const T* u = with + pairs.first;
          pairs.write(
              to, [&](Index i, Index at, T & x, T & y) __attribute__((always_inline)) {
                f(a[at], a[at + second], u[at], u[at + second], pairs.cosines[i], pairs.sines[i], x,
                  y);
              });
        });
  }
  /// The way back from map_halves: to[j] = f(a, b, cos, sin), one number a pair.
  template <Real T, class Angles, class F>
  [[gnu::always_inline]] void fold_pairs(const Angles& angles, const T* from, T* to,
                                         const F& f) const {
    for_each_piece<T>(
        angles, [&](const Piece<T>& pairs) __attribute__((always_inline)) {
          const T* a = from + pairs.first;
          const T* b = from + pairs.second;
          for (Index i = 0; i < pairs.count; ++i) {
            to[pairs.number + i] =
                f(a[i * pairs.step], b[i * pairs.step], pairs.cosines[i], pairs.sines[i]);
          }
        });
  }

 private:
  /// Neighbouring pairs with their rotations.
  template <Real T>
  struct Piece {
    Index number;         ///< of the first pair
    Index first, second;  ///< the coordinates of its members
    Index step;           ///< from a pair's coordinates to the next one's
    Index count;          ///< of pairs
    const T* cosines;
    const T* sines;

    /// Writes all pairs: f(i, at, x, y) sets the members x and y of pair i, whose coordinates lie
    /// `at` behind those of the first pair. Whole chunks of neighbours are the rule, and a loop of
    /// fixed length.
    template <class F>
    [[gnu::always_inline]] void write(T* to, const F& f) const {
      T* x = to + first;
      T* y = to + second;
      Index i = 0;
      for (; step == 1 && i + chunk <= count; i += chunk) {
        T xs[chunk], ys[chunk];
        for (Index l = 0; l < chunk; ++l) f(i + l, i + l, xs[l], ys[l]);
        for (Index l = 0; l < chunk; ++l) x[i + l] = xs[l];
        for (Index l = 0; l < chunk; ++l) y[i + l] = ys[l];
      }
      for (; i < count; ++i) f(i, i * step, x[i * step], y[i * step]);
    }
  };

  static constexpr Index chunk = AngleTable::chunk;

  /// Calls use(piece) for all pairs, some at a time: those that turn, and then the others.
  template <Real T, class Angles, class Use>
  [[gnu::always_inline]] void for_each_piece(const Angles& angles, const Use& use) const {
    constexpr Index most = 64;
    T cosines[most];
    T sines[most];
    const auto piece = [&](Index begin, Index end) {
      const auto [first, second] = members(begin);
      return Piece<T>{begin, first, second, step(), std::min(most, end - begin), cosines, sines};
    };
    const Index turning = rotary_dim_ / 2;
    for (Index begin = 0; begin < turning; begin += most) {
      const Piece<T> pairs = piece(begin, turning);
      angles(begin, pairs.count, cosines, sines);
      use(pairs);
    }
    if (turning == dim_ / 2) return;
    std::fill_n(cosines, most, T(1));
    std::fill_n(sines, most, T(0));
    for (Index begin = turning; begin < dim_ / 2; begin += most) use(piece(begin, dim_ / 2));
  }

  Index dim_;
  Index rotary_dim_;
  RopeLayout layout_;
};

}  // namespace coca::inline v0
