// EXPECT: the scheme has a map_query, but no map_query_adjoint
#include "coca/coca.hpp"

struct Mine : coca::SchemeDefaults {
  template <class T>
  void map_query(std::span<const T> q, const coca::Token&, std::span<T> phi) const {
    for (std::size_t i = 0; i < q.size(); ++i) phi[i] = 2 * q[i];
  }
#ifdef COCA_MUST_COMPILE
  template <class T>
  void map_query_adjoint(std::span<const T>, const coca::Token&, std::span<T> dphi,
                         std::span<T> dq) const {
    for (std::size_t i = 0; i < dq.size(); ++i) dq[i] = 2 * dphi[i];
  }
#endif
};

void call(Eigen::MatrixXf& dq, Eigen::MatrixXf& dk, Eigen::MatrixXf& dv, const Eigen::MatrixXf& x,
          const Eigen::Tensor<float, 3>& lse) {
  coca::attention_backward(dq, dk, dv, x, x, x, x, x, lse, Mine{});
}
