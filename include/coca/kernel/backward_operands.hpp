#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <variant>

#include "coca/core/scalar.hpp"
#include "coca/core/target.hpp"
#include "coca/kernel/backward_plan.hpp"
#include "coca/kernel/key_rows.hpp"
#include "coca/kernel/load.hpp"
#include "coca/kernel/query_rows.hpp"
#include "coca/kernel/softmax.hpp"
#include "coca/kernel/tile_engine.hpp"
#include "coca/scheme/adjoint.hpp"

/// The operands of the backward kernel on their way into work memory, and gradients on their way out.
namespace coca::inline v0::detail {

/// Some rows of one item (ForwardItem), and the keys they meet.
template <class Call>
class BackwardOperands : public QueryRows<Call> {
  using Base = QueryRows<Call>;
  using Base::call_, Base::engine_, Base::narrow_, Base::sequence_, Base::span, Base::sink_of;
  using Base::query_positions_, Base::key_positions_, Base::key_head_, Base::row_begin_;

 public:
  using T = typename Call::Number;
  using S = typename Call::Scheme;
  using Base::for_each_row;

  BackwardOperands(const Call& call, const TileEngine<T>& engine, const BackwardWidths<T>& widths,
                   const BackwardBuffers<T>& buffers, const BackwardSequence<T>& memory,
                   const ForwardItem& item)
      : Base(call, engine, widths, TileBuffers<T>(), item),
        widths_(widths),
        buffers_(buffers),
        memory_(memory),
        keys_(call, call.tensors.k, sequence_, key_head_, Stored::keys),
        values_(call, call.tensors.v, sequence_, key_head_, Stored::values) {}

  /// All rows: factor * phi(q), dout, D = dout . out, lse in base 2, and no sums yet. If `sinks` is
  /// given, it receives for each head of the group the gradient of its sink, -e^(sink - lse) D, summed up.
  void load_rows(T factor, double* sinks) const {
    on_target(
        target(), [&]() __attribute__((always_inline)) {
          for_each_row([&](Index row, Index query, Index head) __attribute__((always_inline)) {
            const Index place = sequence_.first_query + query;
            if (query + Base::kQueriesAhead < sequence_.queries) {
              for (const AnyInput* tensor :
                   {&call_.tensors.q, &call_.tensors.dout, &call_.tensors.out}) {
                prefetch_row(TokenRows<const std::byte>(*tensor, sequence_.batch, head),
                             place + Base::kQueriesAhead);
              }
            }
            const Index at = row_begin_ + row;
            load_row(at, query, place, head, factor);
            const T mean = gradients_.dot(memory_.dout + at * widths_.value_stride,
                                          row_of(call_.tensors.out, head, place, buffers_.token),
                                          widths_.value);
            const T lse = std::visit(
                [&](const auto& x) { return static_cast<T>(x(sequence_.batch, head, place)); },
                call_.lse);
            memory_.means[at] = mean;
            // Of a row that sees nothing, no score is above -inf: whatever is subtracted, weights are 0.
            memory_.shifts[at] = lse == kMinusInfinity<T> ? T(0) : lse * kLog2e<T>;
            if (sinks != nullptr)
              sinks[head - this->first_head()] += sink_gradient(head, lse, mean);
          });
        });
    std::fill_n(memory_.dphi + row_begin_ * widths_.phi_stride, this->rows() * widths_.phi_stride,
                T(0));
  }

