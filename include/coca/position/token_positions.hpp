#pragma once

#include <string_view>

#include "coca/core/aligned.hpp"
#include "coca/core/error.hpp"
#include "coca/core/scalar.hpp"
#include "coca/core/view.hpp"

/// Which position each token of a tensor has.
namespace coca::inline v0 {

/// Where the tokens of a tensor stand.
struct TokenPositions {
  Position first = 0;             ///< token i of its sequence stands at first + i ...
  View<const Position, 2> ids{};  ///< ... unless given: [batch or 1, place in the tensor]

  /// Of what is at `place` in the tensor, and token number `token` of its sequence.
  Position operator()(Index batch, Index place, Index token) const {
    if (ids.data == nullptr) return first + token;
    return ids(ids.shape[0] == 1 ? 0 : batch, place);
  }
  /// A sequence that begins where the tensor does.
  Position operator()(Index batch, Index token) const { return (*this)(batch, token, token); }

  /// Rejects ids which do not fit `batch` sequences of `tokens` tokens, or are not aligned.
  void check(std::string_view argument, Index batch, Index tokens) const {
    if (ids.data == nullptr) return;
    detail::check_aligned(argument, ids);
    const bool fits = (ids.shape[0] == 1 || ids.shape[0] == batch) && ids.shape[1] == tokens;
    if (fits) return;
    detail::reject(argument, {"of shape ", ids.shape}, {"[", batch, " or 1, ", tokens, "]"});
  }
};

}  // namespace coca::inline v0
