#pragma once

#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <utility>

#include "coca/position/multi_rope.hpp"

namespace coca::inline v0 {

namespace detail {

/// Of no less than 0 pairs each. Returns how many there are in all.
COCA_FUNCTION Index check_sections(std::span<const Index> sections) {
  for (const Index pairs : sections) {
    if (pairs < 0) reject("sections", std::to_string(pairs), "0 or more pairs");
  }
  return std::accumulate(sections.begin(), sections.end(), Index{0});
}

}  // namespace detail

COCA_FUNCTION std::vector<Index> axes_by_section(std::span<const Index> sections) {
  std::vector<Index> axes;
  axes.reserve(static_cast<std::size_t>(detail::check_sections(sections)));
  for (std::size_t axis = 0; axis < sections.size(); ++axis) {
    for (Index j = 0; j < sections[axis]; ++j) axes.push_back(static_cast<Index>(axis));
  }
  return axes;
}

COCA_FUNCTION std::vector<Index> axes_in_turn(std::span<const Index> sections) {
  const auto count = static_cast<Index>(sections.size());
  std::vector<Index> axes(static_cast<std::size_t>(detail::check_sections(sections)), 0);
  for (Index axis = 1; axis < count; ++axis) {
    const Index end = sections[static_cast<std::size_t>(axis)] * count;
    for (Index j = axis; j < std::min(end, static_cast<Index>(axes.size())); j += count) {
      axes[static_cast<std::size_t>(j)] = axis;
    }
  }
  return axes;
}

COCA_FUNCTION MultiRope::MultiRope(Rope rope, std::vector<Index> axes, View<const Position, 3> ids)
    : rope_(std::move(rope)) {
  detail::require_equal("axes.size", static_cast<Index>(axes.size()), rope_.rotary_dim() / 2,
                        "rotary_dim / 2");
  if (ids.shape[0] < 1 || ids.shape[0] > static_cast<Index>(kMostAxes)) {
    detail::reject("ids.shape[0] (axes)", std::to_string(ids.shape[0]), "from 1 to 4");
  }
  for (const Index axis : axes) {
    if (axis >= 0 && axis < ids.shape[0]) continue;
    detail::reject("axes", std::to_string(axis),
                   "from 0 to " + std::to_string(ids.shape[0] - 1) + ", as ids has them");
  }
  detail::check_aligned("ids", ids);
  auto table = std::make_shared<Table>();
  table->axes = std::move(axes);
  table->used = ids.shape[0];
  table->batches = ids.shape[1];
  table->tokens = ids.shape[2];
  for (Index b = 0; b < ids.shape[1]; ++b) {
    Position largest = -1;
    for (Index n = 0; n < ids.shape[2]; ++n) {
      Place place{};
      for (Index axis = 0; axis < ids.shape[0]; ++axis) {
        place[static_cast<std::size_t>(axis)] = ids(axis, b, n);
        largest = std::max(largest, ids(axis, b, n));
      }
      table->places.push_back(place);
    }
    table->next.push_back(largest + 1);
  }
  table_ = std::move(table);
}

COCA_FUNCTION void MultiRope::check(Index query_dim, Index sequences) const {
  rope_.check(query_dim, sequences);
  if (table_->batches == 1 || table_->batches == sequences) return;
  detail::reject("rope.ids.shape[1] (batch)", std::to_string(table_->batches),
                 std::to_string(sequences) + " or 1, as the call has sequences");
}

}  // namespace coca::inline v0
