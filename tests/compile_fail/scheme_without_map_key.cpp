// EXPECT: the scheme lacks a member, or has it with another type
#include "coca/coca.hpp"

// Every member but one. Nothing is inherited, so nothing stands in for what is missing.
struct Mine {
  coca::Index key_dim(coca::Index query_dim) const { return query_dim; }
  coca::Index score_dim(coca::Index query_dim) const { return query_dim; }
  void check(const coca::AttentionShape&) const {}
  template <class T>
  void map_query(std::span<const T>, const coca::Token&, std::span<T>) const {}
#ifdef COCA_MUST_COMPILE
  template <class T>
  void map_key(std::span<const T>, const coca::Token&, std::span<T>) const {}
#endif
};

void call(Eigen::MatrixXf& out, const Eigen::MatrixXf& x) { coca::attention(out, x, x, x, Mine{}); }
