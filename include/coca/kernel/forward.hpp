#pragma once

#include <cstddef>

#include "coca/core/compiled.hpp"
#include "coca/core/parallel.hpp"
#include "coca/core/scalar.hpp"
#include "coca/kernel/call/kernel_call.hpp"
#include "coca/kernel/sequences.hpp"
#include "coca/mask/mask.hpp"

/// The one attention kernel: tiles, packed once, and a streaming softmax.
///
/// The query heads that share a key head are rows of one matrix: row r of a (batch, key head) is
/// query r / group, head r % group of the group. A work item is a block of such rows. It walks over
/// blocks of keys; each is mapped by psi once and serves all tiles of the item:
///
///     load rows:  Q = scale * phi(q)                        queries x score_dim
///     for each block of keys:
///       load:     K = psi(k), V = v, in panels              keys x score_dim, keys x value_dim
///       for each tile of rows that sees any of them:
///         S = Q K^T;  S = cap(logit(S));  S = mask(S)       tile
///         P = 2^(S - max);  O = O * 2^(old - new) + P V
///     store:      out = O / sum,  lse = max + log(sum)
///
/// No row sees another one's numbers, and nothing depends on the number of threads.
namespace coca::inline v0::detail {

/// Runs a checked call.
template <Real T>
void forward(const ForwardCall<T>& call, const AnyDevice& device);

/// Bytes of work memory that suffice for a call over these sequences, or over fewer or shorter ones.
template <Real T>
std::size_t sequences_bytes(const Sequences& sequences, const AttentionShape& shape,
                            Index score_dim, Index key_dim, const AnyDevice& device);

}  // namespace coca::inline v0::detail

#ifndef COCA_COMPILED
#include "coca/kernel/forward-inl.hpp"
#endif
