#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "coca/core/scalar.hpp"
#include "coca/kernel/backward_operands.hpp"
#include "coca/kernel/backward_plan.hpp"
#include "coca/kernel/key_block.hpp"
#include "coca/kernel/softmax.hpp"
#include "coca/kernel/tile_engine.hpp"
#include "coca/kernel/tile_scores.hpp"
#include "coca/mask/mask.hpp"

/// The walk over the tiles of some rows and keys.
namespace coca::inline v0::detail {

template <Real T>
class BackwardBlock {
  static constexpr Index kStride = kTileStride<T>;

 public:
  BackwardBlock(const BackwardCall<T>& call, const TileEngine<T>& engine,
                const BackwardWidths<T>& widths, const BackwardBuffers<T>& buffers,
                const BackwardSequence<T>& memory, const ForwardItem& item)
      : call_(call),
        functions_(gradient_functions<T>(target())),
        widths_(widths),
        buffers_(buffers),
        memory_(memory),
        row_begin_(item.begin),
        operands_(call, engine, widths, buffers, memory, item),
        scores_(call, engine, operands_, kStride, call.adjoints->logits, &functions_) {}

  /// Parts of it know where others are.
  BackwardBlock(const BackwardBlock&) = delete;
  BackwardBlock& operator=(const BackwardBlock&) = delete;

  /// What rows hold of phi for each of it. Where nothing changes scores, they come in base 2.
  T phi_factor() const { return scores_.phi_factor(); }
  T score_unit() const { return scores_.score_unit(); }

  const BackwardOperands<T>& operands() const { return operands_; }

  /// Adds what these rows and the keys first .. last give each other, from a multiple of kTileKeys on.
  void run(Index first_key, Index last_key) {
    for (Index base = first_key; base < last_key; base += kTileKeys) {
      visit({base, 0, std::min(kTileKeys, last_key - base)});
    }
  }

 private:
  /// In tiles of even size, whole groups of rows.
  void visit(const KeyBlock& block) {
    const Index all = operands_.rows();
    const Index tiles = std::max<Index>((all + kGradientRows - 1) / kGradientRows, 1);
    const Index even = (all + tiles - 1) / tiles;
    const Index size = (even + kRowGroup - 1) / kRowGroup * kRowGroup;
    for (Index row = 0; row < all; row += size) {
      const Index rows = std::min(size, all - row);
      const Coverage coverage = scores_.classify(row, rows, block.base, block.base + block.end);
      if (coverage == Coverage::empty) continue;
      if (coverage == Coverage::full) {
        visit_full_tile(row, rows, block);
      } else {
        visit_mixed_tile(row, rows, block);
      }
    }
  }

  void visit_full_tile(Index row, Index rows, const KeyBlock& block) {
    const KeyRange keys{0, block.end};
    multiply(row, 0, rows, block, keys);
    scores_.finish_full(buffers_.scores, buffers_.derivatives, row, rows, block.base, keys);
    finish_rows(row, 0, rows, block, keys);
    add_to_keys(row, 0, rows, block, keys);
  }

  /// Each group of rows by itself meets the keys from the first to the last that it sees; then some
  /// keys at a time meet the rows from the first to the last that see any of them.
  void visit_mixed_tile(Index row, Index rows, const KeyBlock& block) {
    std::array<KeyRange, kGradientRows / kRowGroup> ranges;
    std::fill_n(buffers_.scores, rows * kStride, T(0));
    std::fill_n(buffers_.products, rows * kStride, T(0));
    const Index groups = (rows + kRowGroup - 1) / kRowGroup;
    for (Index g = 0; g < groups; ++g) {
      const Index r = g * kRowGroup;
      const Index count = std::min(kRowGroup, rows - r);
      const KeyRange keys = scores_.find_visible(row + r, count, block);
      ranges[static_cast<std::size_t>(g)] = keys;
      if (keys.first >= keys.last) continue;
      multiply(row, r, count, block, keys);
      scores_.finish_found(buffers_.scores + r * kStride, buffers_.derivatives + r * kStride,
                           row + r, count, block.base, keys);
      finish_rows(row, r, count, block, keys);
    }
    for (Index first = 0; first < block.end; first += kSomeKeys) {
      const KeyRange keys{first, std::min(first + kSomeKeys, block.end)};
      Index begin = rows;
      Index end = 0;
      for (Index g = 0; g < groups; ++g) {
        const KeyRange& seen = ranges[static_cast<std::size_t>(g)];
        if (std::max(seen.first, keys.first) >= std::min(seen.last, keys.last)) continue;
        begin = std::min(begin, g * kRowGroup);
        end = std::min((g + 1) * kRowGroup, rows);
      }
      if (begin < end) add_to_keys(row, begin, end, block, keys);
    }
  }

