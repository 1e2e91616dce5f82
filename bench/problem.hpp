#pragma once

#include <cmath>
#include <random>
#include <string>

#include "coca/coca.hpp"
#include "machine.hpp"

/// The tensors of one call of attention, and the call.
namespace bench {

using coca::Index;

struct Shape {
  Index length;  ///< queries, and as many keys
  Index dim;
  Index heads;
  Index key_heads;
  bool causal;

  /// Of the two products, over the scores that are needed; nothing for the exponentials.
  double operations() const {
    const auto n = static_cast<double>(length);
    return 4.0 * (causal ? n * (n + 1) / 2 : n * n) * static_cast<double>(heads * dim);
  }

  std::string name() const {
    return std::string(causal ? "mask:causal" : "mask:full") + "/dim:" + std::to_string(dim) +
           "/length:" + std::to_string(length) + "/heads:" + std::to_string(heads) +
           "/group:" + std::to_string(heads / key_heads);
  }
};

/// Heads for a group: eight where that is quick, fewer for long sequences, where they would only do
/// the same again.
inline Index heads_for(Index length, Index group) {
  return std::max<Index>(length < 4096 ? 8 : length < 32768 ? 4 : 1, group);
}

template <class T>
using Tensor = Eigen::Tensor<T, 4, Eigen::RowMajor>;

/// Uniform in [low, 1).
template <class T>
void fill(Tensor<T>& x, float low, unsigned seed) {
  std::minstd_rand random(seed);
  std::uniform_real_distribution<float> uniform(low, 1.0F);
  for (Index i = 0; i < x.size(); ++i) x.data()[i] = static_cast<T>(uniform(random));
}

/// Threads of a pool, for as long as a row is measured.
class Threads {
 public:
  explicit Threads(int count) : pool_(count), device_(&pool_, count) {}
  const Device& device() const { return device_; }

 private:
  Eigen::ThreadPool pool_;
  Device device_;
};

/// Queries, keys, values and room for the result.
template <class T>
struct Problem {
  Shape shape;
  Tensor<T> q, k, v, out;

  /// A key operand narrower than the query is a t of CoCA and is not negative.
  Problem(const Shape& s, Index key_dim)
      : shape(s),
        q(1, s.length, s.heads, s.dim),
        k(1, s.length, s.key_heads, key_dim),
        v(1, s.length, s.key_heads, s.dim),
        out(1, s.length, s.heads, s.dim) {
    fill(q, -1.0F, 1);
    fill(k, key_dim < s.dim ? 0.0F : -1.0F, 2);
    fill(v, -1.0F, 3);
  }
  explicit Problem(const Shape& s) : Problem(s, s.dim) {}

  template <class S>
  void attend(const S& scheme, const Device& device) {
    if (shape.causal) {
      coca::attention(out, q, k, v, scheme, coca::Causal{}, {}, device);
    } else {
      coca::attention(out, q, k, v, scheme, coca::Full{}, {}, device);
    }
  }
};

}  // namespace bench
