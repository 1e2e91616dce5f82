// EXPECT: the mask lacks a member, or has it with another type
#include "coca/coca.hpp"

struct Mine : coca::MaskDefaults {
#ifdef COCA_MUST_COMPILE
  coca::Coverage classify(const coca::MaskTile&) const { return coca::Coverage::full; }
#else
  bool classify(const coca::MaskTile&) const { return true; }
#endif
};

void call(Eigen::MatrixXf& out, const Eigen::MatrixXf& x) {
  coca::attention(out, x, x, x, coca::Dot{}, Mine{});
}
