#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "coca/coca.hpp"
#include "coca/reference/score.hpp"
#include "support/any_mask.hpp"
#include "support/random.hpp"

/// The rows and columns of the matrix: every position method and every mask, and every scheme, each
/// beside its definition.
namespace test::matrix {

namespace reference = coca::reference;
using coca::Position;

enum class Kind { dot, rotary, strict, slack, constrained };
inline constexpr std::array kKinds{Kind::dot, Kind::rotary, Kind::strict, Kind::slack,
                                   Kind::constrained};
inline const char* name_of(Kind kind) {
  constexpr std::array names{"Dot", "Rotary", "CocaStrict", "CocaSlack", "CocaConstrained"};
  return names[static_cast<std::size_t>(kind)];
}
inline bool is_coca(Kind kind) { return kind >= Kind::strict; }

/// All schemes, over a rope, over places of several axes, and under a decay: one kernel to compile.
template <class... S>
using WithXPos =
    coca::OneOf<coca::Dot, coca::Rotary<coca::MultiRope>,
                coca::CocaStrict<coca::NonNegativeT, coca::MultiRope>,
                coca::CocaSlack<coca::NonNegativeT, coca::MultiRope>,
                coca::CocaConstrained<coca::NonNegativeT, coca::MultiRope>, S..., coca::XPos<S>...>;
using AnyScheme =
    WithXPos<coca::Rotary<>, coca::CocaStrict<>, coca::CocaSlack<>, coca::CocaConstrained<>>;

/// The sizes of a call, from which a row makes what it needs.
struct Sizes {
  Index batch = 0, queries = 0, keys = 0, key_heads = 0, group = 0, dim = 0, value_dim = 0;
  Index heads() const { return key_heads * group; }
};

/// x of a token at position n, turned by the definition of a method.
enum class Side { query, key };
using Turn = std::function<reference::Vector(reference::Row x, Position n, Side side)>;

/// A method in one call.
struct Setting {
  std::function<AnyScheme(Kind)> scheme;
  Turn turn;
  double factor = 1.0;  ///< by which scores may be larger than those of a rope that is not scaled
  std::optional<Index> ceiling = {};
  AnyAdding mask = AnyAdding(coca::Causal{});
  std::shared_ptr<void> seen = {};  ///< what the mask looks at
};

struct Method {
  const char* name;
  std::function<Setting(const Sizes&, Random&)> set;
  bool needs_rope = false;  ///< whether it is nothing to a scheme without one
  bool rolling = false;     ///< whether it is a RollingCache, and so decodes alone
};

/// The rows of the table.
std::vector<Method> methods();

/// The scores as the papers define them, whatever turns a token.
struct Definition {
  Kind kind;
  coca::Rope pairs;  ///< which coordinates are pairs
  Turn turn;
  std::optional<Position> ceiling;

  double operator()(reference::Row q, Position m, reference::Row k, Position n) const;
};

}  // namespace test::matrix
