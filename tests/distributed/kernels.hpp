#pragma once

#include <cmath>

#include "coca/coca.hpp"
#include "support/any_mask.hpp"
#include "support/effort.hpp"
#include "support/forms.hpp"
#include "support/tiles.hpp"

/// One type for all schemes and masks of these tests.
namespace test {

using EveryScheme =
    coca::OneOf<coca::Dot, coca::Rotary<>, coca::CocaStrict<>,
                coca::CocaStrict<coca::RawProjection>, coca::CocaSlack<>,
                coca::CocaSlack<coca::RawProjection>, coca::CocaConstrained<>,
                coca::CocaConstrained<coca::RawProjection>, coca::XPos<coca::Rotary<>>>;
using CountedMask = Counted<AnySloped>;

/// A form, and by how much the terms of a score may grow with each token that a key stands ahead.
struct EveryForm : Form<EveryScheme, AnyScore> {
  double growth = 1.0;
};

/// (R_m q) . (R_n k) with pair j times zeta_j^((m - n) / 512) (Sun et al. 2023, section 3.2, LeX).
inline double decayed_score(const coca::Rope& rope, reference::Row q, coca::Position m,
                            reference::Row k, coca::Position n) {
  const reference::Vector query = reference::rotated(q, m, rope);
  reference::Vector key = reference::rotated(k, n, rope);
  const coca::Index pairs = rope.dim() / 2;
  for (coca::Index j = 0; j < pairs; ++j) {
    const double zeta = (static_cast<double>(j) / static_cast<double>(pairs) + 0.4) / 1.4;
    const double decay = std::pow(zeta, static_cast<double>(m - n) / 512.0);
    const auto [first, second] = rope.pair(j);
    key[static_cast<std::size_t>(first)] *= decay;
    key[static_cast<std::size_t>(second)] *= decay;
  }
  return reference::dot(query, key);
}

/// Calls visit(form) for all schemes, in one type.
template <class Visit>
void for_every_form(const coca::Rope& rope, const Visit& visit) {
  for_each_form(rope, [&](const auto& form) {
    visit(EveryForm{{form.name, EveryScheme(form.scheme), AnyScore(form.definition), form.coca,
                     form.half_width}});
  });
  AnyScore decayed(reference::RotaryScore{rope});
  decayed.score = [rope](const auto&... pair) { return decayed_score(rope, pair...); };
  decayed.gradient = nullptr;
  visit(EveryForm{{"xpos", EveryScheme(coca::XPos{coca::Rotary{rope}}), decayed, false, false},
                  std::pow(1.4 / 0.4, 1.0 / 512.0)});
}
/// For one of COCA_TEST_SHARE forms.
template <class Visit>
void for_some_forms(const coca::Rope& rope, const Visit& visit) {
  int number = 0;
  for_every_form(rope, [&](const auto& form) {
    if (number++ % test_share() == 0) visit(form);
  });
}

}  // namespace test
