#include <cmath>

#include "coca/coca.hpp"
#include "support/catch.hpp"
#include "support/forms.hpp"
#include "support/isolation.hpp"
#include "support/random.hpp"

/// Batch entries, heads and rows do not see each other, whatever is in them.
namespace {

using namespace test;

template <class T>
struct Inputs {
  Tensor<T> q{{2, 70, 4, 16}}, k{{2, 130, 2, 8}}, v{{2, 130, 2, 10}};
  Tensor<float> out{{2, 70, 4, 10}};
  explicit Inputs(std::uint64_t seed) {
    Random random(seed);
    q.fill([&] { return random.uniform(); });
    k.fill([&] { return std::fabs(random.uniform()); });
    v.fill([&] { return random.uniform(); });
  }
  template <class S, class M>
  void run(const S& scheme, const M& mask, double soft_cap = 0.0) {
    coca::attention(out.view(), q.view(), k.view(), v.view(), scheme, mask,
                    {.soft_cap = soft_cap, .first_query = 60});
  }
};

}  // namespace

TEMPLATE_TEST_CASE("what one row holds stays in the rows that see it", "[attention]", float,
                   Eigen::bfloat16) {
  using T = TestType;
  const coca::Rope rope({.dim = 16});
  const coca::CocaSlack scheme{rope};
  const coca::Causal mask;
  // Scores are beyond the cap, and a score that is NaN beside them.
  const double soft_cap = GENERATE(0.0, 0.25);
  Inputs<T> clean(1);
  clean.run(scheme, mask, soft_cap);
  for (const float bad : {kNan, kInf, 0.75F}) {
    INFO("value " << bad << ", soft-cap " << soft_cap);
    SECTION("a query") {
      Inputs<T> spoilt(1);
      for (Index i = 0; i < 16; ++i) spoilt.q.view()(1, 33, 2, i) = static_cast<T>(bad);
      spoilt.run(scheme, mask, soft_cap);
      CHECK(differ_exactly(clean.out, spoilt.out,
                           [](Index b, Index n, Index h) { return b == 1 && n == 33 && h == 2; }));
    }
    // Query n stands at 60 + n and sees key 100 from n = 40 on; heads 2 and 3 share key head 1.
    const auto sees_key = [](Index b, Index n, Index h) { return b == 0 && n >= 40 && h >= 2; };
    SECTION("a key") {
      Inputs<T> spoilt(1);
      for (Index i = 0; i < 8; ++i) spoilt.k.view()(0, 100, 1, i) = static_cast<T>(bad);
      spoilt.run(scheme, mask, soft_cap);
      CHECK(differ_exactly(clean.out, spoilt.out, sees_key));
    }
    SECTION("a value") {
      Inputs<T> spoilt(1);
      for (Index i = 0; i < 10; ++i) spoilt.v.view()(0, 100, 1, i) = static_cast<T>(bad);
      spoilt.run(scheme, mask, soft_cap);
      CHECK(differ_exactly(clean.out, spoilt.out, sees_key));
    }
  }
}

TEST_CASE("rows that see nothing are zeros with lse -inf, and with a sink have its lse",
          "[attention]") {
  Eigen::MatrixXf q = Eigen::MatrixXf::Random(5, 4), k = Eigen::MatrixXf::Random(3, 4), out(5, 4);
  Eigen::Tensor<float, 3> lse(1, 1, 5);
  out.setConstant(9.0F);
  coca::attention(out, q, k, k, coca::Dot{}, coca::Causal{}, {.lse = coca::view(lse)});
  for (Index n = 0; n < 2; ++n) {
    CHECK((out.row(n).array() == 0.0F).all());
    CHECK(lse(0, 0, n) == -kInf);
  }
  CHECK(out.row(2).isApprox(k.row(0)));
  const double score = 0.5 * static_cast<double>(q.row(2).dot(k.row(0)));
  CHECK(lse(0, 0, 2) == Approx(score).margin(1e-6));  // its terms may cancel

  const float sink = 0.75F;
  coca::attention(out, q, k, k, coca::Dot{}, coca::Causal{},
                  {.sinks = coca::View<const float, 1>(&sink, {1}), .lse = coca::view(lse)});
  CHECK((out.row(0).array() == 0.0F).all());
  CHECK(lse(0, 0, 0) == sink);
}

TEST_CASE("no queries, no keys, no batch", "[attention]") {
  using RowTensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;
  RowTensor q(2, 3, 2, 4), none(2, 0, 2, 4), out(2, 3, 2, 4), no_out(2, 0, 2, 4);
  q.setRandom();
  out.setConstant(9.0F);
  Eigen::Tensor<float, 3> lse(2, 2, 3);
  coca::attention(out, q, none, none, coca::Dot{}, coca::Full{}, {.lse = coca::view(lse)});
  const Eigen::Tensor<float, 0, Eigen::RowMajor> most = out.abs().maximum();
  CHECK(most() == 0.0F);
  CHECK(lse(1, 1, 2) == -kInf);
  // There need not be memory where there are no keys, whatever their strides.
  out.setConstant(9.0F);
  const coca::TensorView<const float> nowhere(nullptr, {2, 0, 2, 4}, {64, 8, 4, 1});
  coca::attention(out, q, nowhere, nowhere, coca::Dot{});
  const Eigen::Tensor<float, 0, Eigen::RowMajor> most_again = out.abs().maximum();
  CHECK(most_again() == 0.0F);
  coca::attention(no_out, none, q, q, coca::Dot{});
  RowTensor no_batch(0, 3, 2, 4), no_batch_out(0, 3, 2, 4), no_heads(2, 3, 0, 4),
      no_heads_out(2, 3, 0, 4);
  coca::attention(no_batch_out, no_batch, no_batch, no_batch, coca::Dot{}, coca::Causal{});
  coca::attention(no_heads_out, no_heads, no_heads, no_heads, coca::Dot{});
}
