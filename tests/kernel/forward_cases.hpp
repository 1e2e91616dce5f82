#pragma once

#include <functional>

#include "coca/coca.hpp"
#include "coca/kernel/forward_block.hpp"
#include "coca/reference/attention.hpp"
#include "support/bounds.hpp"
#include "support/catch.hpp"
#include "support/effort.hpp"
#include "support/forms.hpp"
#include "support/masks.hpp"
#include "support/random.hpp"

/// Random calls of the kernel beside the reference. In a header, so that the element types are
/// compiled apart.
namespace test {

using coca::AttentionOptions;
using coca::Position;

struct Sizes {
  Index batch, queries, keys, key_heads, group, dim, value_dim;

  Index pairs() const { return batch * queries * keys * key_heads * group; }
};

/// The reference takes its time for each pair of tokens: long sequences have few heads.
inline Sizes with_few_pairs(Sizes sizes) {
  constexpr Index most_pairs = 130 * 130;
  for (Index* count : {&sizes.batch, &sizes.group, &sizes.key_heads}) {
    while (*count > 1 && sizes.pairs() > most_pairs) --*count;
  }
  return sizes;
}

inline Sizes random_sizes(Random& random) {
  constexpr std::array<Index, 9> lengths{0, 1, 2, 17, 33, 63, 64, 65, 130};
  Sizes sizes{random.integer(1, 2),
              random.pick(lengths),
              random.pick(lengths),
              random.integer(1, kEmulated ? 2 : 3),
              random.integer(1, kEmulated ? 2 : 4),
              2 * random.integer(1, 20),
              random.integer(1, 40)};
  return with_few_pairs(sizes);
}

/// So many keys that sums are brought to totals on the way, once or twice.
inline Sizes long_sizes(Random& random) {
  constexpr Index keys_of_a_sum = coca::detail::kBlocksOfASum * coca::detail::kTileKeys;
  constexpr std::array<Index, 5> lengths{keys_of_a_sum, keys_of_a_sum + 1, keys_of_a_sum + 700,
                                         2 * keys_of_a_sum, 2 * keys_of_a_sum + 130};
  return {1, random.integer(3, 6), random.pick(lengths), 1, 1, 2 * random.integer(1, 4), 3};
}

inline coca::Rope random_rope(Random& random, Index dim) {
  const auto layout =
      random.integer(0, 1) == 0 ? coca::RopeLayout::half_split : coca::RopeLayout::interleaved;
  const Index rotary_dim = random.integer(0, 2) == 0 ? 2 * random.integer(1, dim / 2) : dim;
  // Some are scaled, by factors that leave the bounds of unscaled ones in force.
  coca::RopeScaling scaling;
  if (random.integer(0, 1) == 0) {
    scaling = [](const coca::RopeBase& base) {
      return coca::RotaryFrequencies{base.frequencies(), 0.75};
    };
  }
  return coca::Rope({.dim = dim,
                     .base = 500.0,
                     .rotary_dim = rotary_dim,
                     .layout = layout,
                     .scaling = std::move(scaling)});
}

/// The operands of one call, and the reference's answer.
template <class T>
struct Case {
  Sizes sizes;
  Tensor<T> q, k, v, out;
  Tensor<double> wide_q, wide_k, wide_v, wide_out;

  Case(const Sizes& s, bool half_width, Random& random)
      : sizes(s),
        q({s.batch, s.queries, s.key_heads * s.group, s.dim}, random),
        k({s.batch, s.keys, s.key_heads, half_width ? s.dim / 2 : s.dim}, random),
        v({s.batch, s.keys, s.key_heads, s.value_dim}, random),
        out({s.batch, s.queries, s.key_heads * s.group, s.value_dim}, random),
        wide_q(fill(q, random)),
        wide_k(fill(k, random, half_width)),
        wide_v(fill(v, random)),
        wide_out(out.view().shape) {}

