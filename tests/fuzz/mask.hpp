#pragma once

#include <algorithm>
#include <cmath>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "coca/coca.hpp"
#include "fuzz/operand.hpp"
#include "support/any_mask.hpp"

/// Every mask of the library, of a kind that is chosen when the program runs: kernels are compiled
/// for what only hides, and for what may add to scores too.
namespace fuzz {

using coca::Position;
using test::AnyAdding;
using test::AnyHiding;

struct ChosenMask {
  AnyAdding mask = AnyAdding(coca::Full{});
  bool adds = false;
  double added = 0.0;  ///< the largest magnitude of what it adds to a score that is finite
};

/// The tokens that a mask is asked about.
struct MaskedTokens {
  Index entries;  ///< batch entries, or 1 if all are alike
  Index heads, queries, keys;
  Position first_key = 0;
  std::optional<Position> first_query{};

  /// How far a query may be from a key.
  double farthest() const {
    const auto apart = first_query ? *first_query - first_key : 0;
    return std::fabs(static_cast<double>(apart)) + static_cast<double>(queries + keys);
  }
};

/// Makes masks, and keeps what they view.
class MaskMaker {
 public:
  explicit MaskMaker(Choices& choose) : choose_(choose) {}

  ChosenMask first(const MaskedTokens& tokens) {
    switch (choose_.integer(0, 5)) {
      case 0:
        return {};
      case 1:
        return hiding(coca::Causal{choose_.integer(-20, 20)});
      case 2:
        return hiding(coca::SlidingWindow{choose_.integer(0, 30), choose_.integer(0, 30)});
      case 3:
        return hiding(coca::PrefixLm{choose_.integer(0, 30)});
      case 4:
        return hiding(coca::Causal{} & coca::SlidingWindow{choose_.integer(0, 140), 5});
      default: {
        const Index rows = choose_.one_in(2) ? 1 : tokens.queries;
        const auto often = static_cast<unsigned>(choose_.integer(0, 4));  // of 4; 0 hides all
        allowed_.resize(static_cast<std::size_t>(tokens.entries * rows * tokens.keys));
        for (char& one : allowed_) one = choose_.values() % 4 < often ? 1 : 0;
        return hiding(coca::BooleanMask(
            coca::View<const bool, 4>(reinterpret_cast<const bool*>(allowed_.data()),
                                      {tokens.entries, 1, rows, tokens.keys})));
      }
    }
  }

  /// Of the others, alone, with another one, or with what is added to scores if it may be.
  ChosenMask more(const MaskedTokens& tokens, bool may_add) {
    switch (choose_.integer(0, may_add ? 4 : 2)) {
      case 0:
        return hiding(one(tokens));
      case 1:
        return hiding(coca::Either<AnyHiding, AnyHiding>(one(tokens), one(tokens)));
      case 2:
        return hiding(coca::Both<AnyHiding, AnyHiding>(one(tokens), one(tokens)));
      case 3:
        return adding(tokens);
      default: {
        ChosenMask result = adding(tokens);
        result.mask = AnyAdding(
            coca::Both<AnyAdding, AnyAdding>(AnyAdding(one(tokens)), std::move(result.mask)));
        return result;
      }
    }
  }

 private:
  template <class M>
  static ChosenMask hiding(M mask) {
    return {.mask = AnyAdding(std::move(mask))};
  }

