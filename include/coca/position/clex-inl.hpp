#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>

#include "coca/position/clex.hpp"

namespace coca::inline v0 {

COCA_FUNCTION RotaryFrequencies Clex::operator()(const RopeBase& rope) const {
  check(rope);
  const Index t =
      std::clamp<Index>((rope.length + trained_length - 1) / trained_length, 1, max_factor);
  return {at_time(rope, static_cast<double>(t))};
}

COCA_FUNCTION std::vector<double> Clex::at_time(const RopeBase& rope, double end) const {
  check(rope);
  std::vector<double> z = rope.frequencies();
  for (double& x : z) x = std::log(x);
  // Steps of equal length but for the last, which ends where it should.
  const auto steps = static_cast<Index>(std::ceil((end - 1.0) / step - 1e-9));
  for (Index i = 0; i < steps; ++i) {
    const double t = 1.0 + static_cast<double>(i) * step;
    advance(rope, t, std::min(step, end - t), z);
  }
  for (double& x : z) x = std::exp(x);
  return z;
}

COCA_FUNCTION void Clex::check(const RopeBase& rope) const {
  detail::check_trained("scaling.trained_length", trained_length);
  detail::check_positive("scaling.step", step);
  if (max_factor < 1) detail::reject("scaling.max_factor", std::to_string(max_factor), "1 or more");
  const auto pairs = static_cast<std::size_t>(rope.rotary_dim / 2);
  if (up.empty() || up.size() % pairs != 0) {
    detail::reject("scaling.up.size", std::to_string(up.size()),
                   "a multiple of rotary_dim / 2 = " + std::to_string(pairs));
  }
  detail::require_equal("scaling.down.size", static_cast<Index>(down.size()),
                        static_cast<Index>(up.size()), "scaling.up.size");
}

COCA_FUNCTION void Clex::advance(const RopeBase& rope, double t, double h, Vector& z) const {
  const auto shifted = [&](const auto& by) {
    Vector x = z;
    for (std::size_t j = 0; j < x.size(); ++j) x[j] += h * by(j);
    return x;
  };
  const Vector k1 = slope(rope, t, z);
  const Vector k2 = slope(rope, t + h / 3.0, shifted([&](std::size_t j) { return k1[j] / 3.0; }));
  const Vector k3 =
      slope(rope, t + h * 2.0 / 3.0, shifted([&](std::size_t j) { return k2[j] - k1[j] / 3.0; }));
  const Vector k4 =
      slope(rope, t + h, shifted([&](std::size_t j) { return k1[j] - k2[j] + k3[j]; }));
  for (std::size_t j = 0; j < z.size(); ++j) {
    z[j] += h / 8.0 * (k1[j] + 3.0 * (k2[j] + k3[j]) + k4[j]);
  }
}

COCA_FUNCTION Clex::Vector Clex::slope(const RopeBase& rope, double t, const Vector& z) const {
  const double alpha = 2.0 * t - 1.0;
  const std::size_t pairs = z.size();
  const std::size_t width = up.size() / pairs;
  const Vector theta = NtkAware::scaled(rope, alpha);
  Vector hidden(width, 0.0);
  for (std::size_t j = 0; j < pairs; ++j) {
    const double x = z[j] + std::log(theta[j]);
    for (std::size_t i = 0; i < width; ++i) hidden[i] += x * up[j * width + i];
  }
  for (double& x : hidden) x /= 1.0 + std::exp(-x);
  // ln theta_j(t) = const - 2j / (d - 2) ln alpha, and d alpha / dt is 2.
  const double dim = std::max(static_cast<double>(rope.rotary_dim) - 2.0, 1.0);
  Vector result(pairs);
  for (std::size_t j = 0; j < pairs; ++j) {
    result[j] = -4.0 * static_cast<double>(j) / (dim * alpha);
  }
  for (std::size_t i = 0; i < width; ++i) {
    for (std::size_t j = 0; j < pairs; ++j) result[j] += hidden[i] * down[i * pairs + j];
  }
  return result;
}

}  // namespace coca::inline v0