  static Tensor<double> fill(Tensor<T>& x, Random& random, bool non_negative = false) {
    x.fill([&] { return non_negative ? std::fabs(random.uniform()) : random.uniform(); });
    return widened(x);
  }
};

/// A call of attention with some scheme: the one thing of a comparison that is compiled for each.
template <class T>
using AttentionCall = std::function<void(Case<T>&, const AnyMask&, const AttentionOptions&)>;

template <class T>
void compare(const Form<AttentionCall<T>, AnyScore>& form, const Sizes& sizes,
             AttentionOptions options, Random& random) {
  Case<T> c(sizes, form.half_width, random);
  using L = coca::Accumulator<T>;
  const auto [batch, queries, keys, key_heads, group, dim, value_dim] = sizes;
  std::vector<L> lse(static_cast<std::size_t>(batch * key_heads * group * queries), L(0));
  std::vector<double> wide_lse(lse.size());
  std::vector<float> sinks(static_cast<std::size_t>(key_heads * group));
  for (float& sink : sinks) sink = static_cast<float>(random.uniform());
  if (random.integer(0, 2) == 0) sinks[0] = -std::numeric_limits<float>::infinity();
  if (random.integer(0, 1) == 0) {
    options.sinks = coca::View<const float, 1>(sinks.data(), {key_heads * group});
  }
  if (random.integer(0, 2) == 0) options.soft_cap = 0.5;
  if (random.integer(0, 2) == 0) options.scale = 0.3;

  // A third of the calls have position ids of their own.
  std::vector<Position> query_ids(static_cast<std::size_t>(queries * batch));
  std::vector<Position> key_ids(static_cast<std::size_t>(keys));
  if (random.integer(0, 2) == 0) {
    for (Position& id : query_ids) id = random.integer(-100, 5000);
    for (Position& id : key_ids) id = random.integer(-100, 5000);
    options.query_ids = {query_ids.data(), {batch, queries}};
    options.key_ids = {key_ids.data(), {1, keys}};
  }

  const AnyMask mask = random_mask(random);
  options.lse = coca::View<L, 3>(lse.data(), {batch, key_heads * group, queries});
  form.scheme(c, mask, options);
  options.lse = coca::View<double, 3>(wide_lse.data(), {batch, key_heads * group, queries});
  reference::attention(c.wide_out.view(), c.wide_q.view(), c.wide_k.view(), c.wide_v.view(),
                       form.definition, mask, options);

  const double scale = std::fabs(options.scale.value_or(1.0 / std::sqrt(static_cast<double>(dim))));
  const double magnitude =
      scale * (form.coca ? coca_magnitude(longest_row(c.wide_q), largest(c.wide_k))
                         : linear_magnitude(longest_row(c.wide_q), longest_row(c.wide_k)));
  const Bounds bounds =
      attention_bounds<T, T>(magnitude, options.soft_cap + 1.0, largest(c.wide_v), dim, keys);
  CHECK(largest_difference(c.out, c.wide_out) <= bounds.out);
  double lse_difference = 0.0;
  for (std::size_t i = 0; i < lse.size(); ++i) {
    if (static_cast<double>(lse[i]) == wide_lse[i]) continue;
    lse_difference = std::max(lse_difference, std::fabs(static_cast<double>(lse[i]) - wide_lse[i]));
  }
  CHECK(lse_difference <= bounds.lse);

  // Nothing was written beside the output's elements.
  Index written = 0;
  for (const T value : c.out.storage())
    written += static_cast<float>(value) != Tensor<T>::kUntouched;
  CHECK(written <= c.out.view().size());
}

/// Compares random calls: `for_each` is for_each_form or for_each_any_form.
template <class T, class ForEach>
void compare_random(std::uint64_t first_seed, int rounds, Sizes (*sizes_of)(Random&),
                    const ForEach& for_each) {
  for (int round = 0; round < share_of(rounds); ++round) {
    Random random(first_seed + static_cast<std::uint64_t>(round));
    const Sizes sizes = sizes_of(random);
    const coca::Rope rope = random_rope(random, sizes.dim);
    AttentionOptions options;
    if (random.integer(0, 1) == 0) options.first_key = random.integer(-50, 1000);
    if (random.integer(0, 1) == 0) {
      // Near the first key, or so far that a causal mask shows most of them.
      const Index least = std::max<Index>(sizes.keys - 130, 0);
      options.first_query = options.first_key + least + random.integer(-20, 100);
    }
    for_each(rope, [&](const auto& form) {
      INFO("round " << round << ", " << form.name << ", batch " << sizes.batch << ", queries "
                    << sizes.queries << ", keys " << sizes.keys << ", key heads " << sizes.key_heads
                    << ", group " << sizes.group << ", dim " << sizes.dim << ", value dim "
                    << sizes.value_dim << ", rotary " << rope.rotary_dim());
      const AttentionCall<T> call = [&form](Case<T>& c, const AnyMask& mask,
                                            const AttentionOptions& of_call) {
        coca::attention(c.out.view(), c.q.view(), c.k.view(), c.v.view(), form.scheme, mask,
                        of_call);
      };
      compare<T>(Form{form.name, call, AnyScore(form.definition), form.coca, form.half_width},
                 sizes, options, random);
    });
  }
}
/// Every scheme compiled into a kernel of its own.
template <class T>
void compare_all_forms(std::uint64_t first_seed, int rounds,
                       Sizes (*sizes_of)(Random&) = random_sizes) {
  compare_random<T>(first_seed, rounds, sizes_of, [](const auto&... x) { for_each_form(x...); });
}
/// Every scheme through one kernel.
template <class T>
void compare_any_forms(std::uint64_t first_seed, int rounds,
                       Sizes (*sizes_of)(Random&) = random_sizes) {
  compare_random<T>(first_seed, rounds, sizes_of,
                    [](const auto&... x) { for_each_any_form(x...); });
}

}  // namespace test
