#include "coca/position/multi_rope.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <string>

#include "coca/coca.hpp"
#include "coca/position/frequencies.hpp"
#include "coca/reference/attention.hpp"
#include "coca/scheme/coca.hpp"
#include "coca/scheme/rotary.hpp"
#include "support/bounds.hpp"
#include "support/catch.hpp"
#include "support/forms.hpp"
#include "support/random.hpp"

namespace {

using namespace test;
using coca::MultiRope;
using coca::Position;
using coca::Rope;

constexpr std::array<Index, 3> kSections{3, 2, 3};

/// Positions [axes, batch, tokens], of no order.
std::vector<Position> random_ids(Index count, Random& random) {
  std::vector<Position> ids(static_cast<std::size_t>(count));
  for (Position& id : ids) id = random.integer(0, 900);
  return ids;
}

}  // namespace

TEST_CASE("axes of pairs", "[position]") {
  CHECK(coca::axes_by_section(kSections) == std::vector<Index>{0, 0, 0, 1, 1, 2, 2, 2});
  CHECK(coca::axes_in_turn(kSections) == std::vector<Index>{0, 1, 2, 0, 1, 2, 0, 0});
}

TEST_CASE("with the same id on all axes it is a rope", "[position]") {
  Random random(62);
  const Rope rope({.dim = 20, .rotary_dim = 16});
  std::vector<Position> ids(3 * 40);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<Position>(i % 40);
  const MultiRope multi(rope, coca::axes_by_section(kSections), {ids.data(), {3, 1, 40}});
  std::vector<double> q(20), k(20), t(10);
  for (double& x : q) x = random.uniform();
  for (double& x : k) x = random.uniform();
  for (double& x : t) x = std::fabs(random.uniform());
  // Behind its ids it goes on, and before them too.
  for (const auto& [m, n] : {std::pair<Index, Index>{30, 7}, {55, 39}, {5, -3}}) {
    CHECK(score<double>(coca::Rotary{multi}, q, m, k, n) ==
          score<double>(coca::Rotary{rope}, q, m, k, n));
    CHECK(score<double>(coca::CocaStrict{multi}, q, m, t, n) ==
          score<double>(coca::CocaStrict{rope}, q, m, t, n));
    CHECK(score<double>(coca::CocaSlack{multi}, q, m, t, n) ==
          score<double>(coca::CocaSlack{rope}, q, m, t, n));
    CHECK(score<double>(coca::CocaConstrained{multi, coca::RawProjection{}}, q, m, k, n) ==
          score<double>(coca::CocaConstrained{rope, coca::RawProjection{}}, q, m, k, n));
  }
}

TEST_CASE("every pair turns by its axis, in attention", "[position]") {
  Random random(63);
  const Index tokens = 150;
  const Rope rope({.dim = 16});
  const std::vector<Position> ids = random_ids(3 * 2 * tokens, random);
  const std::vector<Index> axes = coca::axes_in_turn(kSections);
  const coca::View<const Position, 3> view(ids.data(), {3, 2, tokens});
  Tensor<double> q({2, tokens, 2, 16}), k({2, tokens, 1, 16}), v({2, tokens, 1, 16}),
      out({2, tokens, 2, 16}), expected({2, tokens, 2, 16});
  for (auto* x : {&q, &k, &v}) x->fill([&] { return random.uniform(); });
  coca::attention(out.view(), q.view(), k.view(), v.view(),
                  coca::Rotary{MultiRope(rope, axes, view)}, coca::Causal{});

  // Turned by hand.
  const auto turn = [&](Tensor<double>& x) {
    const auto all = x.view();
    for (Index b = 0; b < 2; ++b) {
      for (Index n = 0; n < tokens; ++n) {
        for (Index h = 0; h < all.shape[2]; ++h) {
          for (Index j = 0; j < 8; ++j) {
            const double angle =
                static_cast<double>(view(axes[static_cast<std::size_t>(j)], b, n)) *
                rope.inv_freq()[static_cast<std::size_t>(j)];
            double& x_first = all(b, n, h, j);
            double& x_second = all(b, n, h, 8 + j);
            const double first = x_first * std::cos(angle) - x_second * std::sin(angle);
            x_second = x_second * std::cos(angle) + x_first * std::sin(angle);
            x_first = first;
          }
        }
      }
    }
  };
  turn(q);
  turn(k);
  coca::attention(expected.view(), q.view(), k.view(), v.view(), coca::Dot{}, coca::Causal{});
  CHECK(largest_difference(out, expected) <= 1e-12);
}

