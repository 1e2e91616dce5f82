#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "coca/core/compiled.hpp"
#include "coca/core/error.hpp"
#include "coca/core/scalar.hpp"
#include "coca/position/frequencies.hpp"

/// How the frequencies of a rope are changed for contexts longer than a model was trained for.
namespace coca::inline v0 {

/// A rope before it is scaled.
struct RopeBase {
  Index rotary_dim = 0;   ///< coordinates that turn, two a frequency
  double base = 10000.0;  ///< theta_j = base^(-2j/rotary_dim)
  Index length = 0;       ///< tokens of the sequence at hand, for scalings that follow it

  /// theta_j = base^(-2j/rotary_dim), or those of another base.
  std::vector<double> frequencies() const { return rotary_frequencies(rotary_dim, base); }
};

/// What a scaling makes of it.
struct RotaryFrequencies {
  std::vector<double> inv_freq;   ///< radians per token, one a pair
  double attention_factor = 1.0;  ///< on every cosine and sine, of queries and of keys
};

/// A scaling: any function from a rope's base, and the length of the sequence, to its frequencies.
/// Those that come with the library, and what they are called in a Hugging Face configuration:
///   Linear, NtkAware, DynamicNtk (position/ntk.hpp)  "linear", none, "dynamic"
///   Yarn (position/yarn.hpp)                         "yarn"
///   Llama3 (position/llama3.hpp)                     "llama3"
///   LongRope (position/long_rope.hpp)                "longrope"
///   Clex (position/clex.hpp)                         none
/// They throw std::invalid_argument for numbers out of range, when a Rope is made of them.
using RopeScaling = std::function<RotaryFrequencies(const RopeBase&)>;

namespace detail {

COCA_FUNCTION void check_at_least(std::string_view name, double value, double least);
COCA_FUNCTION void check_positive(std::string_view name, double value);
COCA_FUNCTION void check_trained(std::string_view name, Index length);

}  // namespace detail

}  // namespace coca::inline v0

#ifndef COCA_COMPILED
#include "coca/position/scaling-inl.hpp"
#endif
