#pragma once

#include "coca/mask/mask.hpp"

namespace coca::inline v0 {

/// Every query sees every key.
struct Full : MaskDefaults {
  Coverage classify(const MaskTile&) const { return Coverage::full; }
};

}  // namespace coca::inline v0
