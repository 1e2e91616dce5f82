#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <type_traits>
#include <utility>

#include "coca/core/scalar.hpp"
#include "coca/position/panel_turns.hpp"

/// The rotations of the first positions, laid out for keys that lie side by side.
namespace coca::inline v0::detail {

class PanelAngles {
 public:
  static constexpr Index tokens = 16;
  static constexpr Index panels = 8;

  /// For so many pairs; made when first asked for. cos_sin(n, cosines, sines) writes the angles of
  /// position n, up to a multiple of 16 of them.
  template <Real T, class CosSin>
  PanelTurns<T> turns(Index pairs, const CosSin& cos_sin) const {
    auto& [made, values, integers] = table<T>();
    const Index whole = (pairs + 15) / 16 * 16;
    const Index places = 2 * tokens * pairs;
    std::call_once(made, [&, &values = values, &integers = integers] {
      auto table = std::make_unique<T[]>(static_cast<std::size_t>(places + 2 * panels * whole));
      for (Index p = 0; p < panels; ++p) {
        T* to = table.get() + places + 2 * p * whole;
        cos_sin(-tokens * p, to, to + whole);
      }
      auto row = std::make_unique<T[]>(static_cast<std::size_t>(2 * whole));
      for (Index i = 0; i < tokens; ++i) {
        cos_sin(i, row.get(), row.get() + whole);
        for (Index j = 0; j < pairs; ++j) {
          table[static_cast<std::size_t>(2 * tokens * j + i)] = row[static_cast<std::size_t>(j)];
          table[static_cast<std::size_t>(2 * tokens * j + tokens + i)] =
              row[static_cast<std::size_t>(whole + j)];
        }
      }
      integers = in_integers(table.get(), pairs);
      values = std::move(table);
    });
    return {values.get(), values.get() + places, 2 * whole, integers.get()};
  }

 private:
  template <Real T>
  static std::unique_ptr<std::int16_t[]> in_integers(const T* places, Index pairs) {
    auto table = std::make_unique<std::int16_t[]>(static_cast<std::size_t>(4 * tokens * pairs));
    std::int16_t* to = table.get();
    for (Index j = 0; j < pairs; ++j, places += 2 * tokens, to += 4 * tokens) {
      for (Index i = 0; i < tokens; ++i) {
        const auto cosine = static_cast<std::int16_t>(std::lround(places[i] * T(0x1p13)));
        const auto sine = static_cast<std::int16_t>(std::lround(places[tokens + i] * T(0x1p13)));
        to[2 * i] = cosine;
        to[2 * i + 1] = sine;
        to[2 * tokens + 2 * i] = static_cast<std::int16_t>(-sine);
        to[2 * tokens + 2 * i + 1] = cosine;
      }
    }
    return table;
  }

  template <Real T>
  struct Table {
    std::once_flag made;
    std::unique_ptr<T[]> values;
    std::unique_ptr<std::int16_t[]> integers;
  };
  template <Real T>
  Table<T>& table() const {
    if constexpr (std::is_same_v<T, float>) {
      return of_float_;
    } else {
      return of_double_;
    }
  }

  mutable Table<float> of_float_;
  mutable Table<double> of_double_;
};

}  // namespace coca::inline v0::detail