  /// S = Q K^T and dP = dO V^T of rows r .. r + count of the tile at `row`.
  void multiply(Index row, Index r, Index count, const KeyBlock& block,
                const KeyRange& keys) const {
    const auto [first, last] = scores_.whole_vectors(keys);
    functions_.multiply_keys(memory_.phi + (row_begin_ + row + r) * widths_.phi_stride,
                             widths_.phi_stride, memory_.key_panels + block.base * widths_.score,
                             buffers_.scores + r * kStride, kStride, count, first, last,
                             widths_.score);
    functions_.multiply_keys(
        memory_.dout + (row_begin_ + row + r) * widths_.value_stride, widths_.value_stride,
        memory_.value_panels + block.base * widths_.value, buffers_.products + r * kStride, kStride,
        count, first, last, widths_.value);
  }

  /// P = 2^(S - lse), dS = P (dP - D), and dPhi += dS Psi, of the same rows.
  void finish_rows(Index row, Index r, Index count, const KeyBlock& block, const KeyRange& keys) {
    const auto [first, last] = scores_.whole_vectors(keys);
    const Index at = row_begin_ + row + r;
    T* changes = buffers_.products + r * kStride;
    functions_.weigh(buffers_.scores + r * kStride + first, changes + first, kStride, count,
                     last - first, memory_.shifts + at, memory_.means + at);
    add_bias(row + r, count, block.base, keys, changes);
    if (scores_.bends()) {
      functions_.multiply(changes + first, buffers_.derivatives + r * kStride + first, kStride,
                          count, last - first);
    }
    T* dphi = memory_.dphi + at * widths_.phi_stride;
    for_each_run(
        memory_.finite_keys + block.base, keys.first, keys.last,
        [&](Index key, Index end) {
          functions_.add_product(
              changes + key, kStride, memory_.psi + (block.base + key) * widths_.phi_stride,
              widths_.phi_stride, dphi, widths_.phi_stride, count, widths_.phi, end - key);
        },
        [&](Index key) {
          for (Index i = 0; i < count; ++i) {
            if (changes[i * kStride + key] == T(0)) continue;
            functions_.add_product(changes + i * kStride + key, kStride,
                                   memory_.psi + (block.base + key) * widths_.phi_stride,
                                   widths_.phi_stride, dphi + i * widths_.phi_stride,
                                   widths_.phi_stride, 1, widths_.phi, 1);
          }
        });
  }

  /// dV += P^T dO and dPsi += dS^T Phi, of rows begin .. end of the tile and some keys.
  void add_to_keys(Index row, Index begin, Index end, const KeyBlock& block, const KeyRange& keys) {
    const auto add = [&](const T* weights, const T* rows, Index stride, T* sums, Index columns) {
      T* to = sums + (block.base + keys.first) * stride;
      for_each_run(
          memory_.finite_rows + row_begin_ + row, begin, end,
          [&](Index r, Index last) {
            functions_.add_transposed(weights + r * kStride + keys.first, kStride,
                                      rows + (row_begin_ + row + r) * stride, stride, to, stride,
                                      keys.last - keys.first, columns, last - r);
          },
          [&](Index r) {
            for (Index key = keys.first; key < keys.last; ++key) {
              if (weights[r * kStride + key] == T(0)) continue;
              functions_.add_transposed(weights + r * kStride + key, kStride,
                                        rows + (row_begin_ + row + r) * stride, stride,
                                        to + (key - keys.first) * stride, stride, 1, columns, 1);
            }
          });
    };
    add(buffers_.scores, memory_.dout, widths_.value_stride, memory_.dv, widths_.sums);
    add(buffers_.products, memory_.phi, widths_.phi_stride, memory_.dpsi, widths_.phi);
  }

  /// Calls finite(begin, end) for the runs of what is finite, and other(i) for what is not, in order:
  /// in a product, NaN and Inf would reach, as 0 * NaN, what they have no weight for. Sums are made in
  /// the same order, so that the others do not notice.
  template <class Finite, class Other>
  static void for_each_run(const bool* finite, Index begin, Index end, const Finite& use,
                           const Other& other) {
    while (begin < end) {
      const Index stop = std::find(finite + begin, finite + end, false) - finite;
      if (begin < stop) use(begin, stop);
      if (stop < end) other(stop);
      begin = stop + 1;
    }
  }

  /// The gradient of a bias, where it is asked for.
  void add_bias(Index row, Index rows, Index base, const KeyRange& keys, const T* changes) const {
    const AnyOutputView<4>& bias = call_.more.bias;
    if (!bias) return;
    for (Index r = 0; r < rows; ++r) {
      const Site at = operands_.site(row + r, base);
      for (Index key = keys.first; key < keys.last; ++key) {
        bias.add(static_cast<double>(changes[r * kStride + key]), at.batch, at.head, at.query_index,
                 base + key);
      }
    }
  }

  /// Keys that go through a product together at the edge of a mask.
  static constexpr Index kSomeKeys = 4 * kRowGroup;

  const BackwardCall<T>& call_;
  const GradientFunctions<T>& functions_;
  const BackwardWidths<T>& widths_;
  const BackwardBuffers<T>& buffers_;
  const BackwardSequence<T>& memory_;
  Index row_begin_;
  BackwardOperands<T> operands_;
  TileScores<T> scores_;
};

}  // namespace coca::inline v0::detail
