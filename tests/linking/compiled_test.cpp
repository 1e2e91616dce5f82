#define EIGEN_USE_THREADS
#include <array>
#include <coca/coca.hpp>

#include "support/catch.hpp"

namespace {

/// A scheme of the caller's own.
struct Negated : coca::SchemeDefaults {
  template <coca::Real T>
  void map_query(std::span<const T> q, const coca::Token&, std::span<T> phi) const {
    for (std::size_t i = 0; i < q.size(); ++i) phi[i] = -q[i];
  }
};

}  // namespace

/// A file that calls what coca::kernels has compiled.
TEST_CASE("the kernels are found where they were compiled", "[linking]") {
  Eigen::MatrixXf q(3, 4);
  q.setRandom();
  Eigen::MatrixXf v = q, out(3, 4);
  coca::attention(out, q, q, v, coca::Dot{}, coca::Causal{});
  CHECK(out.row(0).isApprox(v.row(0)));
  coca::attention(out, q, q, v, coca::Rotary{coca::Rope({.dim = 4})}, coca::Causal{},
                  {.soft_cap = 30.0});
  CHECK(out.row(0).isApprox(v.row(0)));
  coca::attention(out, q, q, v, Negated{}, coca::SlidingWindow(0, 0));
  CHECK(out.isApprox(v));
  CHECK_THROWS_AS(coca::attention(out, q, Eigen::MatrixXf(2, 4), v, coca::Dot{}),
                  std::invalid_argument);

  Eigen::ThreadPool pool(2);
  const Eigen::ThreadPoolDevice device(&pool, 2);
  Eigen::MatrixXd wide_q = q.cast<double>(), wide_out(3, 4);
  coca::attention(wide_out, wide_q, wide_q, wide_q, coca::Dot{}, coca::SlidingWindow(0, 0), {},
                  device);
  CHECK(wide_out.isApprox(wide_q));

  // All others that run a kernel.
  coca::PagedCache cache({.key_heads = 1, .key_dim = 4, .value_dim = 4});
  const coca::SequenceId sequence = cache.add();
  Eigen::Tensor<float, 3, Eigen::RowMajor> token(1, 1, 4);
  token.setConstant(2.0F);
  cache.append(sequence, token, token);
  Eigen::Tensor<float, 4, Eigen::RowMajor> query(1, 1, 1, 4), decoded(1, 1, 1, 4);
  query.setConstant(1.0F);
  coca::decode(decoded, query, cache, {&sequence, 1}, coca::Dot{});
  CHECK(decoded(0, 0, 0, 3) == 2.0F);

  Eigen::MatrixXf dq(3, 4), dk(3, 4), dv(3, 4);
  std::array<float, 3> lse{};
  coca::attention(out, q, q, v, coca::Dot{}, coca::SlidingWindow(0, 0),
                  {.lse = coca::View<float, 3>(lse.data(), {1, 1, 3})});
  coca::attention_backward(dq, dk, dv, v, q, q, v, out,
                           coca::View<const float, 3>(lse.data(), {1, 1, 3}), coca::Dot{},
                           coca::SlidingWindow(0, 0));
  CHECK(dv.isApprox(v));
}
