#pragma once

#include <cstddef>

#include "coca/core/parallel.hpp"
#include "coca/core/scalar.hpp"
#include "coca/core/workspace.hpp"
#include "coca/kernel/forward.hpp"
#include "coca/kernel/forward_block.hpp"
#include "coca/kernel/forward_operands.hpp"
#include "coca/kernel/forward_plan.hpp"
#include "coca/kernel/tile_engine.hpp"

namespace coca::inline v0::detail {

/// Work memory of a call's plan.
inline std::size_t order_bytes(const ForwardPlan& plan) {
  return aligned_bytes(static_cast<std::size_t>(plan.order_size()) * sizeof(Index));
}

template <Real T>
void forward(const ForwardCall<T>& call, const AnyDevice& device) {
  const TileEngine<T>& engine = tile_engine<T>(target());
  const ForwardWidths widths(engine, call.shape, call.score_dim, call.k.shape[3]);
  ForwardPlan plan(call.sequences, call.shape, widths, ForwardBuffers<T>::most_rows(widths),
                   device.threads(), device.helpers());
  const std::size_t bytes = ForwardBuffers<T>::bytes(plan.rows_per_block(), widths);
  std::byte* memory = work_memory(
      call.options.workspace, order_bytes(plan) + bytes * static_cast<std::size_t>(plan.workers()));
  plan.order(reinterpret_cast<Index*>(memory));
  memory += order_bytes(plan);
  const auto buffers_of = [&](int worker) {
    Carver carver(memory + static_cast<std::size_t>(worker) * bytes);
    return ForwardBuffers<T>(carver, plan.rows_per_block(), widths);
  };
  const ForwardBuffers<T> first = buffers_of(0);
  parallel_for(device, plan.workers(), plan.items(), [&](int worker, Index number) {
    const ForwardBuffers<T> buffers = worker == 0 ? first : buffers_of(worker);
    ForwardOperands<T> operands(call, engine, widths, buffers, plan.item(number));
    ForwardBlock<T, ForwardOperands<T>> block(call, engine, widths, buffers, operands);
    block.begin(true);
    block.run(0, operands.blocks());
    operands.store();
  });
}

template <Real T>
std::size_t sequences_bytes(const Sequences& sequences, const AttentionShape& shape,
                            Index score_dim, Index key_dim, const AnyDevice& device) {
  const ForwardWidths widths(tile_engine<T>(target()), shape, score_dim, key_dim);
  const int threads = device.threads();
  const Index most = ForwardBuffers<T>::most_rows(widths);
  const Index rows = ForwardPlan::most_rows_per_block(sequences, shape, widths, most, threads);
  const ForwardPlan plan(sequences, shape, widths, most, threads, threads);
  return order_bytes(plan) +
         ForwardBuffers<T>::bytes(rows, widths) * static_cast<std::size_t>(threads) + kAlignment -
         1;
}

}  // namespace coca::inline v0::detail
