#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "coca/attention.hpp"
#include "coca/distributed/shard_call.hpp"
#include "coca/distributed/shards.hpp"
#include "coca/reference/attention.hpp"
#include "distributed/kernels.hpp"
#include "distributed/world.hpp"
#include "support/bounds.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

/// A whole sequence, the same on all ranks, and what ranks find held against it.
namespace test {

using coca::AttentionOptions;
using coca::distributed::Shards;
using coca::distributed::TokenRange;

struct SequenceSizes {
  Index batch, tokens, key_heads, group, dim, value_dim;

  Index heads() const { return key_heads * group; }
};

inline SequenceSizes random_sequence_sizes(Random& random, std::array<Index, 8> lengths) {
  return {random.integer(1, 2), random.pick(lengths),      random.integer(1, 2),
          random.integer(1, 3), 2 * random.integer(1, 10), random.integer(1, 20)};
}

inline CountedMask counted(AnySloped mask) {
  static TileCounts counts;
  return {std::move(mask), counts};
}

/// Masks by positions, chosen at random; for ranks that have all `heads`, also one that depends on them.
inline AnySloped random_place_mask(Random& random, Index heads = 0) {
  switch (random.integer(0, heads > 0 ? 4 : 3)) {
    case 0:
      return AnySloped(coca::Full{});
    case 1:
      return AnySloped(coca::Causal{});
    case 2:
      return AnySloped(coca::SlidingWindow{random.integer(0, 30), random.integer(0, 9)});
    case 3:
      return AnySloped(coca::Causal{} & (coca::SinkTokens{2} | coca::SlidingWindow{7, 0}));
    default:
      return AnySloped(coca::Causal{} & coca::Alibi{heads});
  }
}

template <class Ranges>
Index token_count(const Ranges& ranges) {
  Index count = 0;
  for (const TokenRange& range : ranges) count += range.size();
  return count;
}

/// The tokens of some ranges, one range behind the other.
template <class T, class Ranges>
Tensor<T> tokens_in(const Tensor<T>& x, const Ranges& ranges, Random& random) {
  auto shape = x.view().shape;
  shape[1] = token_count(ranges);
  Tensor<T> part(shape, random);
  Index place = 0;
  for (const TokenRange& range : ranges) {
    for (Index n = range.begin; n < range.end; ++n, ++place) {
      for (Index b = 0; b < shape[0]; ++b)
        for (Index h = 0; h < shape[2]; ++h)
          for (Index i = 0; i < shape[3]; ++i) {
            part.view()(b, place, h, i) = x.view()(b, n, h, i);
          }
    }
  }
  return part;
}

template <class T>
struct WholeSequence {
  SequenceSizes sizes;
  Tensor<T> q, k, v;
  std::vector<float> sinks;

  WholeSequence(const SequenceSizes& s, bool half_width, Random& random)
      : sizes(s),
        q({s.batch, s.tokens, s.heads(), s.dim}),
        k({s.batch, s.tokens, s.key_heads, half_width ? s.dim / 2 : s.dim}),
        v({s.batch, s.tokens, s.key_heads, s.value_dim}) {
    q.fill([&] { return random.uniform(); });
    k.fill([&] { return std::fabs(random.uniform()); });
    v.fill([&] { return random.uniform(); });
    for (Index h = 0; h < s.heads(); ++h) sinks.push_back(static_cast<float>(random.uniform()));
  }

  /// Sinks and a soft-cap, or not.
  AttentionOptions options(Random& random) const {
    AttentionOptions some;
    if (random.integer(0, 1) == 0) {
      some.sinks = coca::View<const float, 1>(sinks.data(), {sizes.heads()});
    }
    if (random.integer(0, 2) == 0) some.soft_cap = 0.5;
    return some;
  }
};

/// Outputs and log-sum-exps of some tokens, over all of the sequence: by one process, and by definition.
template <class T>
struct Answers {
  std::array<Index, 3> rows;  ///< [batch, heads, tokens]
  Tensor<T> out;
  Tensor<double> wide_out;
  std::vector<double> wide_lse;
  Bounds bounds;  ///< of what comes from several parts, merged