TEST_CASE("an image's tokens turn by row and column", "[position]") {
  // The rotation of vision models: half of the pairs turn by the row and half by the column, each half by
  // the frequencies of a head of half the width.
  Random random(66);
  constexpr Index rows = 5;
  constexpr Index columns = 7;
  constexpr Index tokens = rows * columns;
  const std::vector<double> half = coca::rotary_frequencies(8, 10000.0);
  std::vector<double> frequencies = half;
  frequencies.insert(frequencies.end(), half.begin(), half.end());
  const auto grid = [&](Position row, Position column) {
    std::vector<Position> ids(2 * tokens);
    for (Index n = 0; n < tokens; ++n) {
      ids[static_cast<std::size_t>(n)] = row + n / columns;
      ids[static_cast<std::size_t>(tokens + n)] = column + n % columns;
    }
    return ids;
  };
  const Rope rope({.dim = 16, .inv_freq = frequencies});
  Tensor<double> q({1, tokens, 2, 16}), k({1, tokens, 1, 16}), v({1, tokens, 1, 16}),
      out({1, tokens, 2, 16}), expected({1, tokens, 2, 16});
  for (auto* x : {&q, &k, &v}) x->fill([&] { return random.uniform(); });
  const auto attend = [&](const std::vector<Position>& ids) {
    const std::array<Index, 2> sections{4, 4};
    coca::attention(out.view(), q.view(), k.view(), v.view(),
                    coca::Rotary{MultiRope(rope, coca::axes_by_section(sections),
                                           {ids.data(), {2, 1, tokens}})},
                    coca::Full{});
  };
  attend(grid(0, 0));
  // A score is that of two heads of half the width, one by rows and one by columns.
  const Rope narrow({.dim = 8});
  reference::attention(
      expected.view(), q.view(), k.view(), v.view(),
      [&](reference::Row a, Position m, reference::Row b, Position n) {
        double sum = 0.0;
        for (const std::size_t axis : {0U, 1U}) {
          const auto part = [&](reference::Row x, Position at) {
            // Pairs of the axis: four first members, and their second ones.
            reference::Vector own;
            for (const std::size_t first : {4 * axis, 8 + 4 * axis}) {
              own.insert(own.end(), x.begin() + static_cast<Index>(first),
                         x.begin() + static_cast<Index>(first + 4));
            }
            return reference::rotated(own, axis == 0 ? at / columns : at % columns, narrow);
          };
          sum += reference::dot(part(a, m), part(b, n));
        }
        return sum;
      },
      coca::Full{});
  CHECK(largest_difference(out, expected) <= 1e-12);

  // Only differences of rows and of columns count.
  attend(grid(30, 11));
  CHECK(largest_difference(out, expected) <= 1e-12);
}

TEST_CASE("generated tokens go on from the largest id", "[position]") {
  // Text, an image of 2 x 3 at time 2, and text from 5 on: Qwen2-VL's counting.
  const std::vector<Position> ids{0, 1, 2, 2, 2, 2, 2, 2, 5,   // time
                                  0, 1, 2, 2, 2, 3, 3, 3, 5,   // rows
                                  0, 1, 2, 3, 4, 2, 3, 4, 5};  // columns
  const MultiRope rope(Rope({.dim = 16}), coca::axes_by_section(kSections),
                       {ids.data(), {3, 1, 9}});
  const MultiRope::Place image = rope.place(7, 0);
  CHECK((image[0] == 2 && image[1] == 3 && image[2] == 4));
  for (const Index batch : {0, 1}) {
    const MultiRope::Place next = rope.place(9, batch);
    CHECK((next[0] == 6 && next[1] == 6 && next[2] == 6));
    CHECK(rope.place(12, batch)[1] == 9);
  }
}

TEST_CASE("packed sequences and those of a cache have ids of their own", "[position]") {
  Random random(64);
  constexpr Index tokens = 40;
  const std::vector<Position> ids = random_ids(3 * 2 * tokens, random);
  const coca::Rotary scheme{
      MultiRope(Rope({.dim = 16}), coca::axes_in_turn(kSections), {ids.data(), {3, 2, tokens}})};
  Tensor<double> q({2, tokens, 2, 16}), k({2, tokens, 1, 16}), v({2, tokens, 1, 16}),
      out({2, tokens, 2, 16}), expected({2, tokens, 2, 16}), last({2, 1, 2, 16});
  for (auto* x : {&q, &k, &v}) x->fill([&] { return random.uniform(); });
  coca::attention(expected.view(), q.view(), k.view(), v.view(), scheme, coca::Causal{});

  const auto packed = [](Tensor<double>& x) {
    return coca::View<double, 3>(x.storage().data(),
                                 {2 * tokens, x.view().shape[2], x.view().shape[3]});
  };
  const std::vector<std::int32_t> starts{0, tokens, 2 * tokens};
  coca::packed_attention(packed(out), packed(q), packed(k), packed(v), starts, starts, scheme,
                         coca::Causal{});
  CHECK(out.storage() == expected.storage());

  coca::GrowingCache cache(
      {.key_heads = 1, .key_dim = 16, .value_dim = 16, .type = coca::ElementType::float64});
  const std::vector<coca::SequenceId> sequences{cache.add(), cache.add()};
  cache.append(sequences, k.view(), v.view());
  const auto last_of = [](Tensor<double>& x) {
    auto row = x.view();
    row.data = &row(0, tokens - 1, 0, 0);
    row.shape[1] = 1;
    return row;
  };
  coca::decode(last.view(), last_of(q), cache, sequences, scheme);
  for (Index b = 0; b < 2; ++b) {
    for (Index h = 0; h < 2; ++h) {
      for (Index i = 0; i < 16; ++i) {
        CHECK(last.view()(b, 0, h, i) == Approx(last_of(expected)(b, 0, h, i)).margin(1e-13));
      }
    }
  }
}

