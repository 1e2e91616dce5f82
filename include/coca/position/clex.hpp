#pragma once

#include <vector>

#include "coca/core/compiled.hpp"
#include "coca/position/ntk.hpp"
#include "coca/position/scaling.hpp"

namespace coca::inline v0 {

/// CLEX (Chen et al. 2024, arXiv 2310.16450): the logarithms z of the frequencies follow a learned
/// ordinary differential equation from their own, at t = 1, to those for t times the trained length,
///     dz/dt = W_down^T silu(W_up^T (z + ln theta(t))) + d ln theta(t) / dt    (section 3.3),
/// where theta(t) are the NTK-aware frequencies of factor alpha = 2t - 1. It is integrated by the
/// classical Runge-Kutta method, as in the code published with the paper, to
///     t = the least whole number with length <= t * trained_length, at most max_factor.
struct Clex {
  std::vector<double> up = {};    ///< W_up [rotary_dim / 2, width], row by row
  std::vector<double> down = {};  ///< W_down [width, rotary_dim / 2]
  Index trained_length = 0;       ///< tokens
  Index max_factor = 16;          ///< the largest t
  double step = 0.1;              ///< of t, in the integration; time_dt of a configuration

  RotaryFrequencies operator()(const RopeBase& rope) const;

  /// The frequencies at any t >= 1.
  std::vector<double> at_time(const RopeBase& rope, double end) const;

 private:
  using Vector = std::vector<double>;

  void check(const RopeBase& rope) const;

  /// One step of the Runge-Kutta method of order four, by its rule of 3/8, which is what torchdiffeq
  /// calls rk4.
  void advance(const RopeBase& rope, double t, double h, Vector& z) const;

  /// dz/dt.
  Vector slope(const RopeBase& rope, double t, const Vector& z) const;
};

}  // namespace coca::inline v0

#ifndef COCA_COMPILED
#include "coca/position/clex-inl.hpp"
#endif
