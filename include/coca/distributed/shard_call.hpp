#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>

#include "coca/attention.hpp"
#include "coca/core/any_tensor.hpp"
#include "coca/core/error.hpp"
#include "coca/core/view.hpp"
#include "coca/core/workspace.hpp"
#include "coca/distributed/communicator.hpp"
#include "coca/distributed/shards.hpp"
#include "coca/kernel/checks.hpp"
#include "coca/kernel/options.hpp"

/// What calls over several ranks have in common: checks, parts of tensors, work memory.
namespace coca::inline v0::detail {

/// Indices begin .. begin + count - 1 of an axis.
template <class T, int Rank>
View<T, Rank> part_of(View<T, Rank> x, std::size_t axis, Index begin, Index count) {
  x.data += begin * x.strides[axis];
  x.shape[axis] = count;
  return x;
}
template <class T>
TensorView<T> tokens_of(const TensorView<T>& x, Index begin, Index count) {
  return part_of(x, 1, begin, count);
}
template <class T>
TensorView<T> heads_of(const TensorView<T>& x, Index begin, Index end) {
  return part_of(x, 2, begin, end - begin);
}

/// [batch, heads, sequence], as log-sum-exps are, as a tensor of width 1.
template <class T>
TensorView<T> as_tensor(const View<T, 3>& lse) {
  const auto [batch, heads, sequence] = lse.shape;
  return {
      lse.data, {batch, sequence, heads, 1}, {lse.strides[0], lse.strides[2], lse.strides[1], 1}};
}

/// Element by element, of the same shape.
template <class From, class To>
void copy_elements(const TensorView<const From>& from, const TensorView<To>& to) {
  const Index width = from.shape[3];
  const bool rows = from.strides[3] == 1 && to.strides[3] == 1;
  for (Index b = 0; b < from.shape[0]; ++b) {
    for (Index n = 0; n < from.shape[1]; ++n) {
      for (Index h = 0; h < from.shape[2]; ++h) {
        const From* x = &from(b, n, h, 0);
        To* y = &to(b, n, h, 0);
        if constexpr (std::is_same_v<From, To>) {
          if (rows) {
            std::copy_n(x, width, y);
            continue;
          }
        }
        for (Index i = 0; i < width; ++i) {
          y[i * to.strides[3]] = static_cast<To>(x[i * from.strides[3]]);
        }
      }
    }
  }
}

/// Gives log-sum-exps to who asked for them.
template <Real T>
void store_lse(const View<const T, 3>& lse, const AttentionOptions& options) {
  options.lse.with_view([&](const auto& to) { copy_elements(as_tensor(lse), as_tensor(to)); });
}

/// Memory for what ranks send and gather, which the calling thread keeps for its next call.
inline Arena& rank_arena() {
  thread_local Arena arena;
  return arena;
}

inline void check_places_follow(const AttentionOptions& options, std::string_view from) {
  if (options.first_query || options.first_key != 0) {
    reject("options.first_query or first_key", "given",
           std::string("none: positions follow from ").append(from));
  }
  if (options.query_ids.data != nullptr || options.key_ids.data != nullptr) {
    reject("options.query_ids or key_ids", "given",
           std::string("none: positions follow from ").append(from));
  }
}

inline void check_workspace(const AttentionOptions& options, std::size_t bytes) {
  if (!options.workspace.empty() && options.workspace.size() < bytes) {
    reject("options.workspace.size()", std::to_string(options.workspace.size()),
           std::to_string(bytes) + " or more");
  }
}

/// All that can be said of a rank's tensors before anything is sent, but for the mask.
template <Real T, class S>
AttentionShape check_shard(const Tensors& tensors, const distributed::Shards& shards,
                           const distributed::Communicator& ranks, const S& scheme,
                           const AttentionOptions& options) {
  require_equal("shards.ranks()", shards.ranks(), ranks.size(), "ranks of the communicator");
  const AttentionShape shape = check_tensors(tensors);
  const Index tokens = shards.tokens(ranks.rank());
  require_equal("q.shape[1] (sequence)", shape.queries, tokens, "this rank's tokens");
  require_equal("k.shape[1] (sequence)", shape.keys, tokens, "this rank's tokens");
  check_scheme<T>(scheme, tensors.k.shape[3], shape);
  check_options(options, shape, tensors);
  check_places_follow(options, "the shards");
  if (options.checked) check_keys<T>(scheme, tensors.k, false);
  return shape;
}

}  // namespace coca::inline v0::detail
