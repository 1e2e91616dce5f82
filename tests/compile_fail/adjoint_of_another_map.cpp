// EXPECT: the scheme has a map_key, but no map_key_adjoint declared beside it
#include "coca/coca.hpp"

struct Mine : coca::Rotary<> {
  using coca::Rotary<>::Rotary;
#ifndef COCA_MUST_COMPILE
  // A map of its own, beside the adjoint of Rotary's.
  template <coca::Real T>
  void map_key(std::span<const T> k, const coca::Token&, std::span<T> psi) const {
    for (std::size_t i = 0; i < k.size(); ++i) psi[i] = 2 * k[i];
  }
#endif
};

void call(Eigen::MatrixXf& dq, Eigen::MatrixXf& dk, Eigen::MatrixXf& dv, const Eigen::MatrixXf& x,
          const Eigen::Tensor<float, 3>& lse) {
  coca::attention_backward(dq, dk, dv, x, x, x, x, x, lse, Mine(coca::Rope({.dim = 8})));
}
