#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <random>
#include <vector>

#include "coca/coca.hpp"

/// What snippets of the documentation are given to work on.
using Tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;

/// Random numbers from 0 to 1, so that they serve as t too.
template <class... I>
auto tensor(I... extents) {
  Eigen::Tensor<float, sizeof...(I), Eigen::RowMajor> x(extents...);
  std::mt19937 engine(7);
  std::uniform_real_distribution<float> uniform;
  std::generate_n(x.data(), x.size(), [&] { return uniform(engine); });
  return x;
}
