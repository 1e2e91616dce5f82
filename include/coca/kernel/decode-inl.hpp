#pragma once

#include <algorithm>
#include <cstddef>

#include "coca/core/parallel.hpp"
#include "coca/core/scalar.hpp"
#include "coca/core/workspace.hpp"
#include "coca/kernel/decode.hpp"
#include "coca/kernel/decode_operands.hpp"
#include "coca/kernel/decode_plan.hpp"
#include "coca/kernel/forward.hpp"
#include "coca/kernel/forward_block.hpp"
#include "coca/kernel/key_rows.hpp"

namespace coca::inline v0::detail {

/// The sums of the parts of the keys: those of each item of the plan.
template <Real T>
class DecodeParts {
 public:
  DecodeParts(std::byte* memory, Index rows, const ForwardWidths& widths)
      : memory_(memory), rows_(rows), row_(widths.row()) {}

  static std::size_t bytes(Index items, Index rows, const ForwardWidths& widths) {
    return static_cast<std::size_t>(items) * item_bytes(rows, widths.row());
  }
  RowSums<T> of(Index item) const {
    auto* sums =
        reinterpret_cast<T*>(memory_ + static_cast<std::size_t>(item) * item_bytes(rows_, row_));
    return {sums, sums + rows_ * row_, row_};
  }

 private:
  static std::size_t item_bytes(Index rows, Index row) {
    return aligned_bytes(static_cast<std::size_t>(rows * (row + 1)) * sizeof(T));
  }

  std::byte* memory_;
  Index rows_;
  Index row_;
};

/// The most queries of a sequence that the decode kernel serves.
inline Index most_decoded(const AttentionShape& shape) {
  return kTileRows / std::max<Index>(shape.query_heads / shape.key_heads, 1);
}

/// The sequences of a call that it serves; and the others, which have so many rows that reading keys is
/// little beside multiplying.
inline Sequences few_of(Sequences sequences, const AttentionShape& shape) {
  sequences.most_queries = most_decoded(shape);
  return sequences;
}
inline Sequences many_of(Sequences sequences, const AttentionShape& shape) {
  sequences.fewest_queries = most_decoded(shape) + 1;
  return sequences;
}

/// Work memory of a call of few rows a sequence: that of its plan, of its parts, of each worker.
struct DecodeMemory {
  std::size_t plan;
  std::size_t parts;
  std::size_t worker;

  template <Real T>
  static DecodeMemory of(const Sequences& sequences, const AttentionShape& shape,
                         const ForwardWidths& widths) {
    const Index rows = sequences.longest_queries() * (shape.query_heads / shape.key_heads);
    return {DecodePlan::order_bytes(sequences),
            DecodeParts<T>::bytes(DecodePlan::count(sequences, shape), rows, widths),
            DecodeBuffers<T>::bytes(rows, widths)};
  }
  std::size_t bytes(int workers) const {
    return plan + parts + worker * static_cast<std::size_t>(workers);
  }
};

/// Runs a checked call whose keys are in a cache, of few rows a sequence.
template <Real T>
void decode_few(const ForwardCall<T>& call, const AnyDevice& device) {
  const TileEngine<T>& engine = tile_engine<T>(target());
  const ForwardWidths widths(engine, call.shape, call.score_dim, call.k.shape[3]);
  const Index rows = call.sequences.longest_queries() * call.group();
  const auto sizes = DecodeMemory::of<T>(call.sequences, call.shape, widths);
  const int workers = DecodePlan::workers(call.sequences, call.shape, widths, device.helpers());
  std::byte* memory = work_memory(call.options.workspace, sizes.bytes(workers));
  const DecodePlan plan(call.sequences, call.shape, reinterpret_cast<Index*>(memory));
  const DecodeParts<T> parts(memory + sizes.plan, rows, widths);
  std::byte* work = memory + sizes.plan + sizes.parts;

  const auto with_buffers = [&](int worker, Index number, const auto& use) {
    Carver carver(work + static_cast<std::size_t>(worker) * sizes.worker);
    DecodeBuffers<T> buffers(carver, rows, widths);
    buffers.sums = parts.of(number);
    const DecodeItem item = plan.item(number);
    const Sequence sequence = call.sequences(item.sequence);
    DecodeOperands<T> operands(call, engine, widths, buffers,
                               {sequence, item.key_head, 0, sequence.queries * call.group()});
    use(item, buffers, operands);
  };
  parallel_for(device, workers, plan.items(), [&](int worker, Index number) {
    with_buffers(
        worker, number, [&](const DecodeItem& item, DecodeBuffers<T>& buffers, auto& operands) {
          ForwardBlock<T, DecodeOperands<T>> block(call, engine, widths, buffers, operands);
          block.begin(item.part == 0);
          block.run(item.first_block, item.last_block);
          if (item.parts == 1) operands.store();
        });
  });
  for (Index number = 0; number < plan.items(); ++number) {
    const DecodeItem item = plan.item(number);
    if (item.parts == 1 || item.part > 0) continue;
    with_buffers(0, number, [&](const DecodeItem&, DecodeBuffers<T>& buffers, auto& operands) {
      for (Index part = 1; part < item.parts; ++part) {
        buffers.sums.merge(engine, parts.of(plan.number(item, part)), operands.rows());
      }
      operands.store();
    });
  }
}

template <Real T>
void decode_call(const ForwardCall<T>& call, const AnyDevice& device) {
  ForwardCall<T> part = call;
  part.sequences = few_of(call.sequences, call.shape);
  if (part.sequences.longest_queries() > 0) decode_few(part, device);
  part.sequences = many_of(call.sequences, call.shape);
  part.cached_key = cached_key<T>;
  part.cached_value = cached_value<T>;
  if (part.sequences.longest_queries() > 0) forward(part, device);
}

template <Real T>
std::size_t cached_bytes(const Sequences& sequences, const AttentionShape& shape, Index score_dim,
                         Index key_dim, const AnyDevice& device) {
  const ForwardWidths widths(tile_engine<T>(target()), shape, score_dim, key_dim);
  const Sequences few = few_of(sequences, shape);
  const Sequences many = many_of(sequences, shape);
  return std::max(
      few.longest_queries() == 0
          ? 0
          : DecodeMemory::of<T>(few, shape, widths).bytes(device.threads()) + kAlignment - 1,
      many.longest_queries() == 0 ? 0
                                  : sequences_bytes<T>(many, shape, score_dim, key_dim, device));
}

}  // namespace coca::inline v0::detail