TEST_CASE("ids of another number of sequences are refused before anything is written",
          "[position]") {
  Random random(65);
  const std::vector<Position> ids = random_ids(3 * 2 * 5, random);
  const coca::Rotary scheme{
      MultiRope(Rope({.dim = 16}), coca::axes_in_turn(kSections), {ids.data(), {3, 2, 5}})};
  const std::string expected =
      "coca: rope.ids.shape[1] (batch) is 2, expected 3 or 1, as the call has sequences";
  Tensor<double> q({3, 5, 2, 16}), k({3, 5, 1, 16}), out({3, 5, 2, 16});
  for (auto* x : {&q, &k}) x->fill([&] { return random.uniform(); });
  const auto untouched = out.storage();
  CHECK_THROWS_WITH(
      coca::attention(out.view(), q.view(), k.view(), k.view(), scheme, coca::Causal{}), expected);
  CHECK_THROWS_WITH(coca::workspace_bytes(q.view(), k.view(), k.view(), scheme), expected);

  const auto packed = [](Tensor<double>& x) {
    return coca::View<double, 3>(x.storage().data(), {15, x.view().shape[2], 16});
  };
  // Three sequences, of which two are as long as the ids.
  const std::vector<std::int32_t> starts{0, 5, 10, 15};
  CHECK_THROWS_WITH(coca::packed_attention(packed(out), packed(q), packed(k), packed(k), starts,
                                           starts, scheme, coca::Causal{}),
                    expected);
  CHECK_THROWS_WITH(
      coca::packed_workspace_bytes(packed(q), packed(k), packed(k), starts, starts, scheme),
      expected);

  coca::GrowingCache cache(
      {.key_heads = 1, .key_dim = 16, .value_dim = 16, .type = coca::ElementType::float64});
  const std::vector<coca::SequenceId> sequences{cache.add(), cache.add(), cache.add()};
  cache.append(sequences, k.view(), k.view());
  CHECK_THROWS_WITH(coca::decode(out.view(), q.view(), cache, sequences, scheme), expected);
  CHECK_THROWS_WITH(coca::decode_workspace_bytes(q.view(), cache, sequences, scheme), expected);
  CHECK(out.storage() == untouched);

  // No ids at all are not those of one sequence.
  const coca::CocaStrict none{
      MultiRope(Rope({.dim = 16}), coca::axes_in_turn(kSections), {ids.data(), {3, 0, 5}})};
  CHECK_THROWS_WITH(none.check({.batch = 3, .query_dim = 16}),
                    "coca: rope.ids.shape[1] (batch) is 0, expected 3 or 1, as the call has "
                    "sequences");
}

TEST_CASE("wrong axes are named", "[position]") {
  for (const auto& axes : {coca::axes_by_section, coca::axes_in_turn}) {
    CHECK_THROWS_WITH(axes(std::array<Index, 2>{4, -2}),
                      "coca: sections is -2, expected 0 or more pairs");
  }
  const std::vector<Position> ids(3 * 4);
  const coca::View<const Position, 3> view(ids.data(), {3, 1, 4});
  const Rope rope({.dim = 4});
  CHECK_THROWS_WITH(MultiRope(rope, {0}, view),
                    "coca: axes.size is 1, expected 2 (rotary_dim / 2)");
  CHECK_THROWS_WITH(MultiRope(rope, {0, 3}, view),
                    "coca: axes is 3, expected from 0 to 2, as ids has them");
  CHECK_THROWS_WITH(MultiRope(rope, {0, 0}, {ids.data(), {6, 1, 2}}),
                    "coca: ids.shape[0] (axes) is 6, expected from 1 to 4");
}
