#pragma once

#include <cstddef>

#include "coca/core/compiled.hpp"
#include "coca/core/parallel.hpp"
#include "coca/core/scalar.hpp"
#include "coca/kernel/call/kernel_call.hpp"
#include "coca/kernel/sequences.hpp"

/// The backward pass, streaming as FlashAttention-2 does (Dao 2023, arXiv 2307.08691, algorithm 2): no
/// score is kept, all are computed again from the log-sum-exp of their row.
///
///     load:   Q = factor * phi(q), dO, D = dout . out; K = psi(k) in rows and panels, V in panels
///     for each cell of queries and keys, in steps:
///       for each block of keys:
///         for each tile of rows that sees any of them:
///           S = Q K^T;  S = mask(cap(logit(S)));  P = 2^(S - lse)
///           dP = dO V^T;  dS = P (dP - D) S'
///           dPhi += dS K;  dV += P^T dO;  dPsi += dS^T Q
///     store:  dq = phi'^T dPhi, dk = psi'^T dPsi, dv
///
/// The rows of an item are those of the forward kernel. Sums are as long as the sequence and are added
/// to in an order that its length alone gives.
namespace coca::inline v0::detail {

/// Runs a checked call.
template <Real T>
void backward(const BackwardCall<T>& call, const AnyDevice& device);

/// Bytes of work memory that suffice for a call of these sizes.
template <Real T>
std::size_t gradient_bytes(const Sequences& sequences, const AttentionShape& shape, Index score_dim,
                           Index key_dim, const AnyDevice& device);

}  // namespace coca::inline v0::detail

#ifndef COCA_COMPILED
#include "coca/kernel/backward-inl.hpp"
#endif
