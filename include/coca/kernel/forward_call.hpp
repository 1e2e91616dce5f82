#pragma once

#include "coca/core/any_tensor.hpp"
#include "coca/core/scalar.hpp"
#include "coca/kernel/options.hpp"
#include "coca/kernel/panels.hpp"
#include "coca/kernel/sequences.hpp"
#include "coca/mask/mask.hpp"

namespace coca::inline v0::detail {

/// A checked call of a kernel, all defaults filled in.
template <Real T, class S, class M>
struct ForwardCall {
  using Number = T;  ///< what is computed with
  using Scheme = S;
  using Mask = M;

  Tensors tensors;  ///< of k and v only the shapes, where keys come from a cache
  const S& scheme;
  const M& mask;
  AttentionShape shape;
  Sequences sequences;
  T scale;
  T soft_cap;  ///< 0: none
  const AttentionOptions& options;
  const PanelLayout* cache = nullptr;  ///< how it holds its tokens, where keys come from one

  Index group() const { return shape.query_heads / shape.key_heads; }
};

}  // namespace coca::inline v0::detail
