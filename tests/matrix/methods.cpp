#include "matrix/methods.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace test::matrix {

using coca::Causal;
using coca::Rope;
using coca::SlidingWindow;
using reference::Row;
using reference::Vector;

double Definition::operator()(Row q, Position m, Row k, Position n) const {
  if (ceiling) m = n + std::min(m - n, *ceiling);
  const auto turned_query = [&](Row x) { return turn(x, m, Side::query); };
  const auto turned_key = [&](Row x) { return turn(x, n, Side::key); };
  switch (kind) {
    case Kind::dot:
      return reference::dot(q, k);
    case Kind::rotary:
      return reference::dot(turned_query(q), turned_key(k));
    case Kind::strict: {
      const Vector key = reference::hadamard(q, reference::both_members(k, pairs));
      return reference::dot(turned_query(q), turned_key(key));
    }
    case Kind::slack:
      return reference::dot(reference::hadamard(q, turned_query(q)),
                            turned_key(reference::both_members(k, pairs)));
    default: {
      const Vector c = reference::constrained(q, pairs);
      return reference::dot(reference::hadamard(c, turned_query(c)),
                            turned_key(reference::both_members(k, pairs)));
    }
  }
}

namespace {

Rope plain_rope(const Sizes& sizes) { return Rope({.dim = sizes.dim, .base = 500.0}); }

template <class R>
std::function<AnyScheme(Kind)> schemes_of(const R& rope) {
  return [rope](Kind kind) -> AnyScheme {
    switch (kind) {
      case Kind::dot:
        return coca::Dot{};
      case Kind::rotary:
        return coca::Rotary{rope};
      case Kind::strict:
        return coca::CocaStrict{rope};
      case Kind::slack:
        return coca::CocaSlack{rope};
      default:
        return coca::CocaConstrained{rope};
    }
  };
}

Setting by_rope(const Rope& rope) {
  return {.scheme = schemes_of(rope),
          .turn = [rope](Row x, Position n, Side) { return reference::rotated(x, n, rope); },
          .factor = rope.attention_factor() * rope.attention_factor()};
}

/// Positions of three axes, of which each pair turns by one.
Setting by_places(const Sizes& sizes, Random& random) {
  const Rope rope = plain_rope(sizes);
  std::vector<Index> axes(static_cast<std::size_t>(sizes.dim / 2));
  for (Index& axis : axes) axis = random.integer(0, 2);
  // Of the first tokens; the others go on from the largest id.
  const Index tokens = std::max<Index>(1, sizes.keys - 10);
  std::vector<Position> ids(static_cast<std::size_t>(3 * tokens));
  for (Position& id : ids) id = random.integer(0, 200);
  // By definition, a token is turned once for each axis, by the pairs of that axis.
  std::vector<Rope> turns;
  for (Index axis = 0; axis < 3; ++axis) {
    std::vector<double> frequencies(rope.inv_freq().begin(), rope.inv_freq().end());
    for (std::size_t j = 0; j < frequencies.size(); ++j) {
      if (axes[j] != axis) frequencies[j] = 0.0;
    }
    turns.push_back(Rope({.dim = sizes.dim, .inv_freq = std::move(frequencies)}));
  }
  const auto place = [=](Index axis, Position n) {
    if (n < tokens) return ids[static_cast<std::size_t>(axis * tokens + n)];
    return *std::max_element(ids.begin(), ids.end()) + 1 + n - tokens;
  };
  return {.scheme = schemes_of(coca::MultiRope(rope, axes, {ids.data(), {3, 1, tokens}})),
          .turn = [turns, place](Row x, Position n, Side) {
            Vector turned(x.begin(), x.end());
            for (Index axis = 0; axis < 3; ++axis) {
              turned =
                  reference::rotated(turned, place(axis, n), turns[static_cast<std::size_t>(axis)]);
            }
            return turned;
          }};
}

/// Queries times zeta^(m / 512), keys times zeta^(-n / 512), pair by pair.
Setting by_decay(const Sizes& sizes, Random&) {
  const Rope rope = plain_rope(sizes);
  Setting setting = by_rope(rope);
  setting.scheme = [rope](Kind kind) -> AnyScheme {
    if (kind == Kind::rotary) return coca::XPos{coca::Rotary{rope}};
    if (kind == Kind::strict) return coca::XPos{coca::CocaStrict{rope}};
    if (kind == Kind::slack) return coca::XPos{coca::CocaSlack{rope}};
    return coca::XPos{coca::CocaConstrained{rope}};
  };
  setting.turn = [rope](Row x, Position n, Side side) {
    Vector turned = reference::rotated(x, n, rope);
    const Index pairs = rope.dim() / 2;
    for (Index j = 0; j < pairs; ++j) {
      const double zeta = (static_cast<double>(j) / static_cast<double>(pairs) + 0.4) / 1.4;
      const double exponent = static_cast<double>(side == Side::query ? n : -n) / 512.0;
      const auto [first, second] = rope.pair(j);
      turned[static_cast<std::size_t>(first)] *= std::pow(zeta, exponent);
      turned[static_cast<std::size_t>(second)] *= std::pow(zeta, exponent);
    }
    return turned;
  };
  return setting;
}

Setting by_ceiling(const Sizes& sizes, Random& random) {
  Setting setting = by_rope(plain_rope(sizes));
  setting.ceiling = random.integer(1, std::max<Index>(1, sizes.keys / 2));
  setting.mask =
      AnyAdding(Causal{} & (coca::SinkTokens{4} | SlidingWindow{*setting.ceiling - 1, 0}));
  return setting;
}

std::vector<double> random_list(Index count, double low, double high, Random& random) {
  std::vector<double> list(static_cast<std::size_t>(count));
  for (double& x : list) x = low + (high - low) * (random.uniform() + 1.0) / 2.0;
  return list;
}

/// A row of a scaled rope.
template <class Make>
Method scaled(const char* name, const Make& make) {
  return {.name = name,
          .set =
              [make](const Sizes& sizes, Random& random) {
                return by_rope(Rope({.dim = sizes.dim,
                                     .base = 500.0,
                                     .scaling = make(sizes, random),
                                     .length = sizes.keys}));
              },
          .needs_rope = true};
}

/// A row of a mask over a plain rope: make(sizes, random) gives the mask, or that and what it looks at.
template <class Make>
Method masked(const char* name, const Make& make) {
  return {.name = name, .set = [make](const Sizes& sizes, Random& random) {
            Setting setting = by_rope(plain_rope(sizes));
            const auto made = make(sizes, random);
            if constexpr (coca::Mask<std::remove_cvref_t<decltype(made)>>) {
              setting.mask = AnyAdding(made);
            } else {
              setting.mask = AnyAdding(made.first);
              setting.seen = made.second;
            }
            return setting;
          }};
}

/// A tensor for a mask to look at, [heads, queries, keys] for all batch entries.
template <class T, class M>
auto tensor_mask(const Sizes& sizes, Random& random) {
  const auto values = std::make_shared<Eigen::Tensor<T, 4, Eigen::RowMajor>>(
      1, sizes.heads(), sizes.queries, sizes.keys);
  for (Index i = 0; i < values->size(); ++i) {
    if constexpr (std::is_same_v<T, bool>) {
      values->data()[i] = random.uniform() > -0.3;
    } else {
      values->data()[i] = static_cast<T>(random.uniform());
    }
  }
  return std::pair(M(*values), values);
}

}  // namespace