  /// Keys from a multiple of kTileKeys on: psi in rows and in panels, values in panels, and no sums yet.
  void load_keys(Index first, Index last) const {
    std::array<const T*, kPackKeys> key_rows;
    std::array<const T*, kPackKeys> value_rows;
    for (Index key = first; key < last; key += kPackKeys) {
      const Index count = std::min(kPackKeys, last - key);
      on_target(
          target(), [&]() __attribute__((always_inline)) {
            for (Index i = 0; i < count; ++i) {
              if (key + i + kPackKeys < last) {
                keys_.prefetch(key + i + kPackKeys);
                values_.prefetch(key + i + kPackKeys);
              }
              key_rows[static_cast<std::size_t>(i)] = load_key(key + i);
            }
          });
      for (Index i = 0; i < count; ++i) {
        value_rows[static_cast<std::size_t>(i)] =
            values_.row(narrow_, key + i, buffers_.value_rows + i * widths_.value);
      }
      // What fills up a vector may be any numbers: their scores are not looked at.
      const Index whole = this->whole_vectors(count);
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
    on_target(
        target(), [&]() __attribute__((always_inline)) {
          for_each_row([&](Index row, Index query, Index head) __attribute__((always_inline)) {
            const Index place = sequence_.first_query + query;
            const TokenRows<std::byte> to(call_.tensors.dq, sequence_.batch, head);
            if (query + Base::kQueriesAhead < sequence_.queries) {
              prefetch_row(to, place + Base::kQueriesAhead);
            }
            const Index at = row_begin_ + row;
            T* dphi = memory_.dphi + at * widths_.phi_stride;
            T* dq = dphi;
            if constexpr (!KeepsQueries<S, T>) {
              engine_.scale(dphi, dphi, widths_.score, factor);
              const T* q = row_of(call_.tensors.q, head, place, buffers_.token);
              dq = buffers_.other_token;
              if (untouched(memory_.finite_rows[at], dphi)) {
                std::fill_n(dq, call_.shape.query_dim, T(0));
              } else {
                call_.scheme.map_query_adjoint(
                    span(q, call_.shape.query_dim), query_token(query, place, head),
                    span(dphi, widths_.score), span(dq, call_.shape.query_dim));
              }
            }
            store_row(engine_, narrow_, dq, to, place, KeepsQueries<S, T> ? factor : T(1));
          });
        });
  }
  /// dk and dv of some keys, from the sums dpsi / factor and dv.
  void store_keys(Index first, Index last, T factor) const {
    on_target(
        target(), [&]() __attribute__((always_inline)) {
          for (Index key = first; key < last; ++key) {
            const Index place = sequence_.first_key + key;
            T* dpsi = memory_.dpsi + key * widths_.phi_stride;
            T* dk = dpsi;
            if constexpr (!KeepsKeys<S, T>) {
              engine_.scale(dpsi, dpsi, widths_.score, factor);
              dk = buffers_.other_token;
              if (untouched(memory_.finite_keys[key], dpsi)) {
                std::fill_n(dk, keys_.width(), T(0));
              } else {
                call_.scheme.map_key_adjoint(
                    span(keys_.row(narrow_, key, buffers_.token), keys_.width()), key_token(key),
                    span(dpsi, widths_.score), span(dk, keys_.width()));
              }
            }
            store_row(engine_, narrow_, dk,
                      TokenRows<std::byte>(call_.tensors.dk, sequence_.batch, key_head_), place,
                      KeepsKeys<S, T> ? factor : T(1));
            store_row(engine_, narrow_, memory_.dv + key * widths_.value_stride,
                      TokenRows<std::byte>(call_.tensors.dv, sequence_.batch, key_head_), place,
                      T(1));
          }
        });
  }

 private:
  [[gnu::always_inline]] const T* row_of(const AnyInput& tensor, Index head, Index place,
                                         T* scratch) const {
    return contiguous_row(narrow_, TokenRows<const std::byte>(tensor, sequence_.batch, head), place,
                          scratch);
  }
  /// Whether nothing has come to the sums of an operand that is not finite. Its gradient is 0, but an
  /// adjoint would make 0 * NaN of it.
  [[gnu::always_inline]] bool untouched(bool finite, const T* sums) const {
    if (finite) return false;
    for (Index i = 0; i < widths_.score; ++i) {
      if (sums[i] != T(0)) return false;
    }
    return true;
  }
  [[gnu::always_inline]] Token query_token(Index query, Index place, Index head) const {
    return {query_positions_(sequence_.batch, place, query), sequence_.index, query, head};
  }
  [[gnu::always_inline]] Token key_token(Index key) const {
    return {key_positions_(sequence_.batch, sequence_.first_key + key, key), sequence_.index, key,
            key_head_};
  }
  [[gnu::always_inline]] void load_row(Index at, Index query, Index place, Index head,
                                       T factor) const {
    const T* q = row_of(call_.tensors.q, head, place, buffers_.token);
    T* phi = memory_.phi + at * widths_.phi_stride;
    if constexpr (KeepsQueries<S, T>) {
      engine_.scale(q, phi, widths_.score, factor);
    } else {
      call_.scheme.map_query(span(q, call_.shape.query_dim), query_token(query, place, head),
                             span(phi, widths_.score));
      engine_.scale(phi, phi, widths_.score, factor);
    }
    std::fill(phi + widths_.score, phi + widths_.phi, T(0));
    T* dout = memory_.dout + at * widths_.value_stride;
    engine_.scale(row_of(call_.tensors.dout, head, place, buffers_.token), dout, widths_.value,
                  T(1));
    std::fill(dout + widths_.value, dout + widths_.sums, T(0));
    memory_.finite_rows[at] =
        gradients_.all_finite(phi, widths_.score) && gradients_.all_finite(dout, widths_.value);
  }
  double sink_gradient(Index head, T lse, T mean) const {
    const T sink = sink_of(head);
    if (sink == kMinusInfinity<T>) return 0.0;
    return -std::exp(static_cast<double>(sink) - static_cast<double>(lse)) *
           static_cast<double>(mean);
  }
  /// psi of one key, in its place.
  [[gnu::always_inline]] const T* load_key(Index key) const {
    T* psi = memory_.psi + key * widths_.phi_stride;
    const T* k = keys_.row(narrow_, key, buffers_.token);
    if constexpr (KeepsKeys<S, T>) {
      std::copy_n(k, widths_.score, psi);
    } else {
      call_.scheme.map_key(span(k, keys_.width()), key_token(key), span(psi, widths_.score));
    }
    std::fill(psi + widths_.score, psi + widths_.phi, T(0));
    memory_.finite_keys[key] = gradients_.all_finite(psi, widths_.score);
    return psi;
  }

  const BackwardWidths<T>& widths_;
  const BackwardBuffers<T>& buffers_;
  const BackwardSequence<T>& memory_;
  const GradientFunctions<T>& gradients_ = gradient_functions<T>(target());
  KeyRows keys_;
  KeyRows values_;
};

}  // namespace coca::inline v0::detail
