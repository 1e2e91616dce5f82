#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "coca/attention_backward.hpp"
#include "coca/core/error.hpp"
#include "coca/core/memory_view.hpp"

namespace coca::inline v0::detail {

inline void check_same_shape(std::string_view name, const std::array<Index, 4>& was,
                             std::string_view of, const std::array<Index, 4>& expected) {
  if (was == expected) return;
  reject(name, "of shape " + list_text(was), list_text(expected).append(", that of ").append(of));
}

/// That an output is not where an input, or another output, is.
inline void check_apart_from_all(std::string_view name, const MemoryView& x,
                                 const BackwardTensors& tensors, const LseInput& lse,
                                 const AttentionOptions& options) {
  const auto apart = [&](std::string_view other_name, const MemoryView& other) {
    if (name != other_name) check_apart(name, x, other_name, other);
  };
  apart("dout", tensors.dout);
  apart("q", tensors.q);
  apart("k", tensors.k);
  apart("v", tensors.v);
  apart("out", tensors.out);
  apart("dq", tensors.dq);
  apart("dk", tensors.dk);
  apart("dv", tensors.dv);
  apart("lse", lse);
  check_apart_from_options(name, x, options);
}

COCA_FUNCTION void check_gradients(const BackwardTensors& tensors, const LseInput& lse,
                                   const AttentionOptions& options, const AttentionShape& shape) {
  check_view("out", tensors.out);
  check_view("dout", tensors.dout);
  const std::array<Index, 4> wanted{shape.batch, shape.queries, shape.query_heads, shape.value_dim};
  check_same_shape("out", tensors.out.shape, "coca::attention's result", wanted);
  check_same_shape("dout", tensors.dout.shape, "out", wanted);
  check_view("lse", lse);
  const std::array<Index, 3> rows{shape.batch, shape.query_heads, shape.queries};
  if (lse.shape != rows) {
    reject("lse", "of shape " + list_text(lse.shape),
           list_text(rows) + " = [batch, heads of q, sequence]");
  }
  const auto output = [&](std::string_view name, const AnyOutput& x, std::string_view of,
                          const AnyInput& operand) {
    check_output(name, x);
    check_same_shape(name, x.shape, of, operand.shape);
    check_apart_from_all(name, x, tensors, lse, options);
  };
  output("dq", tensors.dq, "q", tensors.q);
  output("dk", tensors.dk, "k", tensors.k);
  output("dv", tensors.dv, "v", tensors.v);
}

COCA_FUNCTION void check_more(const MoreGradients& more, const AttentionOptions& options,
                              const AttentionShape& shape, const BackwardTensors& tensors,
                              const LseInput& lse) {
  const auto workspace = workspace_view(options);
  const auto output = [&](std::string_view name, const MemoryView& x) {
    check_output(name, x);
    check_apart_from_all(name, x, tensors, lse, options);
    check_apart("options.workspace", workspace, name, x);
  };
  if (more.sinks) {
    output("more.sinks", more.sinks);
    if (more.bias) check_apart("more.sinks", more.sinks, "more.bias", more.bias);
    if (!options.sinks) reject("more.sinks", "given", "none, as there are no options.sinks");
    require_equal("more.sinks.shape[0]", more.sinks.shape[0], shape.query_heads, "heads of q");
  }
  if (more.bias) {
    output("more.bias", more.bias);
    if (more.sinks) check_apart("more.bias", more.bias, "more.sinks", more.sinks);
    const std::array<Index, 4> pairs{shape.batch, shape.query_heads, shape.queries, shape.keys};
    for (std::size_t axis = 0; axis < 4; ++axis) {
      if (more.bias.shape[axis] == pairs[axis] || more.bias.shape[axis] == 1) continue;
      reject("more.bias", "of shape " + list_text(more.bias.shape),
             list_text(pairs) + " with 1 where it is the same for all");
    }
  }
  check_apart_from_all("options.workspace", workspace, tensors, lse, options);
}

COCA_FUNCTION MoreGradients broadcast(MoreGradients more) {
  for (std::size_t axis = 0; axis < 4; ++axis) {
    if (more.bias.shape[axis] == 1) more.bias.strides[axis] = 0;
  }
  return more;
}

}  // namespace coca::inline v0::detail
