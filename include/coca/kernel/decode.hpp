#pragma once

#include <cstddef>

#include "coca/core/compiled.hpp"
#include "coca/core/parallel.hpp"
#include "coca/core/scalar.hpp"
#include "coca/kernel/call/kernel_call.hpp"
#include "coca/kernel/forward.hpp"
#include "coca/kernel/sequences.hpp"

/// Attention of a few new queries to the keys and values of a cache.
///
/// The walk is that of the forward kernel (ForwardBlock). What differs is that reading the cache takes
/// the time, so that all heads of a group share one reading of it; and that there is little else to
/// divide among threads, so that the keys are: each part of them gives sums of its own, which are
/// merged in order.
namespace coca::inline v0::detail {

/// Runs a checked call whose keys are in a cache.
template <Real T>
void decode_call(const ForwardCall<T>& call, const AnyDevice& device);

/// Bytes of work memory that suffice for a call.
template <Real T>
std::size_t cached_bytes(const Sequences& sequences, const AttentionShape& shape, Index score_dim,
                         Index key_dim, const AnyDevice& device);

}  // namespace coca::inline v0::detail

#ifndef COCA_COMPILED
#include "coca/kernel/decode-inl.hpp"
#endif
