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

  /// Calls visit(j, first, second, cos, sin) for every pair j < dim/2, where first and second are
  /// its coordinates and the angle is n * theta_j (0 for the pairs that do not turn).
  template <Real T, class Visit>
  void for_each_pair(Position n, Visit&& visit) const {
    constexpr Index chunk = 64;
    T cosines[chunk];
    T sines[chunk];
    const Index turning = rotary_dim_ / 2;
    for (Index begin = 0; begin < turning; begin += chunk) {
      const Index count = std::min(chunk, turning - begin);
      table_->cos_sin(n, begin, count, cosines, sines);
      // One loop a layout, so that each has constant strides.
      if (layout_ == RopeLayout::half_split) {
        for (Index i = 0; i < count; ++i) {
          const Index j = begin + i;
          visit(j, j, j + turning, cosines[i], sines[i]);
        }
      } else {
        for (Index i = 0; i < count; ++i) {
          const Index j = begin + i;
          visit(j, 2 * j, 2 * j + 1, cosines[i], sines[i]);
        }
      }
    }
    for (Index j = turning; j < dim_ / 2; ++j) {
      const auto [first, second] = pair(j);
      visit(j, first, second, T(1), T(0));
    }
  }

 private:
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
