#pragma once

#include <string>

#include "coca/core/error.hpp"
#include "coca/mask/mask.hpp"

namespace coca::inline v0 {

/// Every query sees the keys at positions below `count`: the attention sinks of StreamingLLM (Xiao et
/// al. 2024, arXiv 2309.17453, figure 1), and the branch of the Lambda-shaped mask of LM-Infinite (Han
/// et al. 2024, arXiv 2308.16137, section 4.1) that does not move. Both are
///     Causal{} & (SinkTokens{sinks} | SlidingWindow{window - 1, 0}).
/// Not to be confused with AttentionOptions::sinks, which are logits without a token.
/// Throws std::invalid_argument for a negative count.
class SinkTokens : public MaskDefaults {
 public:
  /// How many of the first tokens all queries see.
  explicit SinkTokens(Position count) : count_(count) {
    if (count < 0) detail::reject("sinks.count", std::to_string(count), "0 or more tokens");
  }

  Coverage classify(const MaskTile& tile) const {
    if (tile.last_key() < count_) return Coverage::full;
    return tile.first_key() >= count_ ? Coverage::empty : Coverage::mixed;
  }
  bool visible(const Site& site) const { return site.key() < count_; }

 private:
  Position count_;
};

}  // namespace coca::inline v0
