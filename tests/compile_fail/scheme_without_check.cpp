// EXPECT: the scheme lacks a member, or has it with another type
#include "coca/coca.hpp"

#ifdef COCA_MUST_COMPILE
struct Mine : coca::SchemeDefaults {};
#else
struct Mine {
  template <class T>
  void map_query(std::span<const T>, const coca::Token&, std::span<T>) const {}
};
#endif

void call(Eigen::MatrixXf& out, const Eigen::MatrixXf& x) { coca::attention(out, x, x, x, Mine{}); }
