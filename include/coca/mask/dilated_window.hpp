#pragma once

#include <string>

#include "coca/core/error.hpp"
#include "coca/mask/mask.hpp"
#include "coca/mask/sliding_window.hpp"

namespace coca::inline v0 {

/// A query at m sees the keys at m + i * dilation, i = -left .. right (Longformer, Beltagy et al. 2020,
/// arXiv 2004.05150, section 3.1): as many keys as SlidingWindow{left, right}, from `dilation` times
/// as far.
/// Throws std::invalid_argument for a negative side and a dilation below 1.
class DilatedWindow : public MaskDefaults {
 public:
  /// So many keys to each side, and from one to the next, in tokens.
  DilatedWindow(Index left, Index right, Index dilation)
      : reach_(reach(left, dilation), reach(right, dilation)), dilation_(dilation) {}

  Coverage classify(const MaskTile& tile) const {
    const Coverage within = reach_.classify(tile);
    return within == Coverage::full && dilation_ > 1 ? Coverage::mixed : within;
  }
  bool visible(const Site& site) const {
    return reach_.visible(site) && (site.key() - site.query()) % dilation_ == 0;
  }

 private:
  /// How far a side reaches; one that overflows has no end.
  static Index reach(Index side, Index dilation) {
    if (dilation < 1) {
      detail::reject("window.dilation", std::to_string(dilation), "1 or more tokens");
    }
    return side > SlidingWindow::unlimited / dilation ? SlidingWindow::unlimited : side * dilation;
  }

  SlidingWindow reach_;
  Index dilation_;
};

}  // namespace coca::inline v0