  template <class AForm, class Ranges>
  Answers(const WholeSequence<T>& whole, const AForm& form, const CountedMask& mask,
          AttentionOptions options, const Ranges& ranges, Index parts)
      : rows{whole.sizes.batch, whole.sizes.heads(), token_count(ranges)},
        out({rows[0], rows[2], rows[1], whole.sizes.value_dim}),
        wide_out(out.view().shape),
        wide_lse(static_cast<std::size_t>(rows[0] * rows[1] * rows[2])) {
    using coca::detail::part_of, coca::detail::tokens_of;
    const Tensor<double> q = widened(whole.q), k = widened(whole.k), v = widened(whole.v);
    Tensor<T> all({rows[0], whole.sizes.tokens, rows[1], whole.sizes.value_dim});
    coca::attention(all.view(), whole.q.view(), whole.k.view(), whole.v.view(), form.scheme, mask,
                    options);
    Index place = 0;
    for (const TokenRange& range : ranges) {
      const Index count = range.size();
      options.first_query = range.begin;
      const coca::TensorView<const T> there = tokens_of(all.view(), range.begin, count);
      coca::detail::copy_elements(there, tokens_of(out.view(), place, count));
      options.lse = part_of(coca::View<double, 3>(wide_lse.data(), rows), 2, place, count);
      coca::reference::attention(tokens_of(wide_out.view(), place, count),
                                 tokens_of(q.view(), range.begin, count), k.view(), v.view(),
                                 form.definition, mask, options);
      place += count;
    }

    const double scale = 1.0 / std::sqrt(static_cast<double>(whole.sizes.dim));
    const auto ahead = static_cast<double>(whole.sizes.tokens - ranges[0].begin);
    const double magnitude = scale * std::pow(form.growth, ahead) *
                             (form.coca ? coca_magnitude(longest_row(q), largest(k))
                                        : linear_magnitude(longest_row(q), longest_row(k)));
    double slope = 0.0;
    for (Index h = 0; h < rows[1]; ++h) slope = std::max(slope, std::fabs(mask.slope(h)));
    const double added = options.soft_cap + 1.0 + slope * static_cast<double>(whole.sizes.tokens);
    bounds =
        attention_bounds<T, T>(magnitude, added, largest(v), whole.sizes.dim, whole.sizes.tokens);
    // A merge: lse = top + log(exp(a - top) + exp(b - top)), in about eight operations on numbers up
    // to the lse's; and shares exp(lse_i - lse) of outputs, each off by the errors of both.
    double largest_lse = 0.0;
    for (const double x : wide_lse) {
      if (std::isfinite(x)) largest_lse = std::max(largest_lse, std::fabs(x));
    }
    const double merges = static_cast<double>(parts) * kUnit<T>;
    bounds.lse += merges * (8.0 + 2.0 * largest_lse);
    bounds.out += largest(v) * (4.0 * bounds.lse + 8.0 * merges);
  }

  void check(const Tensor<T>& found, const std::vector<float>& found_lse) const {
    CHECK(largest_difference(found, wide_out) <= bounds.out);
    CHECK(largest_difference(found, widened(out)) <= 2.0 * bounds.out);
    double worst = 0.0;
    for (std::size_t i = 0; i < wide_lse.size(); ++i) {
      worst = worse(worst, static_cast<double>(found_lse[i]), wide_lse[i]);
    }
    CHECK(worst <= bounds.lse);
  }
};

/// Outputs and log-sum-exps one behind the other, whatever their layout: to compare bit by bit.
template <class T>
std::vector<float> numbers_of(const Tensor<T>& out, const std::vector<float>& lse) {
  std::vector<float> numbers = lse;
  const auto x = out.view();
  Tensor<T>::for_each(x.shape, [&](Index b, Index n, Index h, Index i) {
    numbers.push_back(static_cast<float>(x(b, n, h, i)));
  });
  return numbers;
}
inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// That a call, whose numbers run(device) returns, has the same bits a second time and on two threads.
template <class Run>
void check_same_bits(const Run& run) {
  const std::vector<float> first = run(Eigen::DefaultDevice());
  CHECK(same_bits(run(Eigen::DefaultDevice()), first));
  Eigen::ThreadPool pool(2);
  CHECK(same_bits(run(Eigen::ThreadPoolDevice(&pool, 2)), first));
}

/// Whether all ranks have the same bytes.
template <class T>
bool same_on_all_ranks(const std::vector<T>& own) {
  const auto bytes = static_cast<int>(own.size() * sizeof(T));
  std::vector<T> first = own;
  MPI_Bcast(first.data(), bytes, MPI_BYTE, 0, world().handle());
  return std::memcmp(own.data(), first.data(), static_cast<std::size_t>(bytes)) == 0;
}

/// A number of each rank, on all ranks.
inline std::vector<long> of_all_ranks(long own) {
  std::vector<long> all(static_cast<std::size_t>(world().size()));
  MPI_Allgather(&own, 1, MPI_LONG, all.data(), 1, MPI_LONG, world().handle());
  return all;
}

}  // namespace test
