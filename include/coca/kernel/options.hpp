#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "coca/core/any_view.hpp"
#include "coca/core/scalar.hpp"
#include "coca/core/view.hpp"

namespace coca::inline v0 {

/// What a call of attention may ask for beyond its tensors, scheme and mask.
struct AttentionOptions {
  /// Factor on every score; 1/sqrt(head_dim of q) unless given.
  std::optional<double> scale = std::nullopt;

  /// If positive, scores become soft_cap * tanh(score / soft_cap) after scaling, before the mask.
  double soft_cap = 0.0;

  /// Position of the first query, in tokens. Unless given, the last query stands where the last key
  /// does: first_key + keys - queries.
  std::optional<Position> first_query = std::nullopt;

  /// Position of the first key, in tokens.
  Position first_key = 0;

  /// Positions for the scheme, token by token, [batch or 1, sequence]. Masks keep to first_query
  /// and first_key: in a causal model order is order, whatever the position ids say.
  View<const Position, 2> query_ids{};
  View<const Position, 2> key_ids{};  ///< the same of keys

  /// One logit a query head, [query heads], natural units: it joins the denominator of the softmax
  /// with no value of its own, and is neither scaled nor capped (gpt-oss). A View of float or double.
  AnyInputView<1> sinks{};

  /// If given, receives the natural logarithm of the softmax denominator, sinks included:
  /// [batch, query heads, queries]; -inf where a query sees no key and there is no sink. A View of float or double.
  AnyOutputView<3> lse{};

  /// Work memory for this call, workspace_bytes(...) of it or more, of any alignment; unless given,
  /// the calling thread's own is used, which is kept for its next call. Calls that run at the same
  /// time must not share it.
  std::span<std::byte> workspace{};

  /// Also look into the key operand for values the scheme forbids, such as a negative t.
  bool checked = false;
};

}  // namespace coca::inline v0
