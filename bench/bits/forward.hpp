#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "call.hpp"

/// Calls of attention and packed_attention.
namespace bits {

/// Whether the work memory of a call with this scheme can be asked for.
template <class S>
inline constexpr bool kAsksForWorkspace = std::is_same_v<S, coca::Dot> || std::is_same_v<S, Slack>;

template <class S, class M, class T>
void attend(Call& call) {
  Random& choose = call.choose;
  const Sizes sizes(choose);
  const auto made = Maker<S>::make(choose, sizes.dim, sizes.batch);
  MaskMaker masks(choose, sizes.masked());
  const M mask = masks.template make<M>();
  Options more(choose);
  more.choose_places();
  if (!kHasCeiling<S>) more.choose_ids(sizes.batch, sizes.queries, sizes.keys);
  more.choose_sinks(sizes.heads());
  more.choose_lse(sizes.batch, sizes.heads(), sizes.queries);
  Operands<T> x(choose, sizes, made.key_dim, choose.one_in(2));
  const auto q = x.q.view();
  const auto k = x.k.view();
  const auto v = x.v.view();
  call.run([&] {
    if constexpr (kAsksForWorkspace<S>) {
      if (choose.one_in(8)) {
        more.give_workspace(coca::workspace_bytes(q, k, v, made.scheme, more.device()));
      }
    }
    coca::attention(x.out.view(), q, k, v, made.scheme, mask, more.options, more.device());
  });
  x.out.add_to(call.hash);
  more.add_to(call.hash);
}

/// On an Eigen::DefaultDevice, with operands as callers have them: Eigen's tensors and matrices.
template <class S, class M>
void attend_alone(Call& call) {
  Random& choose = call.choose;
  const Sizes sizes(choose);
  const auto made = Maker<S>::make(choose, sizes.dim, sizes.batch);
  MaskMaker masks(choose, sizes.masked());
  const M mask = masks.template make<M>();
  const auto fill = [&](auto& x, bool negative) {
    for (Index i = 0; i < x.size(); ++i) {
      const float number = choose.unit();
      x.data()[i] = negative ? number : std::fabs(number);
    }
  };
  if (choose.one_in(2)) {
    using Rows = Eigen::Tensor<float, 4, Eigen::RowMajor>;
    Rows q(sizes.batch, sizes.queries, sizes.heads(), sizes.dim);
    Eigen::Tensor<float, 4> k(sizes.batch, sizes.keys, sizes.key_heads, made.key_dim);
    Rows v(sizes.batch, sizes.keys, sizes.key_heads, sizes.value_dim);
    Rows out(sizes.batch, sizes.queries, sizes.heads(), sizes.value_dim);
    fill(q, true);
    fill(k, made.key_dim >= sizes.dim);
    fill(v, true);
    call.run([&] { coca::attention(out, q, k, v, made.scheme, mask); });
    call.hash.add_numbers(out.data(), static_cast<std::size_t>(out.size()));
  } else {
    Eigen::MatrixXf q(sizes.queries, sizes.dim), k(sizes.keys, made.key_dim);
    Eigen::MatrixXf v(sizes.keys, sizes.value_dim), out(sizes.queries, sizes.value_dim);
    fill(q, true);
    fill(k, made.key_dim >= sizes.dim);
    fill(v, true);
    out.setZero();
    call.run([&] { coca::attention(out, q, k, v, made.scheme, mask); });
    call.hash.add_numbers(out.data(), static_cast<std::size_t>(out.size()));
  }
}

/// Where sequences of so many tokens begin, and the number of all tokens.
template <class I>
std::vector<I> starts_of(const std::vector<Index>& lengths) {
  std::vector<I> starts{0};
  for (const Index length : lengths) starts.push_back(starts.back() + static_cast<I>(length));
  return starts;
}

template <class S, class M, class T>
void attend_packed(Call& call) {
  Random& choose = call.choose;
  Sizes sizes(choose);
  const Index sequences = choose.integer(0, 4);
  const Index most_queries = choose.pick<Index>({2, 60, 150});
  std::vector<Index> queries, keys;
  Index longest_queries = 0, longest_keys = 0;
  for (Index i = 0; i < sequences; ++i) {
    queries.push_back(choose.integer(0, most_queries));
    keys.push_back(choose.one_in(2) ? queries.back() : choose.integer(0, 200));
    longest_queries = std::max(longest_queries, queries.back());
    longest_keys = std::max(longest_keys, keys.back());
  }
  const auto query_starts = starts_of<std::int32_t>(queries);
  const auto key_starts = starts_of<std::int64_t>(keys);
  sizes.batch = 1;
  sizes.queries = query_starts.back();
  sizes.keys = key_starts.back();
  const auto made = Maker<S>::make(choose, sizes.dim, sequences);
  MaskMaker masks(choose, {sequences, sizes.heads(), longest_queries, longest_keys});
  const M mask = masks.template make<M>();
  Options more(choose);
  if (!kHasCeiling<S>) more.choose_ids(1, sizes.queries, sizes.keys);
  more.choose_sinks(sizes.heads());
  more.choose_lse(1, sizes.heads(), sizes.queries);
  Operands<T> x(choose, sizes, made.key_dim, choose.one_in(2));
  call.run([&] {
    coca::packed_attention(x.out.packed(), x.q.packed(), x.k.packed(), x.v.packed(), query_starts,
                           key_starts, made.scheme, mask, more.options, more.device());
  });
  x.out.add_to(call.hash);
  more.add_to(call.hash);
}

}  // namespace bits
