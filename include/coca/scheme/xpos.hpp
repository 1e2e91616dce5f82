#pragma once

#include <cmath>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "coca/core/error.hpp"
#include "coca/position/scaling.hpp"
#include "coca/scheme/scheme.hpp"

namespace coca::inline v0 {

/// The numbers of an XPos.
struct XPosOptions {
  double scale_base = 512.0;  ///< tokens over which a pair decays by its zeta
  double gamma = 0.4;         ///< zeta_j = (2j / d + gamma) / (1 + gamma)
  /// The position at which nothing is larger or smaller. In the middle of a sequence, the sequence may
  /// be twice as long: in float, phi and psi are finite up to 35,000 tokens from here, by the defaults.
  Position centre = 0;
};

/// The decay of xPos (Sun et al. 2023, A Length-Extrapolatable Transformer, arXiv 2212.10554, section
/// 3.2, LeX), for any scheme with a rope: pair j of a score at distance m - n is multiplied by
///     zeta_j^((m - n) / scale_base),  zeta_j = (2j / rotary_dim + gamma) / (1 + gamma),
/// for which phi takes zeta_j^(m / scale_base) and psi zeta_j^(-n / scale_base). Pairs that do not turn
/// do not decay. Made for causal masks: scores of keys behind their query grow.
/// Throws std::invalid_argument for a scale_base or a gamma that is not positive.
template <class Base>
class XPos : public Base {
  static_assert(
      requires(const Base& base) { base.rope().rotary_dim(); },
      "coca::XPos: the scheme has no rope whose pairs could decay");

 public:
  /// Of a scheme with a rope.
  explicit XPos(Base base, XPosOptions options = {}) : Base(std::move(base)), options_(options) {
    detail::check_positive("xpos.scale_base", options_.scale_base);
    detail::check_positive("xpos.gamma", options_.gamma);
    const Index dim = this->rope().rotary_dim();
    std::vector<double> decay;
    for (Index j = 0; j < dim / 2; ++j) {
      const double part = static_cast<double>(2 * j) / static_cast<double>(dim);
      decay.push_back(std::log2((part + options_.gamma) / (1.0 + options_.gamma)) /
                      options_.scale_base);
    }
    decay_ = std::make_shared<const std::vector<double>>(std::move(decay));
  }

  template <Real T>
  void map_query(std::span<const T> q, const Token& at, std::span<T> phi) const {
    Base::map_query(q, at, phi);
    multiply(static_cast<double>(at.position - options_.centre), phi);
  }
  template <Real T>
  void map_key(std::span<const T> k, const Token& at, std::span<T> psi) const {
    Base::map_key(k, at, psi);
    multiply(static_cast<double>(options_.centre - at.position), psi);
  }

  template <Real T>
  void map_query_adjoint(std::span<const T> q, const Token& at, std::span<T> dphi,
                         std::span<T> dq) const {
    multiply(static_cast<double>(at.position - options_.centre), dphi);
    Base::map_query_adjoint(q, at, dphi, dq);
  }
  template <Real T>
  void map_key_adjoint(std::span<const T> k, const Token& at, std::span<T> dpsi,
                       std::span<T> dk) const {
    multiply(static_cast<double>(options_.centre - at.position), dpsi);
    Base::map_key_adjoint(k, at, dpsi, dk);
  }

 private:
  template <Real T>
  void multiply(double distance, std::span<T> x) const {
    for (std::size_t j = 0; j < decay_->size(); ++j) {
      const auto factor = static_cast<T>(std::exp2(distance * (*decay_)[j]));
      const auto [first, second] = this->rope().pair(static_cast<Index>(j));
      x[static_cast<std::size_t>(first)] *= factor;
      x[static_cast<std::size_t>(second)] *= factor;
    }
  }

  XPosOptions options_;
  std::shared_ptr<const std::vector<double>> decay_;  ///< log2 zeta_j / scale_base
};

}  // namespace coca::inline v0
