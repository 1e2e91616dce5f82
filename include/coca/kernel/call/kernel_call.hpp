#pragma once

#include <concepts>

#include "coca/core/any_tensor.hpp"
#include "coca/core/any_view.hpp"
#include "coca/core/scalar.hpp"
#include "coca/kernel/call/mask_hooks.hpp"
#include "coca/kernel/call/scheme_hooks.hpp"
#include "coca/kernel/key_rows.hpp"
#include "coca/kernel/options.hpp"
#include "coca/kernel/panels.hpp"
#include "coca/kernel/sequences.hpp"
#include "coca/kernel/tile_engine.hpp"
#include "coca/mask/mask.hpp"

namespace coca::inline v0 {

/// What coca::attention_backward gives beside dq, dk and dv, where it is asked for: views of float or double.
struct MoreGradients {
  /// That of options.sinks, [query heads].
  AnyOutputView<1> sinks{};

  /// That of a number added to every score as a mask's bias is, [batch, query heads, queries, keys] with
  /// an extent of 1 where one number is added to all: it receives the sum. 0 where nothing is seen.
  AnyOutputView<4> bias{};
};

namespace detail {

/// Which types the elements of a call may have, as far as is known when it is compiled: what the call cannot need is
/// not compiled for it. Any at all:
struct AnyElements {
  static constexpr bool narrow = true;    ///< bfloat16 or half
  static constexpr bool bfloat16 = true;  ///< bfloat16 times bfloat16
};
/// These; queries and keys must be among them.
template <class... X>
struct Elements {
  static constexpr bool narrow = ((sizeof(X) == 2) || ...);
  static constexpr bool bfloat16 = (std::same_as<X, Eigen::bfloat16> || ...);
};

template <class Types>
const NarrowEngine* narrow_engine_for() {
  if constexpr (Types::narrow) return &narrow_engine(target());
  return nullptr;
}
template <class Types, Real T>
const Bfloat16Functions<T>* bfloat16_functions_for() {
  if constexpr (Types::bfloat16) return bfloat16_functions<T>(target());
  return nullptr;
}

/// A checked call, all defaults filled in, scheme and mask behind their hooks: what all kernels read.
template <Real T>
struct KernelCall {
  AnyInput q;
  AnyInput k;  ///< of k and v only the shapes, where keys come from a cache
  AnyInput v;
  AnyScheme<T> scheme;
  AnyMask<T> mask;
  AttentionShape shape;
  Index score_dim;  ///< of the scheme, for these queries
  Sequences sequences;
  T scale;
  T soft_cap;  ///< 0: none
  const AttentionOptions& options;
  const NarrowEngine* narrow;            ///< null where nothing is narrower than T
  const Bfloat16Functions<T>* bfloat16;  ///< null where no products are of bfloat16
  const PanelLayout* cache = nullptr;    ///< how it holds its tokens, where keys come from one
  CachedRow<T> cached_key = nullptr;     ///< and how one of them is read alone
  CachedRow<T> cached_value = nullptr;

  Index group() const { return shape.query_heads / shape.key_heads; }
};

template <Real T>
struct ForwardCall : KernelCall<T> {
  AnyOutput out;
};

/// The tensors of a backward call: gradients, and what they are of.
struct BackwardTensors {
  AnyOutput dq, dk, dv;
  AnyInput dout, q, k, v, out;
};

using LseInput = AnyInputView<3>;

template <Real T>
struct BackwardCall : KernelCall<T> {
  const AdjointFunctions<T>* adjoints;
  AnyOutput dq, dk, dv;
  AnyInput dout, out;
  LseInput lse;
  MoreGradients more;
};

/// The natural logit of a head's sink; -inf where there is none.
template <Real T>
T sink_of(const AttentionOptions& options, Index head) {
  return options.sinks ? static_cast<T>(options.sinks(head)) : kMinusInfinity<T>;
}

}  // namespace detail

}  // namespace coca::inline v0
