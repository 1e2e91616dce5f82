// EXPECT: a logit transform has T operator\(\)
#include "coca/coca.hpp"

struct Mine {
#ifdef COCA_MUST_COMPILE
  template <class T>
  T operator()(T score, const coca::Site&) const {
    return score;
  }
#endif
};

void call(Eigen::MatrixXf& out, const Eigen::MatrixXf& x) {
  coca::attention(out, x, x, x, coca::WithLogits(coca::Dot{}, Mine{}));
}
