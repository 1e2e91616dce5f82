#pragma once

#include <cmath>
#include <vector>

#include "coca/core/view.hpp"
#include "support/random.hpp"

/// Keys and values of a sequence, token by token, as a plain list: what a cache is held against.
namespace test {

struct Tokens {
  Index heads, key_dim, value_dim;
  std::vector<float> keys{}, values{};

  Index length() const { return static_cast<Index>(keys.size()) / (heads * key_dim); }

  /// Adds tokens of random numbers, keys not negative.
  Tokens& add(Index tokens, Random& random) {
    for (Index i = 0; i < tokens * heads * key_dim; ++i) {
      keys.push_back(static_cast<float>(std::fabs(random.uniform())));
    }
    for (Index i = 0; i < tokens * heads * value_dim; ++i) {
      values.push_back(static_cast<float>(random.uniform()));
    }
    return *this;
  }
  void truncate(Index length) {
    keys.resize(static_cast<std::size_t>(length * heads * key_dim));
    values.resize(static_cast<std::size_t>(length * heads * value_dim));
  }
  void append(const Tokens& other) {
    keys.insert(keys.end(), other.keys.begin(), other.keys.end());
    values.insert(values.end(), other.values.begin(), other.values.end());
  }
  /// Forgets some tokens in the middle.
  void erase(Index begin, Index end) {
    keys.erase(keys.begin() + begin * heads * key_dim, keys.begin() + end * heads * key_dim);
    values.erase(values.begin() + begin * heads * value_dim,
                 values.begin() + end * heads * value_dim);
  }

  coca::View<const float, 3> k() const { return {keys.data(), {length(), heads, key_dim}}; }
  coca::View<const float, 3> v() const { return {values.data(), {length(), heads, value_dim}}; }
  coca::TensorView<const float> k4() const { return {keys.data(), {1, length(), heads, key_dim}}; }
  coca::TensorView<const float> v4() const {
    return {values.data(), {1, length(), heads, value_dim}};
  }
};

/// What a cache holds of a sequence, read back.
template <class Cache>
Tokens tokens_of(const Cache& cache, Index sequence, Index heads, Index key_dim, Index value_dim) {
  Tokens tokens{heads, key_dim, value_dim};
  const Index length = cache.length(sequence);
  tokens.keys.resize(static_cast<std::size_t>(length * heads * key_dim));
  tokens.values.resize(static_cast<std::size_t>(length * heads * value_dim));
  cache.read(sequence, coca::View<float, 3>(tokens.keys.data(), {length, heads, key_dim}),
             coca::View<float, 3>(tokens.values.data(), {length, heads, value_dim}));
  return tokens;
}

}  // namespace test
