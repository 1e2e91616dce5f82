#pragma once

#include <algorithm>
#include <cstddef>
#include <variant>

#include "coca/core/parallel.hpp"
#include "coca/core/scalar.hpp"
#include "coca/core/workspace.hpp"
#include "coca/kernel/backward_block.hpp"
#include "coca/kernel/backward_call.hpp"
#include "coca/kernel/backward_plan.hpp"
#include "coca/kernel/softmax.hpp"
#include "coca/kernel/tile_engine.hpp"

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

/// One item: one sequence and key head.
template <class Call>
class BackwardItem {
 public:
  using T = typename Call::Number;

  BackwardItem(const Call& call, const TileEngine<T>& engine, const BackwardWidths<T>& widths,
               const BackwardPlan& plan, const BackwardSequence<T>& memory, Index number,
               double* sinks)
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
  BackwardBlock<Call> block_of(Index block, const BackwardBuffers<T>& buffers) const {
    return {call_, engine_, widths_, buffers, memory_, rows_of(block)};
  }

  const Call& call_;
  const TileEngine<T>& engine_;
  const BackwardWidths<T>& widths_;
  const BackwardPlan& plan_;
  const BackwardSequence<T>& memory_;
  Sequence sequence_;
  Index key_head_;
  double* sinks_;
};

/// The gradients of sinks by blocks of queries, for each item: they are added up when all are there.
template <class Call>
Index sink_numbers(const Call& call, const BackwardPlan& plan) {
  return std::holds_alternative<std::monostate>(call.more.sinks)
             ? 0
             : plan.items() * plan.cut().count() * call.group();
}
template <class Call>
void store_sinks(const Call& call, const BackwardPlan& plan, const double* sinks) {
  std::visit(
      [&](const auto& to) {
        if constexpr (requires { to(0); }) {
          for (Index head = 0; head < to.shape[0]; ++head) {
            double sum = 0.0;
            for (Index s = 0; s < call.sequences.count; ++s) {
              const Index item = s * call.shape.key_heads + head / call.group();
              for (Index block = 0; block < plan.cut().count(); ++block) {
                sum +=
                    sinks[(item * plan.cut().count() + block) * call.group() + head % call.group()];
              }
            }
            auto& at = to(head);
            at = static_cast<std::remove_reference_t<decltype(at)>>(sum);
          }
        }
      },
      call.more.sinks);
}

inline void clear_bias(const MoreGradients& more) {
  std::visit(
      [&](const auto& bias) {
        if constexpr (requires { bias.shape; }) {
          for (Index b = 0; b < bias.shape[0]; ++b) {
            for (Index h = 0; h < bias.shape[1]; ++h) {
              for (Index m = 0; m < bias.shape[2]; ++m) {
                for (Index n = 0; n < bias.shape[3]; ++n) bias(b, h, m, n) = 0;
              }
            }
          }
        }
      },
      more.bias);
}

/// Runs a checked call, cut by `plan`.
template <class Call, Device D>
void backward(const Call& call, const BackwardPlan& plan,
              const BackwardWidths<typename Call::Number>& widths, const D& device) {
  using T = typename Call::Number;
  const TileEngine<T>& engine = tile_engine<T>(target());
  const Index blocks = plan.cut().count();
  const Index sink_count = sink_numbers(call, plan);
  const std::size_t sink_bytes =
      aligned_bytes(static_cast<std::size_t>(sink_count) * sizeof(double));
  const std::size_t buffer_bytes = BackwardBuffers<T>::bytes(widths);
  std::byte* memory =
      work_memory(call.options.workspace, sink_bytes + plan.bytes(widths, plan.workers()));
  clear_bias(call.more);
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
    use(BackwardItem<Call>(call, engine, widths, plan, sequence, number,
                           sinks == nullptr ? nullptr : sinks + number * blocks * call.group()));
  };
  if (plan.by_items()) {
    parallel_for(device, plan.workers(), plan.items(), [&](int worker, Index number) {
      with_buffers(worker, [&](const BackwardBuffers<T>& buffers) {
        with_item(worker, number, [&](const BackwardItem<Call>& item) {
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
      with_item(0, number, [&](const BackwardItem<Call>& item) {
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

}  // namespace coca::inline v0::detail
