#pragma once

#include "coca/decode.hpp"
#include "coca/extern.hpp"
#include "support/any_mask.hpp"
#include "support/forms.hpp"
#include "support/tiles.hpp"

/// One kernel for all schemes and masks of these tests, compiled in kernels.cpp.
namespace test {

using EveryScheme = coca::OneOf<coca::Dot, coca::Rotary<>, coca::CocaStrict<>,
                                coca::CocaStrict<coca::RawProjection>, coca::CocaSlack<>,
                                coca::CocaSlack<coca::RawProjection>, coca::CocaConstrained<>,
                                coca::CocaConstrained<coca::RawProjection>>;
using CountedMask = Counted<AnyHiding>;

/// Calls visit(form) for all schemes, in one type.
template <class Visit>
void for_every_form(const coca::Rope& rope, const Visit& visit) {
  for_each_form(rope, [&](const auto& form) {
    visit(Form{form.name, EveryScheme(form.scheme), AnyScore(form.definition), form.coca,
               form.half_width});
  });
}

}  // namespace test

#ifndef COCA_TEST_INSTANTIATE
namespace coca::inline v0::detail {
extern template void forward(const ForwardCall<float, test::EveryScheme, test::CountedMask>&,
                             const Eigen::DefaultDevice&);
extern template void decode_few(const ForwardCall<float, test::EveryScheme, test::CountedMask>&,
                                const Eigen::DefaultDevice&);
}  // namespace coca::inline v0::detail
#endif
