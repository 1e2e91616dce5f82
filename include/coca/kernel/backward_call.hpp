#pragma once

#include <variant>

#include "coca/core/any_tensor.hpp"
#include "coca/core/scalar.hpp"
#include "coca/core/view.hpp"
#include "coca/kernel/options.hpp"
#include "coca/kernel/panels.hpp"
#include "coca/kernel/sequences.hpp"
#include "coca/mask/mask.hpp"

namespace coca::inline v0 {

/// What coca::attention_backward gives beside dq, dk and dv, where it is asked for.
struct MoreGradients {
  /// That of options.sinks, [query heads].
  std::variant<std::monostate, View<float, 1>, View<double, 1>> sinks{};

  /// That of a number added to every score as a mask's bias is, [batch, query heads, queries, keys] with
  /// an extent of 1 where one number is added to all: it receives the sum. 0 where nothing is seen.
  std::variant<std::monostate, View<float, 4>, View<double, 4>> bias{};
};

namespace detail {

/// The tensors of a call: gradients, and what they are of.
struct BackwardTensors {
  AnyOutput dq, dk, dv;
  AnyInput dout, q, k, v, out;
};

using LseInput = std::variant<View<const float, 3>, View<const double, 3>>;

/// A checked call of the backward kernel, all defaults filled in.
template <Real T, class S, class M>
struct BackwardCall {
  using Number = T;  ///< what is computed with
  using Scheme = S;
  using Mask = M;

  BackwardTensors tensors;
  const LseInput& lse;
  const S& scheme;
  const M& mask;
  AttentionShape shape;
  Sequences sequences;
  T scale;
  T soft_cap;  ///< 0: none
  const AttentionOptions& options;
  const MoreGradients& more;
  const PanelLayout* cache = nullptr;  ///< keys come from tensors

  Index group() const { return shape.query_heads / shape.key_heads; }
};

}  // namespace detail

}  // namespace coca::inline v0
