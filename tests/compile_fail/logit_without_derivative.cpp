// EXPECT: the scheme changes logits, but has no logit_derivative
#include "coca/coca.hpp"

struct Squared {
  float operator()(float score, const coca::Site&) const { return score * score; }
#ifdef COCA_MUST_COMPILE
  float derivative(float score, const coca::Site&) const { return 2 * score; }
#endif
};

void call(Eigen::MatrixXf& dq, Eigen::MatrixXf& dk, Eigen::MatrixXf& dv, const Eigen::MatrixXf& x,
          const Eigen::Tensor<float, 3>& lse) {
  coca::attention_backward(dq, dk, dv, x, x, x, x, x, lse,
                           coca::WithLogits(coca::Dot{}, Squared{}));
}
