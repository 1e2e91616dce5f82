#pragma once

#include <cstddef>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "coca/coca.hpp"
#include "masks.hpp"
#include "schemes.hpp"
#include "tensor.hpp"

/// What all calls have in common: sizes, options, and a hash of everything that they write.
namespace bits {

/// One call of a front door.
struct Call {
  Random choose;
  Hash hash{};
  bool refused = false;
  std::string text{};  ///< why it was refused

  /// A call that is refused is a result too.
  template <class Run>
  void run(const Run& run) {
    try {
      run();
    } catch (const std::exception& error) {
      refused = true;
      text = error.what();
      hash.add("refused");
    }
  }
};

/// The element types of a call.
template <class Out, class Q, class K, class V>
struct Types {
  using O = Out;
  using Queries = Q;
  using Keys = K;
  using Values = V;
  /// Both or neither are double.
  using Sums = std::conditional_t<std::is_same_v<Q, double>, double, float>;
};
template <class T>
using Same = Types<T, T, T, T>;
using Mixed = Types<float, Eigen::bfloat16, Eigen::half, float>;
using OtherMixed = Types<Eigen::half, float, Eigen::bfloat16, Eigen::bfloat16>;

template <class T>
struct Tag {
  using type = T;
};

/// Sizes of a call, from one token to thousands of keys.
struct Sizes {
  Index batch, queries, keys, key_heads, group, dim, value_dim;

  [[gnu::noinline]] explicit Sizes(Random& choose) {
    batch = choose.integer(1, 2);
    key_heads = choose.integer(1, 2);
    group = choose.pick<Index>({1, 1, 2, 3, 4, 7});
    const Index kind = choose.integer(0, 99);
    if (kind < 35) {
      queries = choose.integer(1, 4);
      keys = choose.integer(1, 300);
    } else if (kind < 75) {
      queries = choose.integer(1, 140);
      keys = choose.integer(1, 300);
    } else if (kind < 95) {
      queries = choose.integer(5, 70);
      keys = choose.integer(129, 700);
    } else if (kind < 99) {
      queries = choose.integer(0, 3);
      keys = choose.integer(0, 1);
      batch = choose.integer(0, 1);
    } else {
      batch = 1;
      queries = choose.integer(1, 20);
      keys = choose.one_in(3) ? choose.integer(8193, 8500) : choose.integer(4097, 4500);
    }
    dim = choose.one_in(3) ? choose.pick<Index>({64, 64, 128, 96}) : 2 * choose.integer(1, 40);
    value_dim = choose.one_in(2) ? dim : choose.integer(1, 80);
    if (choose.one_in(60)) dim = value_dim = 256;
  }
  Index heads() const { return key_heads * group; }
  MaskedTokens masked() const { return {batch, heads(), queries, keys}; }
};

/// Asks a call to look at its keys. The option has had two names.
template <class O>
void look_at_keys(O& options) {
  if constexpr (requires { options.checked; }) {
    options.checked = true;
  } else {
    options.validate_keys = true;
  }
}

/// Options of a call, and the memory that they view.
class Options {
 public:
  coca::AttentionOptions options{};

  explicit Options(Random& choose) : choose_(choose), two_threads_(choose.one_in(2)) {
    if (choose.one_in(4)) options.scale = choose.pick({0.0, -0.25, 1.0, 3.0});
    if (choose.one_in(4)) options.soft_cap = choose.pick({0.5, 5.0, 50.0});
    if (choose.one_in(8)) look_at_keys(options);
  }
  [[gnu::noinline]] void choose_places() {
    if (choose_.one_in(4))
      options.first_key = choose_.pick<Position>({-100, 50, 1000, 300000, Position{1} << 33});
    if (choose_.one_in(4)) options.first_query = options.first_key + choose_.integer(-20, 300);
  }
  [[gnu::noinline]] void choose_ids(Index batch, Index queries, Index keys) {
    if (!choose_.one_in(6)) return;
    const auto view = [&](std::vector<Position>& ids, Index rows, Index tokens) {
      ids.resize(static_cast<std::size_t>(rows * tokens));
      for (Position& id : ids) id = choose_.integer(-100, 2000);
      return coca::View<const Position, 2>(ids.data(), {rows, tokens});
    };
    options.query_ids = view(query_ids_, 1, queries);
    options.key_ids = view(key_ids_, batch, keys);
  }
  [[gnu::noinline]] void choose_sinks(Index heads) {
    if (!choose_.one_in(4)) return;
    const bool wide = choose_.one_in(2);
    for (Index h = 0; h < heads; ++h) sinks_.push_back(4.0F * choose_.unit());
    wide_sinks_.assign(sinks_.begin(), sinks_.end());
    if (wide) {
      options.sinks = coca::View<const double, 1>(wide_sinks_.data(), {heads});
    } else {
      options.sinks = coca::View<const float, 1>(sinks_.data(), {heads});
    }
  }
  [[gnu::noinline]] void choose_lse(Index batch, Index heads, Index queries) {
    const Index kind = choose_.integer(0, 2);
    if (kind == 0) return;
    lse_.assign(static_cast<std::size_t>(batch * heads * queries), -77.0F);
    wide_lse_.assign(lse_.begin(), lse_.end());
    if (kind == 1) {
      options.lse = coca::View<float, 3>(lse_.data(), {batch, heads, queries});
    } else {
      options.lse = coca::View<double, 3>(wide_lse_.data(), {batch, heads, queries});
    }
  }
  /// Work memory of its own for the call.
  void give_workspace(std::size_t bytes) {
    workspace_.resize(bytes);
    options.workspace = workspace_;
  }
  const Eigen::ThreadPoolDevice& device() const { return bits::device(two_threads_); }
  void add_to(Hash& hash) const {
    hash.add_numbers(lse_.data(), lse_.size());
    hash.add_numbers(wide_lse_.data(), wide_lse_.size());
  }

 private:
  Random& choose_;
  bool two_threads_;
  std::vector<Position> query_ids_, key_ids_;
  std::vector<float> sinks_, lse_;
  std::vector<double> wide_sinks_, wide_lse_;
  std::vector<std::byte> workspace_;
};

/// q, k, v and out.
template <class T>
struct Operands {
  Tensor<typename T::Queries> q;
  Tensor<typename T::Keys> k;
  Tensor<typename T::Values> v;
  Tensor<typename T::O> out;

  [[gnu::noinline]] Operands(Random& choose, const Sizes& s, Index key_dim, bool any_layout)
      : q({s.batch, s.queries, s.heads(), s.dim}, choose, any_layout),
        k({s.batch, s.keys, s.key_heads, key_dim}, choose, any_layout),
        v({s.batch, s.keys, s.key_heads, s.value_dim}, choose, any_layout),
        out({s.batch, s.queries, s.heads(), s.value_dim}, choose, any_layout) {
    q.fill(choose, choose.pick({1.0F, 1.0F, 4.0F}));
    // Narrower than a query it is a t of CoCA.
    k.fill(choose, 1.0F, key_dim >= s.dim);
    v.fill(choose, 1.0F);
    if (!choose.one_in(10)) return;
    if (choose.one_in(2)) q.poison(choose);
    if (choose.one_in(2)) k.poison(choose);
    v.poison(choose);
  }
};

}  // namespace bits
