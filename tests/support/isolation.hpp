#pragma once

#include <limits>

#include "support/random.hpp"

/// What shows that rows do not see each other: numbers that spoil what they reach, and what they reached.
namespace test {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

/// The rows [batch, sequence, head] in which two tensors differ are exactly those `touched` says.
template <class Touched>
bool differ_exactly(const Tensor<float>& a, const Tensor<float>& b, Touched&& touched) {
  const auto x = a.view();
  const auto y = b.view();
  for (Index batch = 0; batch < x.shape[0]; ++batch)
    for (Index n = 0; n < x.shape[1]; ++n)
      for (Index h = 0; h < x.shape[2]; ++h) {
        bool same = true;
        for (Index i = 0; i < x.shape[3]; ++i) {
          same = same && x(batch, n, h, i) == y(batch, n, h, i);
        }
        if (same == touched(batch, n, h)) return false;
      }
  return true;
}

}  // namespace test
