#pragma once

#include <functional>
#include <type_traits>

#include "coca/coca.hpp"
#include "coca/reference/score.hpp"

/// Every scheme of the library beside its definition.
namespace test {

namespace reference = coca::reference;

/// One scheme under test.
template <class S, class Score>
struct Form {
  const char* name;
  S scheme;
  Score definition;
  bool coca;        ///< the key operand is t or x
  bool half_width;  ///< ... and it is t
};
template <class S, class Score>
Form(const char*, S, Score, bool, bool) -> Form<S, Score>;

/// Calls visit(form) for all of them, over one rope.
template <class Visit>
void for_each_form(const coca::Rope& rope, Visit&& visit) {
  using coca::NonNegativeT;
  using coca::RawProjection;
  using namespace reference;
  visit(Form{"dot", coca::Dot{}, DotScore{}, false, false});
  visit(Form{"rotary", coca::Rotary{rope}, RotaryScore{rope}, false, false});
  visit(Form{"strict(t)", coca::CocaStrict{rope}, StrictScore{rope}, true, true});
  visit(Form{"strict(x)", coca::CocaStrict{rope, RawProjection{}},
             OfProjection<StrictScore>{{rope}}, true, false});
  visit(Form{"slack(t)", coca::CocaSlack{rope}, SlackScore{rope}, true, true});
  visit(Form{"slack(x)", coca::CocaSlack{rope, RawProjection{}}, OfProjection<SlackScore>{{rope}},
             true, false});
  visit(Form{"constrained(t)", coca::CocaConstrained{rope}, ConstrainedScore{rope}, true, true});
  visit(Form{"constrained(x)", coca::CocaConstrained{rope, RawProjection{}},
             OfProjection<ConstrainedScore>{{rope}}, true, false});
}

/// Any scheme and any definition, chosen at run time: one kernel to compile instead of eight.
using AnyScheme =
    coca::OneOf<coca::Rotary<>, coca::CocaStrict<>, coca::CocaStrict<coca::RawProjection>,
                coca::CocaSlack<>, coca::CocaSlack<coca::RawProjection>, coca::CocaConstrained<>,
                coca::CocaConstrained<coca::RawProjection>>;
struct AnyScore {
  template <class Result>
  using Of = std::function<Result(reference::Row, coca::Position, reference::Row, coca::Position)>;

  Of<double> score;
  Of<reference::ScoreGradient> gradient;

  template <class Score>
  explicit AnyScore(const Score& definition)
      : score(definition),
        gradient([definition](reference::Row q, coca::Position m, reference::Row k,
                              coca::Position n) { return definition.gradient(q, m, k, n); }) {}
  double operator()(reference::Row q, coca::Position m, reference::Row k, coca::Position n) const {
    return score(q, m, k, n);
  }
};

/// Calls visit(form) for all of them, in two types: Dot, whose rows the kernel uses where they are,
/// and AnyScheme.
template <class Visit>
void for_each_any_form(const coca::Rope& rope, Visit&& visit) {
  for_each_form(rope, [&](const auto& form) {
    if constexpr (std::is_constructible_v<AnyScheme, decltype(form.scheme)>) {
      visit(Form{form.name, AnyScheme(form.scheme), AnyScore(form.definition), form.coca,
                 form.half_width});
    } else {
      visit(form);
    }
  });
}

/// phi . psi of a scheme, in T: a score without a kernel.
template <class T, class S>
T score(const S& scheme, std::span<const T> q, coca::Position m, std::span<const T> k,
        coca::Position n) {
  const auto width = static_cast<std::size_t>(scheme.score_dim(static_cast<coca::Index>(q.size())));
  std::vector<T> phi(width);
  std::vector<T> psi(width);
  scheme.map_query(q, coca::Token{.position = m}, std::span<T>(phi));
  scheme.map_key(k, coca::Token{.position = n}, std::span<T>(psi));
  T sum = 0;
  for (std::size_t i = 0; i < width; ++i) sum += phi[i] * psi[i];
  return sum;
}

}  // namespace test
