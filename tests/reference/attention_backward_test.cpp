#include "coca/reference/attention_backward.hpp"

#include <vector>

#include "coca/coca.hpp"
#include "support/bounds.hpp"
#include "support/catch.hpp"
#include "support/forms.hpp"
#include "support/random.hpp"

/// The reference's gradients against differences of the reference's attention.
namespace {

using namespace test;
using coca::AttentionOptions;

/// sum(dout * out).
template <class Score, class M>
double loss(const Tensor<double>& q, const Tensor<double>& k, const Tensor<double>& v,
            const Tensor<double>& dout, const Score& score, const M& mask,
            const AttentionOptions& options) {
  Tensor<double> out(dout.view().shape);
  reference::attention(out.view(), q.view(), k.view(), v.view(), score, mask, options);
  double sum = 0.0;
  for (std::size_t i = 0; i < out.storage().size(); ++i) {
    sum += out.storage()[i] * dout.storage()[i];
  }
  return sum;
}

/// Largest difference between `gradient` and central differences of `f` by each of `x`.
template <class F>
double apart(std::vector<double>& x, const std::vector<double>& gradient, const F& f) {
  constexpr double step = 0x1p-17;
  double most = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double at = x[i];
    x[i] = at + step;
    const double up = f();
    x[i] = at - step;
    const double down = f();
    x[i] = at;
    most = worse(most, gradient[i], (up - down) / (2 * step));
  }
  return most;
}

}  // namespace

TEST_CASE("the reference's gradients are differences of its attention", "[reference]") {
  Random random(81);
  const coca::Rope rope({.dim = 6, .base = 50.0, .rotary_dim = 4});
  for_each_form(rope, [&](const auto& form) {
    for (const bool capped : {false, true}) {
      INFO(form.name << (capped ? ", capped, with sinks" : ""));
      Tensor<double> q({2, 4, 4, 6}), k({2, 5, 2, form.half_width ? 3 : 6}), v({2, 5, 2, 3}),
          dout({2, 4, 4, 3}), dq(q.view().shape), dk(k.view().shape), dv(v.view().shape);
      for (auto* x : {&q, &v, &dout}) x->fill([&] { return random.uniform(); });
      k.fill([&] { return form.half_width ? std::fabs(random.uniform()) : random.uniform(); });
      for (auto* x : {&dq, &dk, &dv}) x->fill([] { return 0.0; });
      // Shared by the batch, and queries that see nothing among them.
      std::vector<double> bias(4 * 4 * 5), dbias(bias.size()), sinks{0.5, -0.5, 0.25, -2.0},
          dsinks(4);
      for (double& value : bias) value = random.uniform();
      const coca::AdditiveBias added(coca::View<const double, 4>(bias.data(), {1, 4, 4, 5}));
      const auto mask = coca::Causal{-2} & added;
      AttentionOptions options;
      if (capped) {
        options.soft_cap = 0.75;
        options.sinks = coca::View<const double, 1>(sinks.data(), {4});
      }
      reference::Gradients to{dq.view(), dk.view(), dv.view()};
      to.dsinks = {dsinks.data(), {4}};
      to.dbias = {dbias.data(), {2, 4, 4, 5}, {0, 20, 5, 1}};
      reference::attention_backward(to, dout.view(), q.view(), k.view(), v.view(), form.definition,
                                    mask, options);
      const auto f = [&] { return loss(q, k, v, dout, form.definition, mask, options); };
      // Third derivatives, of the order of 10, times the square of the step; and rounding over it.
      constexpr double bound = 0x1p-28;
      CHECK(apart(q.storage(), dq.storage(), f) <= bound);
      CHECK(apart(k.storage(), dk.storage(), f) <= bound);
      CHECK(apart(v.storage(), dv.storage(), f) <= bound);
      CHECK(apart(bias, dbias, f) <= bound);
      if (capped) CHECK(apart(sinks, dsinks, f) <= bound);
    }
  });
}
