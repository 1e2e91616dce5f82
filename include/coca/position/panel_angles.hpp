#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <tuple>
#include <utility>

#include "coca/core/scalar.hpp"
#include "coca/position/angle_table.hpp"

/// The rotations of the first positions, laid out for keys that lie side by side.
namespace coca::inline v0::detail {

/// cos and sin of i * theta_j for i below some count: for each sixteen positions, and in them for
/// each pair, 16 cosines and 16 sines. Small enough to stay in a cache, and all that decoding needs:
/// position n0 + i is the rotation by n0, which the query takes upon it, and then by i.
class PanelAngles {
 public:
  static constexpr Index tokens = 16;

  explicit PanelAngles(Index positions) : positions_(positions) {}

  /// The table, made when it is first asked for, of the frequencies of `angles`.
  template <Real T>
  const T* table(const AngleTable& angles) const {
    auto& values = std::get<std::unique_ptr<T[]>>(values_);
    std::call_once(std::get<Made<T>>(made_).flag, [&] {
      const auto pairs = static_cast<Index>(angles.frequencies().size());
      const Index whole = (pairs + AngleTable::chunk - 1) / AngleTable::chunk * AngleTable::chunk;
      auto table = std::make_unique<T[]>(static_cast<std::size_t>(positions_ * pairs * 2));
      auto row = std::make_unique<T[]>(static_cast<std::size_t>(2 * whole));
      for (Index n = 0; n < positions_; ++n) {
        angles.cos_sin(n, 0, pairs, row.get(), row.get() + whole);
        T* to = table.get() + n / tokens * tokens * pairs * 2 + n % tokens;
        for (Index j = 0; j < pairs; ++j) {
          to[2 * j * tokens] = row[static_cast<std::size_t>(j)];
          to[(2 * j + 1) * tokens] = row[static_cast<std::size_t>(whole + j)];
        }
      }
      values = std::move(table);
    });
    return values.get();
  }

 private:
  template <Real T>
  struct Made {
    std::once_flag flag;
  };

  Index positions_;
  mutable std::tuple<std::unique_ptr<float[]>, std::unique_ptr<double[]>> values_;
  mutable std::tuple<Made<float>, Made<double>> made_;
};

}  // namespace coca::inline v0::detail
