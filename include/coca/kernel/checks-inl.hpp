#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "coca/kernel/checks.hpp"
#include "coca/kernel/load.hpp"
#include "coca/position/token_positions.hpp"

namespace coca::inline v0::detail {

/// The lowest and one past the highest address a view reaches.
inline std::pair<std::uintptr_t, std::uintptr_t> address_range(const MemoryView& x) {
  Index low = 0;
  Index high = 1;
  for (std::size_t axis = 0; axis < x.rank; ++axis) {
    const Index reach = (x.shape[axis] - 1) * x.strides[axis];
    (reach < 0 ? low : high) += reach;
  }
  const auto first = reinterpret_cast<std::uintptr_t>(x.data);
  const Index bytes = x.element_bytes;
  return {first + static_cast<std::uintptr_t>(low * bytes),
          first + static_cast<std::uintptr_t>(high * bytes)};
}

inline std::span<const Index> extents(const MemoryView& x) { return {x.shape, x.rank}; }

COCA_FUNCTION void check_extents(std::string_view name, const MemoryView& x) {
  for (const Index extent : extents(x)) {
    if (extent < 0) reject(name, {"of shape ", extents(x)}, "extents of 0 or more");
  }
}

COCA_FUNCTION void check_view(std::string_view name, const MemoryView& x) {
  check_extents(name, x);
  if (!x.empty() && x.data == nullptr) {
    reject(name, {"a null pointer of shape ", extents(x)}, "memory behind it");
  }
  check_aligned(name, x);
}

COCA_FUNCTION void check_output(std::string_view name, const MemoryView& x) {
  check_view(name, x);
  if (x.empty()) return;
  for (std::size_t axis = 0; axis < x.rank; ++axis) {
    if (x.shape[axis] > 1 && x.strides[axis] == 0) {
      reject({name, ".strides"}, std::span(x.strides, x.rank),
             "none of 0 in a tensor that is written");
    }
  }
}

COCA_FUNCTION void check_apart(std::string_view out_name, const MemoryView& out,
                               std::string_view in_name, const MemoryView& in) {
  // A tensor of shapes alone stands for a cache.
  if (out.empty() || in.empty() || in.data == nullptr) return;
  const auto [out_begin, out_end] = address_range(out);
  const auto [in_begin, in_end] = address_range(in);
  if (out_begin < in_end && in_begin < out_end) {
    reject(out_name, {"in the same memory as ", in_name}, "memory of its own");
  }
}

/// Tensors whose strides are 0 may be of any size. Up to these, rows and bytes of work memory can be counted.
inline constexpr Index kMostDim = Index{1} << 40;
inline constexpr double kMostRows = 0x1p62;

/// The extents that a caller knows of: packed tensors have no batch.
inline std::span<const Index> shown(const std::array<Index, 4>& extents, bool packed) {
  return std::span(extents).subspan(packed ? 1 : 0);
}

COCA_FUNCTION AttentionShape check_inputs(const AnyInput& q, const AnyInput& k, const AnyInput& v,
                                          bool packed) {
  check_extents("q", q);
  check_extents("k", k);
  check_extents("v", v);
  const AttentionShape shape{.batch = q.shape[0],
                             .queries = q.shape[1],
                             .keys = k.shape[1],
                             .query_heads = q.shape[2],
                             .key_heads = k.shape[2],
                             .query_dim = q.shape[3],
                             .value_dim = v.shape[3]};
  const auto same = [&](const char* tensor, Index number, const char* meaning, Index was,
                        Index expected, const char* why) {
    if (was == expected) return;  // before its text's pieces are put down
    require_equal({tensor, ".shape[", number - packed, "] (", meaning, ")"}, was, expected, why);
  };
  same("k", 0, "batch", k.shape[0], shape.batch, "that of q");
  same("v", 0, "batch", v.shape[0], shape.batch, "that of q");
  same("v", 1, "sequence", v.shape[1], shape.keys, "that of k");
  same("v", 2, "heads", v.shape[2], shape.key_heads, "that of k");
  const bool groups =
      shape.key_heads == 0 ? shape.query_heads == 0 : shape.query_heads % shape.key_heads == 0;
  if (!groups) {
    reject({"k.shape[", Index{2} - packed, "] (heads)"}, shape.key_heads,
           {"a divisor of the ", shape.query_heads, " heads of q"});
  }
  const auto dim = [&](const char* tensor, Index was) {
    if (was >= 1 && was <= kMostDim) return;
    reject({tensor, ".shape[", Index{3} - packed, "] (head_dim)"}, was,
           was < 1 ? "1 or more" : "at most 2^40");
  };
  dim("q", shape.query_dim);
  dim("v", shape.value_dim);
  const double rows = static_cast<double>(shape.batch) * static_cast<double>(shape.queries) *
                      static_cast<double>(shape.query_heads);
  if (rows > kMostRows) {
    reject("q", {"of shape ", shown(q.shape, packed)}, "at most 2^62 rows in all heads");
  }
  return shape;
}

COCA_FUNCTION void check_result(const Tensors& tensors, const AttentionShape& shape, bool packed) {
  const auto& [out, q, k, v] = tensors;
  check_output("out", out);
  const std::array<Index, 4> wanted{shape.batch, shape.queries, shape.query_heads, shape.value_dim};
  if (out.shape != wanted) {
    reject("out", {"of shape ", shown(out.shape, packed)},
           {shown(wanted, packed), packed ? " = [sequence" : " = [batch, sequence",
            ", heads of q, head_dim of v]"});
  }
  check_apart("out", out, "q", q);
  check_apart("out", out, "k", k);
  check_apart("out", out, "v", v);
}

COCA_FUNCTION AttentionShape check_tensors(const Tensors& tensors, bool packed) {
  check_extents("out", tensors.out);
  check_view("q", tensors.q);
  check_view("k", tensors.k);
  check_view("v", tensors.v);
  const AttentionShape shape = check_inputs(tensors.q, tensors.k, tensors.v, packed);
  check_result(tensors, shape, packed);
  return shape;
}

COCA_FUNCTION void check_apart_from_tensors(std::string_view name, const MemoryView& x,
                                            const Tensors& tensors) {
  check_apart(name, x, "out", tensors.out);
  check_apart(name, x, "q", tensors.q);
  check_apart(name, x, "k", tensors.k);
  check_apart(name, x, "v", tensors.v);
}

COCA_FUNCTION void check_inputs_of_options(const AttentionOptions& options,
                                           const AttentionShape& shape) {
  if (options.scale && !std::isfinite(*options.scale)) {
    reject("options.scale", *options.scale, "finite");
  }
  if (!(options.soft_cap >= 0.0) || !std::isfinite(options.soft_cap)) {
    reject("options.soft_cap", options.soft_cap, "0 (none) or positive, and finite");
  }
  if (options.sinks) {
    check_view("options.sinks", options.sinks);
    require_equal("options.sinks.shape[0]", options.sinks.shape[0], shape.query_heads,
                  "heads of q");
  }
  TokenPositions{0, options.query_ids}.check("options.query_ids", shape.batch, shape.queries);
  TokenPositions{0, options.key_ids}.check("options.key_ids", shape.batch, shape.keys);
}

COCA_FUNCTION void check_apart_from_options(std::string_view name, const MemoryView& x,
                                            const AttentionOptions& options) {
  if (options.sinks) check_apart(name, x, "options.sinks", options.sinks);
  check_apart(name, x, "options.query_ids", options.query_ids);
  check_apart(name, x, "options.key_ids", options.key_ids);
}

COCA_FUNCTION void check_options(const AttentionOptions& options, const AttentionShape& shape,
                                 const Tensors& tensors) {
  check_inputs_of_options(options, shape);
  check_apart_from_options("out", tensors.out, options);
  const auto workspace = workspace_view(options);
  if (options.lse) {
    const AnyOutputView<3>& lse = options.lse;
    check_output("options.lse", lse);
    const std::array<Index, 3> wanted{shape.batch, shape.query_heads, shape.queries};
    if (lse.shape != wanted) {
      reject("options.lse", {"of shape ", lse.shape}, {wanted, " = [batch, heads of q, sequence]"});
    }
    check_apart_from_tensors("options.lse", lse, tensors);
    check_apart_from_options("options.lse", lse, options);
    check_apart("options.workspace", workspace, "options.lse", lse);
  }
  check_apart_from_tensors("options.workspace", workspace, tensors);
  check_apart_from_options("options.workspace", workspace, options);
}

COCA_FUNCTION double score_scale(const AttentionOptions& options, const AttentionShape& shape) {
  return options.scale.value_or(1.0 / std::sqrt(static_cast<double>(shape.query_dim)));
}

COCA_FUNCTION void check_widths(const SchemeWidths& widths, Index query_dim, Index key_width,
                                std::string_view name) {
  if (widths.score < 1) reject("scheme.score_dim", widths.score, "1 or more");
  if (widths.keeps_queries) {
    require_equal("scheme.score_dim", widths.score, query_dim,
                  "head_dim of q, which it keeps as it is");
  }
  if (widths.keeps_keys) {
    require_equal("scheme.score_dim", widths.score, widths.key,
                  "key_dim, as it keeps keys as they are");
  }
  require_equal(name, key_width, widths.key, "what the scheme takes");
}

template <Real T>
void check_key_rows(const AnyInput& k, bool packed, const void* scheme,
                    const char* (*defect)(const void* scheme, std::span<const T> key)) {
  std::vector<T> scratch(static_cast<std::size_t>(k.shape[3]));
  for (Index b = 0; b < k.shape[0]; ++b) {
    for (Index n = 0; n < k.shape[1]; ++n) {
      for (Index h = 0; h < k.shape[2]; ++h) {
        const T* row = contiguous_row(&narrow_engine(target()), TokenRows<const std::byte>(k, b, h),
                                      n, scratch.data());
        if (const char* what = defect(scheme, std::span(row, scratch.size()))) {
          const std::array<Index, 3> place{b, n, h};
          reject({"k", std::span(place).subspan(packed ? 1 : 0)}, what,
                 "what its scheme allows: 0 or more");
        }
      }
    }
  }
}

}  // namespace coca::inline v0::detail
