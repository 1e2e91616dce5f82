#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "coca/core/error.hpp"
#include "coca/core/scalar.hpp"
#include "coca/position/angle_table.hpp"
#include "coca/position/frequencies.hpp"

/// Rotary position embedding: which coordinates pair up, and by which angle a pair turns.
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

/// What a Rope is made from.
struct RopeOptions {
  Index dim = 0;                               ///< head_dim of the queries, even
  double base = 10000.0;                       ///< theta_j = base^(-2j/rotary_dim)
  Index rotary_dim = 0;                        ///< leading coordinates that turn, even; 0: all
  RopeLayout layout = RopeLayout::half_split;  ///< how coordinates pair up
  std::vector<double> inv_freq = {};           ///< radians per token, one a pair; overrides base
};

/// Rotation of every pair j of a head by position * theta_j radians (Su et al. 2021, equation 15):
/// (a, b) -> (a cos - b sin, b cos + a sin).
/// Coordinates from rotary_dim on do not turn; where a scheme needs them in pairs they pair up in
/// the same layout among themselves. A Rope is a handle: copies share one table of angles, which
/// threads may use together.
/// Throws std::invalid_argument for an odd or non-positive dim, a rotary_dim that is odd or outside
/// [0, dim], a base that is not positive and finite, and an inv_freq of another length than
/// rotary_dim/2 or with a value that is not finite.
class Rope {
 public:
  explicit Rope(RopeOptions options)
      : dim_(options.dim),
        rotary_dim_(options.rotary_dim == 0 ? options.dim : options.rotary_dim),
        layout_(options.layout) {
    check(options);
    table_ = std::make_shared<const AngleTable>(options.inv_freq.empty()
                                                    ? rotary_frequencies(rotary_dim_, options.base)
                                                    : std::move(options.inv_freq));
  }

  Index dim() const { return dim_; }
  Index rotary_dim() const { return rotary_dim_; }
  RopeLayout layout() const { return layout_; }
  /// Radians per token, one a turning pair.
  std::span<const double> inv_freq() const { return table_->frequencies(); }
  const AngleTable& table() const { return *table_; }

  /// The coordinates of pair j < dim/2.
  std::pair<Index, Index> pair(Index j) const {
    if (layout_ == RopeLayout::interleaved) return {2 * j, 2 * j + 1};
    const Index turning = rotary_dim_ / 2;
    if (j < turning) return {j, j + turning};
    const Index first = rotary_dim_ + (j - turning);
    return {first, first + (dim_ - rotary_dim_) / 2};
  }

  /// For every pair, whose members in `from` are a and b, with the cos and sin of n * theta_j (1
  /// and 0 where the pair does not turn), calls f(a, b, cos, sin, x, y), which sets the members x
  /// and y of the pair in `to`. Both are `dim` long and do not overlap.
  template <Real T, class F>
  [[gnu::always_inline]] void map_pairs(Position n, const T* from, T* to, const F& f) const {
    for_each_chunk<T>(
        n, [&](const Pairs& pairs, Index count, const T* cosines, const T* sines)
               __attribute__((always_inline)) {
                 T a[chunk], b[chunk], x[chunk], y[chunk];
                 gather(from + pairs.first, pairs.step, count, a);
                 gather(from + pairs.second, pairs.step, count, b);
                 for (Index i = 0; i < chunk; ++i) f(a[i], b[i], cosines[i], sines[i], x[i], y[i]);
                 scatter(x, to + pairs.first, pairs.step, count);
                 scatter(y, to + pairs.second, pairs.step, count);
               });
  }