  /// A position that some token may have, or one beside them.
  Position place(const MaskedTokens& tokens) {
    return std::max<Position>(tokens.first_key + choose_.integer(-3, tokens.keys + 3), 0);
  }
  AnyHiding one(const MaskedTokens& tokens) {
    switch (choose_.integer(0, 6)) {
      case 0:
        return AnyHiding(coca::SinkTokens{place(tokens)});
      case 1:
        return AnyHiding(coca::Causal{choose_.integer(-20, 20)});
      case 2:
        return AnyHiding(coca::SlidingWindow{choose_.integer(0, 30), choose_.integer(0, 30)});
      case 3:
        return AnyHiding(coca::DilatedWindow{choose_.integer(0, 20), choose_.integer(0, 20),
                                             choose_.integer(1, 9)});
      case 4: {
        std::vector<Position> positions(static_cast<std::size_t>(choose_.integer(0, 4)));
        for (Position& position : positions) position = place(tokens);
        return AnyHiding(coca::GlobalTokens{positions});
      }
      case 5: {
        const Index size = choose_.integer(1, 140);
        std::vector<coca::BlockSparse::Block> blocks(
            static_cast<std::size_t>(choose_.integer(0, 9)));
        for (auto& [query, key] : blocks) {
          query = place(tokens) / size;
          key = place(tokens) / size;
        }
        return AnyHiding(coca::BlockSparse{size, std::move(blocks)});
      }
      default:
        return AnyHiding(documents(tokens));
    }
  }
  coca::Documents documents(const MaskedTokens& tokens) {
    const Index count = std::max<Index>(tokens.first_key + tokens.keys - choose_.integer(0, 3), 0);
    // Of a sequence that begins far away, none.
    const Index held = count > 10000 ? 0 : count;
    const Index entries = choose_.one_in(2) ? 1 : tokens.entries;
    auto& ids = documents_.emplace_back(static_cast<std::size_t>(entries * held));
    const auto change = static_cast<unsigned>(choose_.integer(1, 40));
    Position document = 0;
    for (Position& id : ids) {
      if (choose_.values() % change == 0) document = static_cast<Position>(choose_.values() % 5);
      id = document;
    }
    return coca::Documents(coca::View<const Position, 2>(ids.data(), {entries, held}));
  }

  /// Slopes, or a tensor of any type, strides and numbers; -Inf hides, and NaN and +Inf belong to
  /// the rows that see them.
  ChosenMask adding(const MaskedTokens& tokens) {
    const double size = choose_.pick(std::array{1.0, 0.02, 50.0, 1e4});
    ChosenMask result{.adds = true};
    if (choose_.one_in(2)) {
      std::vector<double> slopes(static_cast<std::size_t>(tokens.heads));
      for (double& slope : slopes) slope = size * choose_.unit();
      result.mask = AnyAdding(coca::Alibi(std::move(slopes)));
      result.added = size * tokens.farthest();
      return result;
    }
    const auto type = choose_.pick(std::array{ElementType::float32, ElementType::float64,
                                              ElementType::bfloat16, ElementType::float16});
    const auto all_or_one = [&](Index extent) { return choose_.one_in(3) ? 1 : extent; };
    const Shape shape{all_or_one(tokens.entries), all_or_one(tokens.heads),
                      all_or_one(tokens.queries), tokens.keys};
    Operand& bias = bias_.emplace(shape, type, Operand::Use::input, choose_);
    const auto hidden = static_cast<unsigned>(choose_.integer(0, 4));  // of 8
    bias.for_each([&](const Shape& at) {
      const bool hide = choose_.values() % 8 < hidden;
      bias.set(at, hide ? -kInfinity : size * ordinary(choose_, type));
    });
    const Index strange = choose_.integer(0, 3);
    bias.poison(strange < 2 ? 0 : strange, choose_,
                std::array{std::numeric_limits<double>::quiet_NaN(), kInfinity});
    bias.for_each([&](const Shape& at) {
      const double x = std::fabs(bias.get(at));
      if (std::isfinite(x)) result.added = std::max(result.added, x);
    });
    with_type(type, [&]<class X>(X) {
      result.mask = AnyAdding(coca::AdditiveBias<X>(bias.view_of<const X>()));
    });
    return result;
  }

  Choices& choose_;
  std::vector<char> allowed_;
  std::deque<std::vector<Position>> documents_;
  std::optional<Operand> bias_;
};

}  // namespace fuzz
