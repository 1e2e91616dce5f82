#pragma once

#include "coca/scheme/scheme.hpp"

namespace coca::inline v0 {

/// Standard attention without positions (Vaswani et al. 2017, equation 1):
///     score(m, n) = q_m . k_n.
/// Keys are as wide as queries.
struct Dot : SchemeDefaults {
  bool shift_invariant() const { return true; }
};

}  // namespace coca::inline v0
