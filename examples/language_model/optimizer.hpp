#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>

#include "language_model/model.hpp"

namespace language_model {

/// The learning rate of a step: a linear rise, then half a cosine down to a tenth (Loshchilov & Hutter
/// 2017).
struct CosineSchedule {
  double peak = 2e-3;
  Index warmup = 100;
  Index steps = 2000;

  double operator()(Index step) const {
    if (step < warmup) return peak * static_cast<double>(step + 1) / static_cast<double>(warmup);
    const double share = static_cast<double>(step - warmup) /
                         static_cast<double>(std::max<Index>(1, steps - warmup));
    return peak * (0.1 + 0.45 * (1.0 + std::cos(std::numbers::pi * std::min(share, 1.0))));
  }
};

/// Scales a gradient down to a norm of at most `most`; returns the norm it had (Pascanu et al. 2013).
inline double clip(Parameters& gradient, double most) {
  double squares = 0.0;
  for (const auto& [name, matrix] : gradient.named()) {
    squares += static_cast<double>(matrix->squaredNorm());
  }
  const double norm = std::sqrt(squares);
  if (norm > most) {
    for (const auto& [name, matrix] : gradient.named()) *matrix *= static_cast<float>(most / norm);
  }
  return norm;
}

/// Adam with decoupled weight decay (Loshchilov & Hutter 2019), which spares the norms.
struct AdamW {
  float beta1 = 0.9F, beta2 = 0.95F, epsilon = 1e-8F, decay = 0.1F;
  Parameters mean, square;  ///< moments of the gradient

  explicit AdamW(const Config& config) : mean(config), square(config) {}

  /// Step number `step`, from 0 on.
  void update(Parameters& parameters, const Parameters& gradient, Index step, double rate) {
    const auto t = static_cast<double>(step + 1);
    const auto correct1 = static_cast<float>(1.0 / (1.0 - std::pow(static_cast<double>(beta1), t)));
    const auto correct2 = static_cast<float>(1.0 / (1.0 - std::pow(static_cast<double>(beta2), t)));
    const auto eta = static_cast<float>(rate);
    const auto to = parameters.named();
    const auto from = gradient.named();
    const auto means = mean.named();
    const auto squares = square.named();
    for (std::size_t i = 0; i < to.size(); ++i) {
      auto w = to[i].second->array();
      const auto g = from[i].second->array();
      auto m = means[i].second->array();
      auto s = squares[i].second->array();
      m = beta1 * m + (1.0F - beta1) * g;
      s = beta2 * s + (1.0F - beta2) * g.square();
      if (w.rows() > 1) w *= 1.0F - eta * decay;
      w -= eta * (correct1 * m) / ((correct2 * s).sqrt() + epsilon);
    }
  }
};

}  // namespace language_model
