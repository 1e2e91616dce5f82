// EXPECT: the scheme's logit must be `T logit\(T, const Site&\) const`
#include "coca/coca.hpp"

struct Mine : coca::SchemeDefaults {
#ifdef COCA_MUST_COMPILE
  float logit(float score, const coca::Site&) const { return score; }
#else
  float logit(float score) const { return score; }
#endif
};

void call(Eigen::MatrixXf& out, const Eigen::MatrixXf& x) { coca::attention(out, x, x, x, Mine{}); }
