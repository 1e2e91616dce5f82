#pragma once

#include <algorithm>
#include <cstddef>

#include "coca/core/parallel.hpp"
#include "coca/core/scalar.hpp"
#include "coca/core/workspace.hpp"
#include "coca/kernel/backward.hpp"
#include "coca/kernel/backward_block.hpp"
#include "coca/kernel/backward_plan.hpp"
#include "coca/kernel/tile_engine.hpp"

namespace coca::inline v0::detail {

/// One item: one sequence and key head.
template <Real T>
class BackwardItem {
 public:
  BackwardItem(const BackwardCall<T>& call, const TileEngine<T>& engine,
               const BackwardWidths<T>& widths, const BackwardPlan& plan,
               const BackwardSequence<T>& memory, Index number, double* sinks)
      : call_(call),
        engine_(engine),
        widths_(widths),
        plan_(plan),
        memory_(memory),
        sequence_(call.sequences(number / call.shape.key_heads)),
        key_head_(number % call.shape.key_heads),
        sinks_(sinks) {}

  /// Queries and keys of one number of block, before all cells ...
  void begin(Index block, const BackwardBuffers<T>& buffers) const {
    const auto rows = block_of(block, buffers);
    rows.operands().load_rows(rows.phi_factor(),
                              sinks_ == nullptr ? nullptr : sinks_ + block * call_.group());
    rows.operands().load_keys(plan_.cut().first_key(block), plan_.cut().first_key(block + 1));
  }
  /// ... and after them.
  void finish(Index block, const BackwardBuffers<T>& buffers) const {
    const auto rows = block_of(block, buffers);
    rows.operands().store_rows(call_.scale);
    rows.operands().store_keys(plan_.cut().first_key(block), plan_.cut().first_key(block + 1),
                               rows.score_unit());
  }
  /// One cell of a step.
  void cell(Index step, Index block, const BackwardBuffers<T>& buffers) const {
    block_of((block + step) % plan_.cut().count(), buffers)
        .run(plan_.cut().first_key(block), plan_.cut().first_key(block + 1));
  }

 private:
  ForwardItem rows_of(Index block) const {
    return {sequence_, key_head_, plan_.cut().first_query(block) * call_.group(),
            plan_.cut().first_query(block + 1) * call_.group()};
  }
  BackwardBlock<T> block_of(Index block, const BackwardBuffers<T>& buffers) const {
    return {call_, engine_, widths_, buffers, memory_, rows_of(block)};
  }

  const BackwardCall<T>& call_;
  const TileEngine<T>& engine_;
  const BackwardWidths<T>& widths_;
  const BackwardPlan& plan_;
  const BackwardSequence<T>& memory_;
  Sequence sequence_;
  Index key_head_;
  double* sinks_;
};

/// The gradients of sinks by blocks of queries, for each item: they are added up when all are there.
template <Real T>
Index sink_numbers(const BackwardCall<T>& call, const BackwardPlan& plan) {
  return call.more.sinks ? plan.items() * plan.cut().count() * call.group() : 0;
}
template <Real T>
void store_sinks(const BackwardCall<T>& call, const BackwardPlan& plan, const double* sinks) {
  if (!call.more.sinks) return;
  for (Index head = 0; head < call.more.sinks.shape[0]; ++head) {
    double sum = 0.0;
    for (Index s = 0; s < call.sequences.count; ++s) {
      const Index item = s * call.shape.key_heads + head / call.group();
      for (Index block = 0; block < plan.cut().count(); ++block) {
        sum += sinks[(item * plan.cut().count() + block) * call.group() + head % call.group()];
      }
    }
    call.more.sinks.set(sum, head);
  }
}

inline void clear_bias(const AnyOutputView<4>& bias) {
  if (!bias) return;
  for (Index b = 0; b < bias.shape[0]; ++b) {
    for (Index h = 0; h < bias.shape[1]; ++h) {
      for (Index m = 0; m < bias.shape[2]; ++m) {
        for (Index n = 0; n < bias.shape[3]; ++n) bias.set(0.0, b, h, m, n);
      }
    }
  }
}

/// How items and workers may add to the gradient of a bias.
struct BiasSharing {
  bool items = false;  ///< several of them add to one number
  bool cells = false;  ///< of one item as well

