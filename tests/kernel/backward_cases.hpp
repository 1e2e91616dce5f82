#pragma once

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>
#include <vector>

#include "coca/attention_backward.hpp"
#include "coca/reference/attention_backward.hpp"
#include "kernel/forward_cases.hpp"
#include "support/gradient_bounds.hpp"

/// Random calls of the backward kernel beside the reference.
namespace test {

/// Random contents in [-1, 1), and in T.
template <class T>
Tensor<T> random_tensor(const std::array<Index, 4>& shape, Random& random, bool positive = false) {
  Tensor<T> x(shape, random);
  x.fill([&] { return positive ? std::fabs(random.uniform()) : random.uniform(); });
  return x;
}

inline Tensor<double> zeros(const std::array<Index, 4>& shape) {
  Tensor<double> x(shape);
  x.fill([] { return 0.0; });
  return x;
}

/// Elements that were written. Random numbers never are kUntouched.
template <class T>
Index written(const Tensor<T>& x) {
  return std::count_if(x.storage().begin(), x.storage().end(),
                       [](T value) { return static_cast<float>(value) != Tensor<T>::kUntouched; });
}

/// One call: gradients in L, of operands in T, against the reference's.
template <class T, class AForm, class M>
void compare_gradients(const AForm& form, const Sizes& sizes, const M& mask,
                       AttentionOptions options, double added, double bend, Random& random,
                       bool may_have_ids = true) {
  using L = coca::Accumulator<T>;
  const auto [batch, queries, keys, key_heads, group, dim, value_dim] = sizes;
  const Index heads = key_heads * group;
  const auto q = random_tensor<T>({batch, queries, heads, dim}, random);
  const auto k = random_tensor<T>({batch, keys, key_heads, form.half_width ? dim / 2 : dim}, random,
                                  form.half_width);
  const auto v = random_tensor<T>({batch, keys, key_heads, value_dim}, random);
  const auto dout = random_tensor<T>({batch, queries, heads, value_dim}, random);
  Tensor<T> out(dout.view().shape, random);
  Tensor<L> dq(q.view().shape, random), dk(k.view().shape, random), dv(v.view().shape, random);
  const auto wide_q = widened(q), wide_k = widened(k), wide_v = widened(v),
             wide_dout = widened(dout);

  std::vector<float> sinks(static_cast<std::size_t>(heads));
  for (float& sink : sinks) sink = static_cast<float>(random.uniform());
  const bool with_sinks = random.integer(0, 1) == 0;
  if (with_sinks) options.sinks = coca::View<const float, 1>(sinks.data(), {heads});
  if (random.integer(0, 2) == 0) options.soft_cap = 0.5;
  if (!options.scale && random.integer(0, 2) == 0) options.scale = 0.3;
  std::vector<Position> ids(static_cast<std::size_t>(queries + keys));
  if (may_have_ids && random.integer(0, 2) == 0) {
    for (Position& id : ids) id = random.integer(-100, 5000);
    options.query_ids = {ids.data(), {1, queries}};
    options.key_ids = {ids.data() + queries, {1, keys}};
  }

  // The result, of the reference; and the largest weight of a key.
  std::vector<double> wide_lse(static_cast<std::size_t>(batch * heads * queries));
  Tensor<double> wide_out(out.view().shape);
  AttentionOptions forward = options;
  forward.lse = coca::View<double, 3>(wide_lse.data(), {batch, heads, queries});
  reference::attention(wide_out.view(), wide_q.view(), wide_k.view(), wide_v.view(),
                       form.definition, mask, forward);
  std::size_t next = 0;
  out.fill([&] { return wide_out.storage()[next++]; });
  const std::vector<L> lse(wide_lse.begin(), wide_lse.end());
  auto key_weights = zeros({batch, keys, key_heads, 1});
  const reference::Call call{wide_q.view(), wide_k.view(), form.definition, mask, options};
  for (Index b = 0; b < batch; ++b)
    for (Index h = 0; h < heads; ++h)
      for (Index m = 0; m < queries; ++m) {
        const reference::Weights row = call.weights(b, h, m);
        for (std::size_t i = 0; i < row.seen.size(); ++i) {
          key_weights.view()(b, row.seen[i], h / group, 0) += row.weights[i];
        }
      }

  // Gradients of biases that heads, or queries and the batch, share, or none do.
  const Index shared = random.integer(0, 3);
  const std::array<Index, 4> bias_shape{shared == 2 ? 1 : batch, shared == 1 ? 1 : heads,
                                        shared == 2 ? 1 : queries, keys};
  std::vector<L> dbias(
      static_cast<std::size_t>(bias_shape[0] * bias_shape[1] * bias_shape[2] * keys), L(-77));
  std::vector<double> dsinks(sinks.size(), -77.0);
  coca::MoreGradients more;
  const coca::View<L, 4> bias_view(dbias.data(), bias_shape);
  if (shared != 3) more.bias = bias_view;
  if (with_sinks) more.sinks = coca::View<double, 1>(dsinks.data(), {heads});
  coca::attention_backward(dq.view(), dk.view(), dv.view(), dout.view(), q.view(), k.view(),
                           v.view(), out.view(),
                           coca::View<const L, 3>(lse.data(), {batch, heads, queries}), form.scheme,
                           mask, options, more);

  auto wide_dq = zeros(q.view().shape), wide_dk = zeros(k.view().shape),
       wide_dv = zeros(v.view().shape);
  auto wide_dbias = zeros(bias_shape);
  std::vector<double> wide_dsinks(sinks.size());
  coca::View<double, 4> wide_bias = wide_dbias.view();
  for (std::size_t axis = 0; axis < 4; ++axis) {
    if (bias_shape[axis] == 1) wide_bias.strides[axis] = 0;
  }
  reference::attention_backward(
      {wide_dq.view(), wide_dk.view(), wide_dv.view(), {wide_dsinks.data(), {heads}}, wide_bias},
      wide_dout.view(), wide_q.view(), wide_k.view(), wide_v.view(), form.definition, mask,
      options);

  const double scale = std::fabs(options.scale.value_or(1.0 / std::sqrt(static_cast<double>(dim))));
  const double magnitude =
      scale * (form.coca ? coca_magnitude(longest_row(wide_q), largest(wide_k))
                         : linear_magnitude(longest_row(wide_q), longest_row(wide_k)));
  if (options.soft_cap > 0.0) bend += 1.0 / options.soft_cap;
  Slopes by = slopes(form.coca, largest(wide_q), largest(wide_k));
  by.by_query *= scale;
  by.by_key *= scale;
  const GradientBounds bounds = gradient_bounds<T>(
      magnitude, options.soft_cap + 1.0 + added, bend, longest_row(wide_dout) * longest_row(wide_v),
      longest_row(wide_dout), by, largest(key_weights), dim, value_dim, queries * group, keys,
      {storage_unit<T>() * largest(wide_v),
       kUnit<T> * (magnitude + options.soft_cap + 1.0 + added +
                   std::log(static_cast<double>(keys) + 1.0))});
  CHECK(largest_difference(dq, wide_dq) <= bounds.dq);
  CHECK(largest_difference(dk, wide_dk) <= bounds.dk);
  CHECK(largest_difference(dv, wide_dv) <= bounds.dv);
  CHECK(written(dq) <= dq.view().size());
  CHECK(written(dk) <= dk.view().size());
  CHECK(written(dv) <= dv.view().size());
  if (shared != 3) {
    double most = 0.0;
    for (std::size_t i = 0; i < dbias.size(); ++i) {
      most = worse(most, static_cast<double>(dbias[i]), wide_dbias.storage()[i]);
    }
    const double adds = static_cast<double>(shared == 2   ? batch * queries
                                            : shared == 1 ? heads
                                                          : 1);
    CHECK(most <= adds * bounds.dbias);
  }
  if (with_sinks) {
    double most = 0.0;
    for (std::size_t i = 0; i < dsinks.size(); ++i) most = worse(most, dsinks[i], wide_dsinks[i]);
    CHECK(most <= static_cast<double>(batch) * bounds.dsinks);
  }
}

/// The positions of a call, and its sizes, at random.
inline AttentionOptions random_positions(Random& random) {
  AttentionOptions options;
  if (random.integer(0, 1) == 0) options.first_key = random.integer(-50, 1000);
  if (random.integer(0, 1) == 0) {
    options.first_query = options.first_key + random.integer(-20, 100);
  }
  return options;
}
inline std::string text_of(const Sizes& s) {
  std::ostringstream text;
  text << "batch " << s.batch << ", queries " << s.queries << ", keys " << s.keys << ", key heads "
       << s.key_heads << ", group " << s.group << ", dim " << s.dim << ", value dim "
       << s.value_dim;
  return text.str();
}

/// Every scheme, through one kernel, with random sizes and masks.
template <class T>
void compare_random_gradients(std::uint64_t first_seed, int rounds) {
  using Any = coca::OneOf<coca::Dot, AnyScheme>;
  for (int round = 0; round < share_of(rounds); ++round) {
    Random random(first_seed + static_cast<std::uint64_t>(round));
    const Sizes sizes = random_sizes(random);
    const coca::Rope rope = random_rope(random, sizes.dim);
    const AttentionOptions options = random_positions(random);
    for_each_form(rope, [&](const auto& form) {
      INFO("round " << round << ", " << form.name << ", " << text_of(sizes) << ", rotary "
                    << rope.rotary_dim());
      const auto any = [&] {
        if constexpr (std::is_constructible_v<AnyScheme, decltype(form.scheme)>) {
          return Any(AnyScheme(form.scheme));
        } else {
          return Any(form.scheme);
        }
      }();
      compare_gradients<T>(
          Form{form.name, any, AnyScore(form.definition), form.coca, form.half_width}, sizes,
          random_mask(random), options, 0.0, 0.0, random);
    });
  }
}

}  // namespace test
