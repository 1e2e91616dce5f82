#pragma once

#include <cstdint>

#include "coca/core/scalar.hpp"

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
  /// Of i, for keys that are turned in integers: for each pair, cosine and sine of the 16 places, then
  /// minus sine and cosine, in multiples of 2^-13.
  const std::int16_t* integers;
};

/// What makes them, and keeps them (position/panel_angles.hpp).
class PanelAngles;

}  // namespace coca::inline v0::detail