  BiasSharing(const AnyOutputView<4>& bias, const AttentionShape& shape) {
    if (!bias) return;
    items = bias.shape[0] < shape.batch || bias.shape[1] < shape.query_heads;
    cells = bias.shape[2] < shape.queries || bias.shape[3] < shape.keys;
  }
};

template <Real T>
void backward(const BackwardCall<T>& call, const AnyDevice& device) {
  const TileEngine<T>& engine = tile_engine<T>(target());
  const BackwardWidths<T> widths(engine, call.shape, call.score_dim, call.k.shape[3]);
  const BiasSharing sharing(call.more.bias, call.shape);
  const BackwardPlan plan(call.sequences, call.shape, widths, device.threads(),
                          sharing.cells ? 1 : device.helpers(), sharing.items);
  const Index blocks = plan.cut().count();
  const Index sink_count = sink_numbers(call, plan);
  const std::size_t sink_bytes =
      aligned_bytes(static_cast<std::size_t>(sink_count) * sizeof(double));
  const std::size_t buffer_bytes = BackwardBuffers<T>::bytes(widths);
  std::byte* memory =
      work_memory(call.options.workspace, sink_bytes + plan.bytes(widths, plan.workers()));
  clear_bias(call.more.bias);
  double* sinks = sink_count == 0 ? nullptr : reinterpret_cast<double*>(memory);
  std::fill_n(sinks, sink_count, 0.0);
  memory += sink_bytes;
  std::byte* const item_memory = memory + buffer_bytes * static_cast<std::size_t>(plan.workers());

  const auto with_buffers = [&](int worker, const auto& use) {
    Carver carver(memory + static_cast<std::size_t>(worker) * buffer_bytes);
    use(BackwardBuffers<T>(carver, widths));
  };
  const auto with_item = [&](int place, Index number, const auto& use) {
    Carver carver(item_memory + static_cast<std::size_t>(place) * plan.item_bytes(widths));
    const BackwardSequence<T> sequence(carver, plan.rows(), plan.keys(), widths);
    use(BackwardItem<T>(call, engine, widths, plan, sequence, number,
                        sinks == nullptr ? nullptr : sinks + number * blocks * call.group()));
  };
  if (plan.by_items()) {
    parallel_for(device, plan.workers(), plan.items(), [&](int worker, Index number) {
      with_buffers(worker, [&](const BackwardBuffers<T>& buffers) {
        with_item(worker, number, [&](const BackwardItem<T>& item) {
          for (Index block = 0; block < blocks; ++block) item.begin(block, buffers);
          for (Index step = 0; step < blocks; ++step) {
            for (Index block = 0; block < blocks; ++block) item.cell(step, block, buffers);
          }
          for (Index block = 0; block < blocks; ++block) item.finish(block, buffers);
        });
      });
    });
  } else {
    for (Index number = 0; number < plan.items(); ++number) {
      with_item(0, number, [&](const BackwardItem<T>& item) {
        const auto for_each_block = [&](const auto& use) {
          parallel_for(device, plan.workers(), blocks, [&](int worker, Index block) {
            with_buffers(worker, [&](const BackwardBuffers<T>& buffers) { use(block, buffers); });
          });
        };
        for_each_block([&](Index block, const auto& buffers) { item.begin(block, buffers); });
        for (Index step = 0; step < blocks; ++step) {
          for_each_block(
              [&](Index block, const auto& buffers) { item.cell(step, block, buffers); });
        }
        for_each_block([&](Index block, const auto& buffers) { item.finish(block, buffers); });
      });
    }
  }
  store_sinks(call, plan, sinks);
}

template <Real T>
std::size_t gradient_bytes(const Sequences& sequences, const AttentionShape& shape, Index score_dim,
                           Index key_dim, const AnyDevice& device) {
  const BackwardWidths<T> widths(tile_engine<T>(target()), shape, score_dim, key_dim);
  const int threads = device.threads();
  const auto bytes = [&](bool one_by_one) {
    const BackwardPlan plan(sequences, shape, widths, threads, threads, one_by_one);
    return plan.bytes(widths, plan.most_workers());
  };
  // Whatever gradients are asked for: those of sinks are kept by blocks of queries, and those of biases may
  // forbid one way of sharing out the work.
  const Index sinks =
      shape.batch * shape.query_heads * BackwardCut(shape.queries, shape.keys).count();
  return std::max(bytes(false), bytes(true)) +
         aligned_bytes(static_cast<std::size_t>(sinks) * sizeof(double)) + kAlignment - 1;
}

}  // namespace coca::inline v0::detail
