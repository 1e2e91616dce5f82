#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "coca/core/scalar.hpp"
#include "coca/core/target.hpp"
#include "coca/kernel/backward_plan.hpp"
#include "coca/kernel/call/kernel_call.hpp"
#include "coca/kernel/item_rows.hpp"
#include "coca/kernel/key_rows.hpp"
#include "coca/kernel/load.hpp"
#include "coca/kernel/softmax.hpp"
#include "coca/kernel/tile_engine.hpp"

/// The operands of the backward kernel on their way into work memory, and gradients on their way out.
namespace coca::inline v0::detail {

/// Some rows of one item (ForwardItem), and the keys they meet.
template <Real T>
class BackwardOperands : public ItemRows {
 public:
  BackwardOperands(const BackwardCall<T>& call, const TileEngine<T>& engine,
                   const BackwardWidths<T>& widths, const BackwardBuffers<T>& buffers,
                   const BackwardSequence<T>& memory, const ForwardItem& item)
      : ItemRows(item, call.group(), call.options),
        call_(call),
        engine_(engine),
        narrow_(call.narrow),
        widths_(widths),
        buffers_(buffers),
        memory_(memory),
        keys_(call.k, nullptr, nullptr, item.sequence, item.key_head),
        values_(call.v, nullptr, nullptr, item.sequence, item.key_head) {}

  /// All rows: factor * phi(q), dout, D = dout . out, lse in base 2, and no sums yet. If `sinks` is
  /// given, it receives for each head of the group the gradient of its sink, -e^(sink - lse) D, summed up.
  void load_rows(T factor, double* sinks) const {
    T* phi = memory_.phi + row_begin() * widths_.phi_stride;
    map_queries(
        call_.scheme,
        QuerySource<T>{*this, call_.q, narrow_, engine_.scale, buffers_.token, widths_.score}, phi,
        widths_.phi_stride, factor);
    on_target(
        target(), [&]() __attribute__((always_inline)) {
          for_each_row([&](Index row, Index query, Index head) __attribute__((always_inline)) {
            const Index place = sequence().first_query + query;
            if (query + QuerySource<T>::kAhead < sequence().queries) {
              for (const AnyInput* tensor : {&call_.dout, &call_.out}) {
                prefetch_row(TokenRows<const std::byte>(*tensor, sequence().batch, head),
                             place + QuerySource<T>::kAhead);
              }
            }
            const Index at = row_begin() + row;
            finish_row(at, place, head);
            const T mean =
                gradients_.dot(memory_.dout + at * widths_.value_stride,
                               row_of(call_.out, head, place, buffers_.token), widths_.value);
            const T lse = static_cast<T>(call_.lse(sequence().batch, head, place));
            memory_.means[at] = mean;
            // Of a row that sees nothing, no score is above -inf: whatever is subtracted, weights are 0.
            memory_.shifts[at] = lse == kMinusInfinity<T> ? T(0) : lse * kLog2e<T>;
            if (sinks != nullptr) sinks[head - first_head()] += sink_gradient(head, lse, mean);
          });
        });
    std::fill_n(memory_.dphi + row_begin() * widths_.phi_stride, rows() * widths_.phi_stride, T(0));
  }

  /// Keys from a multiple of kTileKeys on: psi in rows and in panels, values in panels, and no sums yet.
  void load_keys(Index first, Index last) const {
    std::array<const T*, kPackKeys> key_rows;
    std::array<const T*, kPackKeys> value_rows;
    for (Index key = first; key < last; key += kPackKeys) {
      const Index count = std::min(kPackKeys, last - key);
      for (Index i = 0; i < count && key + i + kPackKeys < last; ++i) {
        keys_.prefetch(key + i + kPackKeys);
        values_.prefetch(key + i + kPackKeys);
      }
      load_psi(key, count);
      for (Index i = 0; i < count; ++i) {
        key_rows[static_cast<std::size_t>(i)] = memory_.psi + (key + i) * widths_.phi_stride;
      }
      for (Index i = 0; i < count; ++i) {
        value_rows[static_cast<std::size_t>(i)] =
            values_.row(narrow_, key + i, buffers_.value_rows + i * widths_.value);
      }
      // What fills up a vector may be any numbers: their scores are not looked at.
      const Index whole = round_up(count, engine_.vector);
      std::fill(key_rows.begin() + count, key_rows.begin() + whole, key_rows[0]);
      std::fill(value_rows.begin() + count, value_rows.begin() + whole, value_rows[0]);
      const Index tile = key / kTileKeys * kTileKeys;
      engine_.pack_keys(key_rows.data(), memory_.key_panels + tile * widths_.score, key - tile,
                        whole, 0, widths_.score);
      engine_.pack_keys(value_rows.data(), memory_.value_panels + tile * widths_.value, key - tile,
                        whole, 0, widths_.value);
    }
    std::fill_n(memory_.dpsi + first * widths_.phi_stride, (last - first) * widths_.phi_stride,
                T(0));
    std::fill_n(memory_.dv + first * widths_.value_stride, (last - first) * widths_.value_stride,
                T(0));
  }

