#pragma once

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "coca/core/aligned.hpp"
#include "coca/core/error.hpp"
#include "coca/core/view.hpp"
#include "coca/mask/mask.hpp"

namespace coca::inline v0 {

/// Several documents in one sequence, none of which sees another: a query sees the keys of its own
/// document. `ids` is [batch or 1, tokens], the document of the token at each position from 0 on, for
/// all positions of the call; any numbers, in any order, though documents one behind the other cost
/// least. Not copied: it must outlive the mask. Packed sequences (packed_attention) do the same where
/// documents follow each other.
class Documents : public MaskDefaults {
 public:
  /// [batch or 1, tokens].
  explicit Documents(View<const Position, 2> ids) : ids_(ids) {}

  void check(const AttentionShape& shape) const {
    detail::check_aligned("documents.ids", ids_);
    if (ids_.shape[0] == 1 || ids_.shape[0] == shape.batch) return;
    detail::reject("documents.ids", "of shape " + detail::list_text(ids_.shape),
                   "[" + std::to_string(shape.batch) + " or 1, tokens]");
  }
  Coverage classify(const MaskTile& tile) const {
    const auto [first_query, last_query] = range(tile.batch, tile.first_query(), tile.last_query());
    const auto [first_key, last_key] = range(tile.batch, tile.first_key(), tile.last_key());
    if (last_key < first_query || first_key > last_query) return Coverage::empty;
    const bool one = first_query == last_query && first_key == last_key;
    return one ? Coverage::full : Coverage::mixed;
  }
  bool visible(const Site& site) const {
    return document(site.batch, site.query()) == document(site.batch, site.key());
  }

 private:
  /// A position beyond the ids is of no document that there is, and sees others like it.
  Position document(Index batch, Position token) const {
    if (token < 0 || token >= ids_.shape[1]) return std::numeric_limits<Position>::min();
    return ids_(ids_.shape[0] == 1 ? 0 : batch, token);
  }
  /// The least and the largest document of some tokens.
  std::pair<Position, Position> range(Index batch, Position first, Position last) const {
    Position least = document(batch, first);
    Position largest = least;
    for (Position token = first + 1; token <= last; ++token) {
      const Position own = document(batch, token);
      least = std::min(least, own);
      largest = std::max(largest, own);
    }
    return {least, largest};
  }

  View<const Position, 2> ids_;
};

}  // namespace coca::inline v0