std::vector<Method> methods() {
  using coca::RopeScaling;
  constexpr Index trained = 40;  // tokens; some calls are longer
  return {
      {.name = "no scaling", .set = [](const Sizes& s, Random&) { return by_rope(plain_rope(s)); }},
      scaled("`Linear`", [](const Sizes&, Random&) -> RopeScaling { return coca::Linear{4.0}; }),
      scaled("`NtkAware`",
             [](const Sizes&, Random&) -> RopeScaling { return coca::NtkAware{4.0}; }),
      scaled("`DynamicNtk`",
             [](const Sizes&, Random&) -> RopeScaling {
               return coca::DynamicNtk{2.0, trained};
             }),
      scaled("`Yarn`",
             [](const Sizes&, Random&) -> RopeScaling {
               return coca::Yarn{.factor = 4.0, .trained_length = trained};
             }),
      scaled("`Llama3`",
             [](const Sizes&, Random&) -> RopeScaling {
               return coca::Llama3{.factor = 4.0, .trained_length = trained};
             }),
      scaled("`LongRope`",
             [](const Sizes& s, Random& random) -> RopeScaling {
               return coca::LongRope{.short_factor = random_list(s.dim / 2, 1.0, 2.0, random),
                                     .long_factor = random_list(s.dim / 2, 1.0, 9.0, random),
                                     .trained_length = trained,
                                     .factor = 4.0};
             }),
      scaled("`Clex`",
             [](const Sizes& s, Random& random) -> RopeScaling {
               return coca::Clex{.up = random_list(2 * s.dim, -0.1, 0.1, random),
                                 .down = random_list(2 * s.dim, -0.1, 0.1, random),
                                 .trained_length = trained};
             }),
      scaled("any function to frequencies",
             [](const Sizes& s, Random& random) -> RopeScaling {
               return [list = random_list(s.dim / 2, 0.0, 2.0, random)](const coca::RopeBase&) {
                 return coca::RotaryFrequencies{list, 1.1};
               };
             }),
      {.name = "`MultiRope`", .set = by_places, .needs_rope = true},
      {.name = "`XPos`", .set = by_decay, .needs_rope = true},
      {.name = "`DistanceCeiling`, LM-Infinite", .set = by_ceiling},
      {.name = "`RollingCache`, StreamingLLM",
       .set = [](const Sizes& s, Random&) { return by_rope(plain_rope(s)); },
       .rolling = true},
      masked("`Full`", [](const Sizes&, Random&) { return coca::Full{}; }),
      masked("`Causal`",
             [](const Sizes&, Random& random) { return Causal{random.integer(-3, 3)}; }),
      masked("`SlidingWindow`",
             [](const Sizes&, Random& random) {
               return SlidingWindow{random.integer(0, 70), random.integer(0, 9)};
             }),
      masked("`DilatedWindow`",
             [](const Sizes&, Random& random) {
               return coca::DilatedWindow{random.integer(0, 20), 3, random.integer(2, 5)};
             }),
      masked("`SinkTokens`, in a Lambda",
             [](const Sizes&, Random& random) {
               return Causal{} & (coca::SinkTokens{4} | SlidingWindow{random.integer(0, 50), 0});
             }),
      masked("`GlobalTokens`, in Longformer's",
             [](const Sizes& s, Random& random) {
               return SlidingWindow{9, 9} | coca::GlobalTokens({0, random.integer(0, s.keys)});
             }),
      masked("`BlockSparse`",
             [](const Sizes&, Random& random) {
               std::vector<coca::BlockSparse::Block> blocks;
               for (Index i = 0; i < 60; ++i) {
                 blocks.emplace_back(random.integer(0, 10), random.integer(0, 10));
               }
               return coca::BlockSparse(16, blocks);
             }),
      masked("`Documents`",
             [](const Sizes& s, Random& random) {
               const auto ids = std::make_shared<std::vector<Position>>();
               for (Index i = 0; i < s.batch * s.keys; ++i) ids->push_back(random.integer(0, 2));
               return std::pair(coca::Documents({ids->data(), {s.batch, s.keys}}), ids);
             }),
      masked("`PrefixLm`",
             [](const Sizes&, Random& random) { return coca::PrefixLm{random.integer(0, 80)}; }),
      masked("`Alibi`", [](const Sizes& s, Random&) { return Causal{} & coca::Alibi{s.heads()}; }),
      masked("`BooleanMask`",
             [](const Sizes& s, Random& random) {
               return tensor_mask<bool, coca::BooleanMask>(s, random);
             }),
      masked("`AdditiveBias`",
             [](const Sizes& s, Random& random) {
               return tensor_mask<float, coca::AdditiveBias<float>>(s, random);
             }),
  };
}

}  // namespace test::matrix
