#pragma once

#include <cstddef>

#include "coca/core/parallel.hpp"
#include "coca/core/scalar.hpp"
#include "coca/core/workspace.hpp"
#include "coca/kernel/forward_block.hpp"
#include "coca/kernel/forward_call.hpp"
#include "coca/kernel/forward_operands.hpp"
#include "coca/kernel/forward_plan.hpp"
#include "coca/kernel/tile_engine.hpp"

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

/// Work memory of a call: that of its plan, and that of each worker.
inline std::size_t order_bytes(const ForwardPlan& plan) {
  return aligned_bytes(static_cast<std::size_t>(plan.order_size()) * sizeof(Index));
}

/// Runs a checked call.
template <class Call, Device D>
void forward(const Call& call, const D& device) {
  using T = typename Call::Number;
  const TileEngine<T>& engine = tile_engine<T>(target());
  const ForwardWidths widths(engine, call.shape, call.scheme.score_dim(call.shape.query_dim),
                             call.tensors.k.shape[3]);
  ForwardPlan plan(call.sequences, call.shape, widths, ForwardBuffers<T>::most_rows(widths),
                   thread_count(device), helper_count(device));
  const std::size_t bytes = ForwardBuffers<T>::bytes(plan.rows_per_block(), widths);
  std::byte* memory = work_memory(
      call.options.workspace, order_bytes(plan) + bytes * static_cast<std::size_t>(plan.workers()));
  plan.order(reinterpret_cast<Index*>(memory));
  memory += order_bytes(plan);
  parallel_for(device, plan.workers(), plan.items(), [&](int worker, Index number) {
    Carver carver(memory + static_cast<std::size_t>(worker) * bytes);
    const ForwardBuffers<T> buffers(carver, plan.rows_per_block(), widths);
    ForwardOperands<Call> operands(call, engine, widths, buffers, plan.item(number));
    ForwardBlock<Call, ForwardOperands<Call>> block(call, engine, widths, buffers, operands);
    block.begin(true);
    block.run(0, operands.blocks());
    operands.store();
  });
}

}  // namespace coca::inline v0::detail