  /// dq of all rows, from the sums dphi / factor.
  void store_rows(T factor) const {
    const bool keeps = call_.scheme.keeps_queries();
    for_each_row([&](Index row, Index query, Index head) {
      const Index place = sequence().first_query + query;
      const TokenRows<std::byte> to(call_.dq, sequence().batch, head);
      if (query + QuerySource<T>::kAhead < sequence().queries) {
        prefetch_row(to, place + QuerySource<T>::kAhead);
      }
      const Index at = row_begin() + row;
      T* dphi = memory_.dphi + at * widths_.phi_stride;
      T* dq = dphi;
      if (!keeps) {
        engine_.scale(dphi, dphi, widths_.score, factor);
        const T* q = row_of(call_.q, head, place, buffers_.token);
        dq = buffers_.other_token;
        const Index dim = call_.shape.query_dim;
        if (untouched(memory_.finite_rows[at], dphi)) {
          std::fill_n(dq, dim, T(0));
        } else {
          call_.adjoints->map_query_adjoint(call_.scheme.scheme, span_of(q, dim),
                                            query_token(query, head), span_of(dphi, widths_.score),
                                            span_of(dq, dim));
        }
      }
      store_row(engine_.scale, narrow_, dq, to, place, keeps ? factor : T(1));
    });
  }
  /// dk and dv of some keys, from the sums dpsi / factor and dv.
  void store_keys(Index first, Index last, T factor) const {
    const bool keeps = call_.scheme.keeps_keys();
    for (Index key = first; key < last; ++key) {
      const Index place = sequence().first_key + key;
      T* dpsi = memory_.dpsi + key * widths_.phi_stride;
      T* dk = dpsi;
      if (!keeps) {
        engine_.scale(dpsi, dpsi, widths_.score, factor);
        dk = buffers_.other_token;
        if (untouched(memory_.finite_keys[key], dpsi)) {
          std::fill_n(dk, keys_.width(), T(0));
        } else {
          call_.adjoints->map_key_adjoint(
              call_.scheme.scheme, span_of(keys_.row(narrow_, key, buffers_.token), keys_.width()),
              key_token(key), span_of(dpsi, widths_.score), span_of(dk, keys_.width()));
        }
      }
      store_row(engine_.scale, narrow_, dk,
                TokenRows<std::byte>(call_.dk, sequence().batch, key_head()), place,
                keeps ? factor : T(1));
      store_row(engine_.scale, narrow_, memory_.dv + key * widths_.value_stride,
                TokenRows<std::byte>(call_.dv, sequence().batch, key_head()), place, T(1));
    }
  }

 private:
  [[gnu::always_inline]] const T* row_of(const AnyInput& tensor, Index head, Index place,
                                         T* scratch) const {
    return contiguous_row(narrow_, TokenRows<const std::byte>(tensor, sequence().batch, head),
                          place, scratch);
  }
  /// Whether nothing has come to the sums of an operand that is not finite. Its gradient is 0, but an
  /// adjoint would make 0 * NaN of it.
  bool untouched(bool finite, const T* sums) const {
    if (finite) return false;
    for (Index i = 0; i < widths_.score; ++i) {
      if (sums[i] != T(0)) return false;
    }
    return true;
  }
  /// What is left of a row whose phi is there.
  [[gnu::always_inline]] void finish_row(Index at, Index place, Index head) const {
    T* phi = memory_.phi + at * widths_.phi_stride;
    std::fill(phi + widths_.score, phi + widths_.phi, T(0));
    T* dout = memory_.dout + at * widths_.value_stride;
    engine_.scale(row_of(call_.dout, head, place, buffers_.token), dout, widths_.value, T(1));
    std::fill(dout + widths_.value, dout + widths_.sums, T(0));
    memory_.finite_rows[at] =
        gradients_.all_finite(phi, widths_.score) && gradients_.all_finite(dout, widths_.value);
  }
  double sink_gradient(Index head, T lse, T mean) const {
    const T sink = sink_of<T>(call_.options, head);
    if (sink == kMinusInfinity<T>) return 0.0;
    return -std::exp(static_cast<double>(sink) - static_cast<double>(lse)) *
           static_cast<double>(mean);
  }
  /// psi of some keys, in their places.
  void load_psi(Index key, Index count) const {
    T* first = memory_.psi + key * widths_.phi_stride;
    if (!call_.scheme.keeps_keys()) {
      const KeySource<T> from{*this, keys_, narrow_, buffers_.token, widths_.score};
      call_.scheme.functions->map_keys(call_.scheme.scheme, from, key, count, first,
                                       widths_.phi_stride);
    }
    for (Index i = 0; i < count; ++i) {
      T* psi = first + i * widths_.phi_stride;
      if (call_.scheme.keeps_keys()) {
        std::copy_n(keys_.row(narrow_, key + i, buffers_.token), widths_.score, psi);
      }
      std::fill(psi + widths_.score, psi + widths_.phi, T(0));
      memory_.finite_keys[key + i] = gradients_.all_finite(psi, widths_.score);
    }
  }

  const BackwardCall<T>& call_;
  const TileEngine<T>& engine_;
  const NarrowEngine* narrow_;
  const BackwardWidths<T>& widths_;
  const BackwardBuffers<T>& buffers_;
  const BackwardSequence<T>& memory_;
  const GradientFunctions<T>& gradients_ = gradient_functions<T>(target());
  KeyRows<T> keys_;
  KeyRows<T> values_;
};

}  // namespace coca::inline v0::detail
