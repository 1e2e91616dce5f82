#pragma once

#include <utility>
#include <variant>

#include "coca/coca.hpp"
#include "support/random.hpp"

namespace test {

/// One of several masks, chosen at run time: one kernel to compile for all of them.
template <class... Masks>
struct OneMaskOf : coca::MaskDefaults {
  std::variant<Masks...> mask;
  template <class M>
  explicit OneMaskOf(M m) : mask(std::move(m)) {}

  void check(const coca::AttentionShape& shape) const {
    std::visit([&](const auto& m) { m.check(shape); }, mask);
  }
  coca::Coverage classify(const coca::MaskTile& tile) const {
    return std::visit([&](const auto& m) { return m.classify(tile); }, mask);
  }
  bool visible(const coca::Site& site) const {
    return std::visit([&](const auto& m) { return m.visible(site); }, mask);
  }
};

using AnyMask =
    OneMaskOf<coca::Full, coca::Causal, coca::SlidingWindow, coca::PrefixLm,
              coca::Both<coca::Causal, coca::SlidingWindow>,
              coca::Both<coca::Causal, coca::Either<coca::SinkTokens, coca::SlidingWindow>>,
              coca::BooleanMask>;

inline AnyMask random_mask(Random& random) {
  switch (random.integer(0, 4)) {
    case 0:
      return AnyMask(coca::Full{});
    case 1:
      return AnyMask(coca::Causal{random.integer(-3, 3)});
    case 2:
      return AnyMask(coca::SlidingWindow{random.integer(0, 90), random.integer(0, 20)});
    case 3:
      return AnyMask(coca::PrefixLm{random.integer(0, 80)});
    default:
      return AnyMask(coca::Causal{} & coca::SlidingWindow{random.integer(0, 70), 5});
  }
}

}  // namespace test
