#pragma once

#include <array>
#include <cstddef>

#include "coca/core/scalar.hpp"
#include "coca/core/workspace.hpp"
#include "coca/kernel/tile_engine.hpp"

/// How a cache holds its tokens, as the kernels see it.
///
/// A page holds, head by head, some panels. A panel is 16 tokens: their keys coordinate by coordinate,
/// 16 tokens side by side; their values 16 columns at a time, in those token by token, with zeros up
/// to a multiple of 16; and for int8 their scales, a number each. So the products read memory from
/// front to back.
namespace coca::inline v0::detail {

/// Where things are in a page.
struct PanelLayout {
  Index heads = 0;
  Index key_dim = 0;
  Index value_dim = 0;
  Index panels = 0;  ///< in a page
  ElementType type = ElementType::float32;

  /// Columns of a row of values.
  Index value_width() const { return (value_dim + 15) / 16 * 16; }
  Index page_tokens() const { return panels * kPanelTokens; }

  std::size_t page_bytes() const { return static_cast<std::size_t>(heads * head_bytes()); }
  /// What one token of one head takes.
  Index token_bytes() const {
    return (key_dim + value_width()) * element_bytes(type) + (scaled() ? 8 : 0);
  }
  /// Whether there are scales.
  bool scaled() const { return type == ElementType::int8; }

  std::byte* keys(std::byte* page, Index head, Index panel) const {
    return page + head * head_bytes() + panel * key_bytes();
  }
  std::byte* values(std::byte* page, Index head, Index panel) const {
    return keys(page, head, 0) + panels * key_bytes() + panel * value_bytes();
  }
  /// Bytes from the first key, or value, of a panel to coordinate i of that at a lane.
  Index key_offset(Index lane, Index i) const {
    return (i * kPanelTokens + lane) * element_bytes(type);
  }
  Index value_offset(Index lane, Index i) const {
    return value_place(lane, i) * element_bytes(type);
  }
  /// The same in elements.
  static Index value_place(Index lane, Index i) {
    return (i / kPanelTokens * kPanelTokens + lane) * kPanelTokens + i % kPanelTokens;
  }
  float* key_scales(std::byte* page, Index head, Index panel) const {
    return reinterpret_cast<float*>(values(page, head, panels)) + panel * kPanelTokens;
  }
  float* value_scales(std::byte* page, Index head, Index panel) const {
    return key_scales(page, head, panels + panel);
  }

 private:
  Index key_bytes() const { return kPanelTokens * key_dim * element_bytes(type); }
  Index value_bytes() const { return kPanelTokens * value_width() * element_bytes(type); }
  Index head_bytes() const {
    const Index scales = scaled() ? 2 * kPanelTokens * 4 : 0;
    return static_cast<Index>(
        aligned_bytes(static_cast<std::size_t>(panels * (key_bytes() + value_bytes() + scales))));
  }
};

/// Tokens that follow each other, in panels that do.
struct PanelRun {
  std::byte* const* pages = nullptr;
  Index first_lane = 0;  ///< of the first token: how many dead ones there are before it
  Index tokens = 0;
  Index first_token = 0;  ///< its place in the sequence

  /// A block of panels is kTileKeys lanes.
  Index lanes() const { return tokens == 0 ? 0 : first_lane + tokens; }
};

/// Where a token is.
struct PanelPlace {
  std::byte* page;
  Index panel;  ///< within the page
  Index lane;
};

/// One sequence of a cache: one run, or two where tokens between them were dropped.
struct PanelSequence {
  std::array<PanelRun, 2> runs{};
  bool finite = true;  ///< no value of it is NaN or infinite

  Index tokens() const { return runs[0].tokens + runs[1].tokens; }

  PanelPlace place(const PanelLayout& layout, Index token) const {
    const PanelRun& run = token < runs[0].tokens ? runs[0] : runs[1];
    const Index lane = run.first_lane + token - run.first_token;
    return place(layout, run, lane / kPanelTokens, lane % kPanelTokens);
  }
  static PanelPlace place(const PanelLayout& layout, const PanelRun& run, Index panel,
                          Index lane = 0) {
    return {run.pages[panel / layout.panels], panel % layout.panels, lane};
  }
};

}  // namespace coca::inline v0::detail
