#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <type_traits>

#include "coca/cache/token_store.hpp"
#include "coca/core/error.hpp"
#include "coca/kernel/checks.hpp"
#include "coca/kernel/key_rows.hpp"
#include "coca/kernel/load.hpp"

namespace coca::inline v0::detail {

COCA_FUNCTION void check_precision(const PanelLayout& layout, std::string_view name,
                                   ElementType type) {
  const bool wide = layout.type == ElementType::float64;
  if ((type == ElementType::float64) == wide) return;
  if (wide) reject(name, "not double", "double, as the cache is");
  reject(name, "double", "another type, as the cache is not double");
}

COCA_FUNCTION void check_tokens(const PanelLayout& layout, const AnyInput& k, const AnyInput& v,
                                Index batch, bool packed) {
  check_view("k", k);
  check_view("v", v);
  check_tokens_number(packed ? "k.shape[0] (tokens)" : "k.shape[1] (tokens)", k.shape[1], 0);
  const auto check = [&](const char* name, const AnyInput& x, Index dim) {
    const std::array<Index, 4> wanted{batch, k.shape[1], layout.heads, dim};
    if (x.shape == wanted) return;
    const auto text = [packed](const std::array<Index, 4>& shape) {
      return list_text(std::span(shape).subspan(packed ? 1 : 0));
    };
    reject(name, "of shape " + text(x.shape),
           text(wanted) + (packed ? " = [tokens" : " = [sequences, tokens") +
               ", heads and width of the cache]");
  };
  check("k", k, layout.key_dim);
  check("v", v, layout.value_dim);
  check_precision(layout, "k", k.type);
  check_precision(layout, "v", v.type);
}

COCA_FUNCTION float TokenStore::quantise(const float* from, std::int8_t* to, Index count) {
  float largest = 0.0F;
  bool finite = true;
  for (Index i = 0; i < count; ++i) {
    largest = std::max(largest, std::fabs(from[i]));
    finite = finite && std::isfinite(from[i]);
  }
  if (!finite) {
    std::fill_n(to, count, std::int8_t{1});
    return std::numeric_limits<float>::quiet_NaN();
  }
  // Below the smallest normal number, the scale would lose its bits: such a row is 0.
  const float scale = largest / 127.0F;
  const bool vanishes = scale < std::numeric_limits<float>::min();
  for (Index i = 0; i < count; ++i) {
    to[i] = vanishes ? std::int8_t{0} : static_cast<std::int8_t>(std::lround(from[i] / scale));
  }
  return vanishes ? 1.0F : scale;
}

template <Real T>
float TokenStore::narrow(const AnyInput& x, Index batch, Index token, Index head) {
  const NarrowEngine& engine = narrow_engine(target());
  const TokenRows<const std::byte> rows(x, batch, head);
  const Index count = rows.width;
  scratch_.resize(static_cast<std::size_t>(count) * sizeof(T));
  row_.resize(static_cast<std::size_t>(count) * sizeof(T));
  const T* from = contiguous_row(&engine, rows, token, reinterpret_cast<T*>(scratch_.data()));
  if constexpr (std::is_same_v<T, float>) {
    auto* words = reinterpret_cast<std::uint16_t*>(row_.data());
    switch (layout_.type) {
      case ElementType::bfloat16:
        engine.scale_to_bfloat16(from, words, 1, count, 1.0F);
        return 1.0F;
      case ElementType::float16:
        engine.scale_to_half(from, words, 1, count, 1.0F);
        return 1.0F;
      case ElementType::int8:
        return quantise(from, reinterpret_cast<std::int8_t*>(row_.data()), count);
      default:
        break;
    }
  }
  std::memcpy(row_.data(), from, static_cast<std::size_t>(count) * sizeof(T));
  return 1.0F;
}

template <Real T>
bool TokenStore::stored_finite(float scale) const {
  if (layout_.scaled()) return std::isfinite(scale);
  const auto all = [&](const auto* x) {
    return std::all_of(x, x + layout_.value_dim,
                       [](auto value) { return std::isfinite(static_cast<T>(value)); });
  };
  switch (layout_.type) {
    case ElementType::bfloat16:
      return all(reinterpret_cast<const Eigen::bfloat16*>(row_.data()));
    case ElementType::float16:
      return all(reinterpret_cast<const Eigen::half*>(row_.data()));
    default:
      return all(reinterpret_cast<const T*>(row_.data()));
  }
}

template <Real T>
bool TokenStore::write(const AnyInput& k, const AnyInput& v, Index batch, Index token,
                       const PanelPlace& to) {
  const Index bytes = element_bytes(layout_.type);
  bool finite = true;
  for (Index head = 0; head < layout_.heads; ++head) {
    std::byte* keys = layout_.keys(to.page, head, to.panel);
    const float key_scale = narrow<T>(k, batch, token, head);
    for (Index i = 0; i < layout_.key_dim; ++i) {
      std::memcpy(keys + layout_.key_offset(to.lane, i), row_.data() + i * bytes,
                  static_cast<std::size_t>(bytes));
    }
    std::byte* values = layout_.values(to.page, head, to.panel);
    const float value_scale = narrow<T>(v, batch, token, head);
    for (Index i = 0; i < layout_.value_dim; i += kPanelTokens) {
      std::memcpy(values + layout_.value_offset(to.lane, i), row_.data() + i * bytes,
                  static_cast<std::size_t>(std::min(kPanelTokens, layout_.value_dim - i) * bytes));
    }
    if (layout_.scaled()) {
      layout_.key_scales(to.page, head, to.panel)[to.lane] = key_scale;
      layout_.value_scales(to.page, head, to.panel)[to.lane] = value_scale;
    }
    finite = finite && stored_finite<T>(value_scale);
  }
  return finite;
}

COCA_FUNCTION bool TokenStore::write(const AnyInput& k, const AnyInput& v, Index batch, Index token,
                                     const PanelPlace& to) {
  return layout_.type == ElementType::float64 ? write<double>(k, v, batch, token, to)
                                              : write<float>(k, v, batch, token, to);
}

COCA_FUNCTION void read_tokens(const PanelLayout& layout, const PanelSequence& sequence,
                               const AnyOutput& k, const AnyOutput& v) {
  check_output("k", k);
  check_output("v", v);
  const auto check = [&](const char* name, const AnyOutput& x, Index dim) {
    const std::array<Index, 4> wanted{1, sequence.tokens(), layout.heads, dim};
    if (x.shape == wanted) return;
    reject(name, "of shape " + list_text(std::span(x.shape).subspan(1)),
           list_text(std::span(wanted).subspan(1)) + " = [tokens, heads, width]");
  };
  check("k", k, layout.key_dim);
  check("v", v, layout.value_dim);
  check_apart("k", k, "v", v);
  check_precision(layout, "k", k.type);
  check_precision(layout, "v", v.type);
  const auto read = [&]<Real T>(T) {
    std::vector<T> row(static_cast<std::size_t>(std::max(layout.key_dim, layout.value_dim)));
    // Not the engine's: a program that reads no cache would compile it all the same.
    const auto scale = [](const T* from, T* to, Index count, T factor) {
      for (Index i = 0; i < count; ++i) to[i] = from[i] * factor;
    };
    const NarrowEngine* narrow = &narrow_engine(target());
    for (Index token = 0; token < sequence.tokens(); ++token) {
      const PanelPlace at = sequence.place(layout, token);
      for (Index head = 0; head < layout.heads; ++head) {
        store_row<T>(scale, narrow, cached_key(layout, at, head, row.data()),
                     TokenRows<std::byte>(k, 0, head), token, T(1));
        store_row<T>(scale, narrow, cached_value(layout, at, head, row.data()),
                     TokenRows<std::byte>(v, 0, head), token, T(1));
      }
    }
  };
  layout.type == ElementType::float64 ? read(double{}) : read(float{});
}

}  // namespace coca::inline v0::detail
