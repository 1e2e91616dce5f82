#include <algorithm>
#include <array>
#include <vector>

#include "kernel/backward_cases.hpp"
#include "support/catch.hpp"

/// Gradients under a distance ceiling, held against their definition.
namespace {

using namespace test;
using coca::DistanceCeiling;

/// Schemes that have a ceiling, with their definitions, in one type.
using Relative = coca::OneOf<coca::Rotary<>, coca::CocaStrict<>, coca::CocaConstrained<>>;

}  // namespace

TEST_CASE("gradients under a ceiling are those of its definition", "[ceiling]") {
  for (std::uint64_t seed = 0; seed < share_of(12U); ++seed) {
    Random random(8500 + seed);
    const Sizes sizes = random_sizes(random);
    const AttentionOptions options = random_positions(random);
    const Index ceiling =
        random.pick(std::array<Index, 5>{0, 3, 40, 1000, std::max<Index>(sizes.keys - 2, 0)});
    for_each_form(random_rope(random, sizes.dim), [&](const auto& form) {
      using S = std::remove_cvref_t<decltype(form.scheme)>;
      if constexpr (std::is_constructible_v<Relative, S>) {
        INFO("seed " << seed << ", " << form.name << ", ceiling " << ceiling << ", "
                     << text_of(sizes));
        using Score = reference::CeilingScore<std::remove_cvref_t<decltype(form.definition)>>;
        const Score definition{form.definition, ceiling};
        compare_gradients<float>(Form{form.name, DistanceCeiling{Relative(form.scheme), ceiling},
                                      definition, form.coca, form.half_width},
                                 sizes, random_mask(random), options, 0.0, 0.0, random, false);
      }
    });
  }
}

TEST_CASE("the forward and the backward pass agree under a ceiling, on any number of threads",
          "[ceiling]") {
  // By differences of a loss, sum(dout o out), along one direction for each operand.
  Random random(8600);
  const DistanceCeiling scheme{coca::Rotary{coca::Rope({.dim = 8})}, 20};
  const auto mask = coca::Causal{} & coca::Alibi{4};
  const auto q = random_tensor<double>({1, 70, 4, 8}, random),
             k = random_tensor<double>({1, 70, 2, 8}, random),
             v = random_tensor<double>({1, 70, 2, 8}, random),
             dout = random_tensor<double>({1, 70, 4, 8}, random);
  std::vector<double> numbers(4 * 70);
  const coca::View<double, 3> lse(numbers.data(), {1, 4, 70});
  Tensor<double> out({1, 70, 4, 8}), dq({1, 70, 4, 8}), dk({1, 70, 2, 8}), dv({1, 70, 2, 8});
  Eigen::ThreadPool pool(3);
  const auto run = [&](int threads) {
    const Eigen::ThreadPoolDevice device(&pool, threads);
    coca::attention(out.view(), q.view(), k.view(), v.view(), scheme, mask, {.lse = lse}, device);
    coca::attention_backward(dq.view(), dk.view(), dv.view(), dout.view(), q.view(), k.view(),
                             v.view(), out.view(), lse, scheme, mask, {}, {}, device);
  };
  run(1);
  const auto first = std::array{dq.storage(), dk.storage(), dv.storage()};
  run(3);
  CHECK(first == std::array{dq.storage(), dk.storage(), dv.storage()});

  const auto dot = [](const Tensor<double>& a, const Tensor<double>& b) {
    double sum = 0.0;
    const auto x = a.view();
    const auto y = b.view();
    Tensor<double>::for_each(
        x.shape, [&](Index i, Index j, Index h, Index c) { sum += x(i, j, h, c) * y(i, j, h, c); });
    return sum;
  };
  const auto loss = [&](const Tensor<double>& a, const Tensor<double>& b, const Tensor<double>& c) {
    coca::attention(out.view(), a.view(), b.view(), c.view(), scheme, mask);
    return dot(out, dout);
  };
  constexpr double step = 0x1p-16;
  const auto moved = [](Tensor<double> x, const Tensor<double>& by, double times) {
    const auto to = x.view();
    const auto from = by.view();
    Tensor<double>::for_each(to.shape, [&](Index i, Index j, Index h, Index c) {
      to(i, j, h, c) += times * from(i, j, h, c);
    });
    return x;
  };
  const auto along = [&](const auto& at) { return (at(step) - at(-step)) / (2.0 * step); };
  const auto to_q = random_tensor<double>(q.view().shape, random),
             to_k = random_tensor<double>(k.view().shape, random),
             to_v = random_tensor<double>(v.view().shape, random);
  CHECK(along([&](double x) { return loss(moved(q, to_q, x), k, v); }) ==
        Approx(dot(dq, to_q)).epsilon(1e-6));
  CHECK(along([&](double x) { return loss(q, moved(k, to_k, x), v); }) ==
        Approx(dot(dk, to_k)).epsilon(1e-6));
  CHECK(along([&](double x) { return loss(q, k, moved(v, to_v, x)); }) ==
        Approx(dot(dv, to_v)).epsilon(1e-6));
}
