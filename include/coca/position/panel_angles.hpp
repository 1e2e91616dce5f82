#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <tuple>
#include <utility>

#include "coca/core/scalar.hpp"

/// The rotations of the first positions, laid out for keys that lie side by side.
namespace coca::inline v0::detail {

/// The rotations by i + 16 p, i < 16, p < 8, as those by i and those by 16 p: position b + 16 p + i is
/// the turn by b + 16 p, which the query takes upon it, and then the key's by i. So a few kilobytes are
/// all the angles that decoding needs, however long the sequence.
template <Real T>
struct PanelTurns {
  const T* places;  ///< of i: for each pair, 16 cosines and 16 sines
  const T*
      panels;  ///< of -16 p: `stride` numbers, cosines of all pairs in the first half, then sines
  Index stride;
};

class PanelAngles {
 public:
  static constexpr Index tokens = 16;
  static constexpr Index panels = 8;

  /// For so many pairs; made when first asked for. cos_sin(n, cosines, sines) writes the angles of
  /// position n, up to a multiple of 16 of them.
  template <Real T, class CosSin>
  PanelTurns<T> turns(Index pairs, const CosSin& cos_sin) const {
    auto& [made, values] = std::get<Table<T>>(tables_);
    const Index whole = (pairs + 15) / 16 * 16;
    const Index places = 2 * tokens * pairs;
    std::call_once(made, [&, &values = values] {
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
      values = std::move(table);
    });
    return {values.get(), values.get() + places, 2 * whole};
  }

 private:
  template <Real T>
  struct Table {
    std::once_flag made;
    std::unique_ptr<T[]> values;
  };
  mutable std::tuple<Table<float>, Table<double>> tables_;
};

}  // namespace coca::inline v0::detail