  /// The same from one number t a pair: f(t, cos, sin, x, y). `from` is dim/2 long.
  template <Real T, class F>
  [[gnu::always_inline]] void map_halves(Position n, const T* from, T* to, const F& f) const {
    for_each_chunk<T>(
        n, [&](const Pairs& pairs, Index count, const T* cosines, const T* sines)
               __attribute__((always_inline)) {
                 T t[chunk], x[chunk], y[chunk];
                 gather(from + pairs.number, 1, count, t);
                 for (Index i = 0; i < chunk; ++i) f(t[i], cosines[i], sines[i], x[i], y[i]);
                 scatter(x, to + pairs.first, pairs.step, count);
                 scatter(y, to + pairs.second, pairs.step, count);
               });
  }

 private:
  static constexpr Index chunk = AngleTable::chunk;

  /// Some pairs in a row: the number of the first, where its members are, and how far it is from
  /// one pair's to the next one's.
  struct Pairs {
    Index number, first, second, step;
  };

  /// Calls use(pairs, count, cosines, sines) for all pairs, some at a time: those that turn, and
  /// then the others.
  template <Real T, class Use>
  [[gnu::always_inline]] void for_each_chunk(Position n, const Use& use) const {
    T cosines[chunk];
    T sines[chunk];
    const Index turning = rotary_dim_ / 2;
    const AngleTable::At angles = table_->at(n);
    for (Index begin = 0; begin < turning; begin += chunk) {
      angles.cos_sin(begin, cosines, sines);
      use(pairs_from(begin), std::min(chunk, turning - begin), cosines, sines);
    }
    if (turning == dim_ / 2) return;
    std::fill_n(cosines, chunk, T(1));
    std::fill_n(sines, chunk, T(0));
    for (Index begin = turning; begin < dim_ / 2; begin += chunk) {
      use(pairs_from(begin), std::min(chunk, dim_ / 2 - begin), cosines, sines);
    }
  }

  Pairs pairs_from(Index number) const {
    const auto [first, second] = pair(number);
    return {number, first, second, layout_ == RopeLayout::interleaved ? 2 : 1};
  }

  /// `count` numbers, `step` apart, to a chunk and back. Whole chunks of neighbours are the rule,
  /// and a loop of fixed length.
  template <Real T>
  [[gnu::always_inline]] static void gather(const T* from, Index step, Index count, T* to) {
    if (step == 1 && count == chunk) {
      for (Index i = 0; i < chunk; ++i) to[i] = from[i];
    } else {
      for (Index i = 0; i < chunk; ++i) to[i] = i < count ? from[i * step] : T(0);
    }
  }
  template <Real T>
  [[gnu::always_inline]] static void scatter(const T* from, T* to, Index step, Index count) {
    if (step == 1 && count == chunk) {
      for (Index i = 0; i < chunk; ++i) to[i] = from[i];
    } else {
      for (Index i = 0; i < count; ++i) to[i * step] = from[i];
    }
  }

  void check(const RopeOptions& options) const {
    using detail::reject;
    if (dim_ <= 0 || dim_ % 2 != 0) {
      reject("rope.dim", std::to_string(dim_), "a positive even number");
    }
    if (rotary_dim_ < 0 || rotary_dim_ > dim_ || rotary_dim_ % 2 != 0) {
      reject("rope.rotary_dim", std::to_string(rotary_dim_),
             "an even number from 0 to dim = " + std::to_string(dim_));
    }
    if (!(options.base > 0.0) || !std::isfinite(options.base)) {
      reject("rope.base", std::to_string(options.base), "positive and finite");
    }
    if (options.inv_freq.empty()) return;
    detail::require_equal("rope.inv_freq.size", static_cast<Index>(options.inv_freq.size()),
                          rotary_dim_ / 2, "rotary_dim / 2");
    for (std::size_t j = 0; j < options.inv_freq.size(); ++j) {
      if (!std::isfinite(options.inv_freq[j])) {
        reject("rope.inv_freq[" + std::to_string(j) + "]", std::to_string(options.inv_freq[j]),
               "finite");
      }
    }
  }

  Index dim_;
  Index rotary_dim_;
  RopeLayout layout_;
  std::shared_ptr<const AngleTable> table_;
};

}  // namespace coca::inline v0
