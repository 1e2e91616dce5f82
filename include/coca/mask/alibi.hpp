#pragma once

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "coca/core/error.hpp"
#include "coca/mask/mask.hpp"
#include "coca/position/alibi_slopes.hpp"

namespace coca::inline v0 {

/// Attention with linear biases (Press et al. 2022, arXiv 2108.12409, section 3): hides nothing, and
/// adds -slope_h |m - n| to the scaled score of a query at m and a key at n. With Causal for a language
/// model: `Causal{} & Alibi{heads}`.
/// Throws std::invalid_argument for a slope that is not finite, and slopes of another number than
/// there are query heads.
class Alibi : public MaskDefaults {
 public:
  /// The slopes of the paper for so many query heads.
  explicit Alibi(Index heads) : Alibi(alibi_slopes(heads)) {}
  /// Slopes of one's own, per token, one a query head.
  explicit Alibi(std::vector<double> slopes) : slopes_(std::move(slopes)) {
    for (const double value : slopes_) {
      if (!std::isfinite(value)) detail::reject("alibi.slopes", std::to_string(value), "finite");
    }
  }

  void check(const AttentionShape& shape) const {
    detail::require_equal("alibi.slopes.size", static_cast<Index>(slopes_.size()),
                          shape.query_heads, "query heads");
  }
  Coverage classify(const MaskTile&) const { return Coverage::full; }
  double slope(Index head) const { return slopes_[static_cast<std::size_t>(head)]; }

 private:
  std::vector<double> slopes_;
};

}  // namespace coca::inline v0
