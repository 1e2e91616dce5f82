// EXPECT: the mask lacks a member, or has it with another type
#include "coca/coca.hpp"

struct Mine {
  void check(const coca::AttentionShape&) const {}
#ifdef COCA_MUST_COMPILE
  coca::Coverage classify(const coca::MaskTile&) const { return coca::Coverage::mixed; }
#endif
  bool visible(const coca::Site&) const { return true; }
};

void call(Eigen::MatrixXf& out, const Eigen::MatrixXf& x) {
  coca::attention(out, x, x, x, coca::Dot{}, Mine{});
}
