#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "coca/kernel/tile_engine.hpp"
#include "coca/position/rope.hpp"
#include "support/bounds.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

/// The products with int8 in integers, beside those of the numbers before they were rounded.
namespace {

using namespace coca::detail;
using coca::Index;

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

template <class Visit>
void for_each_int8(Visit&& visit) {
  for (const coca::Target target : kAllTargets) {
    if (!target_available(target)) continue;
    const Int8Functions<float>* functions = cache_functions<float>(target).int8;
    if (functions == nullptr) continue;
    INFO(coca::target_name(target));
    visit(*functions, tile_engine<float>(target).vector);
  }
}

/// Rows of numbers from -most to most.
std::vector<float> random_rows(Index rows, Index width, float most, test::Random& random) {
  std::vector<float> x(at(rows * width));
  for (float& value : x) value = most * static_cast<float>(random.uniform());
  return x;
}

struct Panel {
  std::vector<std::int8_t> numbers;

  Panel(Index rows, test::Random& random) : numbers(at(rows * kPanelTokens)) {
    for (std::int8_t& x : numbers) x = static_cast<std::int8_t>(random.integer(-127, 127));
  }
  double operator()(Index row, Index lane) const { return numbers[at(row * kPanelTokens + lane)]; }
  CachedPanel cached() const {
    const auto* data = reinterpret_cast<const std::byte*>(numbers.data());
    return {data, data};
  }
};

/// The largest |x| and the sum of |x| of a row.
std::pair<double, double> magnitude(const std::vector<float>& x, Index row, Index width) {
  double largest = 0.0;
  double sum = 0.0;
  for (Index i = 0; i < width; ++i) {
    const double value = std::fabs(x[at(row * width + i)]);
    largest = std::max(largest, value);
    sum += value;
  }
  return {largest, sum};
}

}  // namespace

TEST_CASE("int8 scores in integers", "[kernel]") {
  test::Random random(301);
  for_each_int8([&](const Int8Functions<float>& int8, Index) {
    for (const Index rows : {1, 2, 3, 4, 5, 9}) {
      for (const Index depth : {Index{1}, Index{2}, Index{7}, Index{128}, Index{515}}) {
        for (const float most : {1.0F, 1e30F, 1e-30F}) {
          INFO("rows " << rows << ", depth " << depth << ", most " << most);
          // An odd depth reads what lies behind.
          const Panel keys(depth + 1, random);
          const auto queries = random_rows(rows, depth, most, random);
          std::vector<float> rounded(at(rows * ((depth + 1) / 2 + 1)));
          std::vector<float> scores(at(rows * kTileKeys), -7.0F);
          int8.round_queries(queries.data(), rounded.data(), rows, depth);
          int8.scores(rounded.data(), keys.cached(), scores.data(), rows, depth);
          for (Index r = 0; r < rows; ++r) {
            const auto [largest, sum] = magnitude(queries, r, depth);
            // Half a unit for each number, and the float that comes out.
            const double unit = std::max(largest / 32766.0, sum * 127.0 / 2.08e9) * 1.0001;
            const double bound = 127.0 * (0.5 * unit * static_cast<double>(depth) + sum * 0x1p-22);
            double worst = 0.0;
            for (Index lane = 0; lane < kPanelTokens; ++lane) {
              double expected = 0.0;
              for (Index i = 0; i < depth; ++i) {
                expected += static_cast<double>(queries[at(r * depth + i)]) * keys(i, lane);
              }
              worst = test::worse(worst, scores[at(r * kTileKeys + lane)], expected);
            }
            CHECK(worst <= bound);
            CHECK(scores[at(r * kTileKeys + kPanelTokens)] == -7.0F);
          }
        }
      }
    }
  });
}

TEST_CASE("int8 scores of keys that turn, in integers", "[kernel]") {
  test::Random random(302);
  for_each_int8([&](const Int8Functions<float>& int8, Index) {
    for (const auto layout : {coca::RopeLayout::half_split, coca::RopeLayout::interleaved}) {
      for (const Index depth : {Index{2}, Index{46}, Index{128}}) {
        for (const Index rows : {1, 3, 4, 7}) {
          const Index pairs = depth / 2;
          const Index turning = (pairs + 1) / 2;
          const coca::Rope rope({.dim = depth, .rotary_dim = 2 * turning, .layout = layout});
          const PanelTurns<float> turns = rope.panel_turns<float>();
          const double step = random.uniform();
          std::vector<float> cosines(at(pairs + 16)), sines(at(pairs + 16));
          for (Index j = 0; j < pairs; ++j) {
            cosines[at(j)] = static_cast<float>(std::cos(step * static_cast<double>(j)));
            sines[at(j)] = static_cast<float>(std::sin(step * static_cast<double>(j)));
          }
          for (const bool whole : {true, false}) {
            INFO("depth " << depth << ", rows " << rows << ", whole " << whole);
            const Panel keys(whole ? depth : pairs, random);
            const auto queries = random_rows(rows, depth, 3.0F, random);
            auto scaled = queries;
            std::vector<float> rounded(at(rows * (pairs + 1)));
            std::vector<float> scores(at(rows * kTileKeys), -7.0F);
            int8.scale_to_units(scaled.data(), rounded.data(), rows, depth);
            const auto product = whole ? int8.whole : int8.halves;
            const auto some = [&](Index begin, Index end) {
              if (begin == end) return;
              const auto [first, second] = rope.pair(begin);
              const CoordinatePairs of{begin, end - begin, first, second, rope.pair_step()};
              int8.turn_queries(scaled.data(), of, cosines.data(), sines.data(), rounded.data(),
                                rows, depth);
              product(rounded.data(), depth, keys.cached(), of, turns.integers, scores.data(), rows,
                      begin > 0);
            };
            some(0, turning);
            some(turning, pairs);
            for (Index r = 0; r < rows; ++r) {
              const auto [largest, sum] = magnitude(queries, r, depth);
              const double unit =
                  std::max(largest * 1.4143 / 32766.0, sum * 11497.0 / 2.08e9) * 1.0001;
              // A member of a key is at most 127 sqrt(2), and off by 1/64 and by its angle's rounding.
              const double bound =
                  180.0 * (0.5 * unit * static_cast<double>(depth) + sum * 0x1p-21) +
                  1.5 * sum * (1.0 / 64.0 + 254.0 * 0x1p-14);
              double worst = 0.0;
              for (Index lane = 0; lane < kPanelTokens; ++lane) {
                double expected = 0.0;
                for (Index j = 0; j < pairs; ++j) {
                  const double c = turns.places[32 * j + lane];
                  const double s = turns.places[32 * j + 16 + lane];
                  const auto [first, second] = rope.pair(j);
                  double x = keys(whole ? first : j, lane);
                  double y = 0.0;
                  if (whole) y = keys(second, lane);
                  const double a = queries[at(r * depth + first)];
                  const double b = queries[at(r * depth + second)];
                  const double qc = cosines[at(j)];
                  const double qs = sines[at(j)];
                  expected +=
                      (a * qc - b * qs) * (x * c - y * s) + (b * qc + a * qs) * (y * c + x * s);
                }
                worst = test::worse(worst, scores[at(r * kTileKeys + lane)], expected);
              }
              CHECK(worst <= bound);
            }
          }
        }
      }
    }
  });
}

TEST_CASE("int8 values in integers", "[kernel]") {
  test::Random random(303);
  for_each_int8([&](const Int8Functions<float>& int8, Index vector) {
    for (const Index rows : {1, 2, 4, 6}) {
      for (const Index vectors : {1, 2, 3, 5}) {
        const Index columns = vectors * vector;
        const Index first = random.integer(0, 7);
        const Index pairs = random.integer(1, 24 - first);
        INFO("rows " << rows << ", columns " << columns << ", pairs " << pairs << " from "
                     << first);
        std::vector<Panel> values;
        std::vector<CachedPanel> panels;
        for (int i = 0; i < 3; ++i) values.emplace_back((columns + 15) / 16 * 16, random);
        for (const Panel& panel : values) panels.push_back(panel.cached());
        auto weights = random_rows(rows, kTileKeys, 1.0F, random);
        const auto before = weights;
        const Index stride = columns + vector;
        auto sums = random_rows(rows, stride, 1.0F, random);
        const auto sums_before = sums;
        int8.round_weights(weights.data(), rows, 2 * pairs);
        int8.values(weights.data(), panels.data(), sums.data(), rows, first, pairs, columns);
        for (Index r = 0; r < rows; ++r) {
          double largest = 0.0;
          for (Index i = 0; i < 2 * pairs; ++i) {
            largest = std::max(largest, std::fabs(double{before[at(r * kTileKeys + i)]}));
          }
          double worst = 0.0;
          for (Index i = 0; i < stride; ++i) {
            double expected = sums_before[at(r * stride + i)];
            for (Index token = 0; i < columns && token < 2 * pairs; ++token) {
              const Index lane = (2 * first + token) % 16;
              const Panel& panel = values[at((2 * first + token) / 16)];
              expected +=
                  double{before[at(r * kTileKeys + token)]} * panel(i / 16 * 16 + lane, i % 16);
            }
            worst = test::worse(worst, sums[at(r * stride + i)], expected);
          }
          // Half a unit for each weight, and the float that comes out.
          const double terms = 127.0 * largest * static_cast<double>(2 * pairs);
          CHECK(worst <= terms * (0.5 / 32766.0 * 1.0001 + 0x1p-22));
        }
      }
    }
  });
}

TEST_CASE("rows of int8 products that are zero, tiny or not finite", "[kernel]") {
  test::Random random(304);
  for_each_int8([&](const Int8Functions<float>& int8, Index) {
    const Index depth = 6;
    const Panel keys(depth, random);
    const float infinity = std::numeric_limits<float>::infinity();
    std::vector<float> queries(at(4 * depth), 0.0F);
    for (Index i = 0; i < depth; ++i) queries[at(depth + i)] = 1e-42F;
    queries[at(2 * depth + 3)] = infinity;
    queries[at(3 * depth + 2)] = std::numeric_limits<float>::quiet_NaN();
    std::vector<float> rounded(at(4 * 4));
    std::vector<float> scores(at(4 * kTileKeys));
    int8.round_queries(queries.data(), rounded.data(), 4, depth);
    int8.scores(rounded.data(), keys.cached(), scores.data(), 4, depth);
    for (Index lane = 0; lane < kPanelTokens; ++lane) {
      CHECK(scores[at(lane)] == 0.0F);
      CHECK(scores[at(kTileKeys + lane)] == 0.0F);
      CHECK(std::isnan(scores[at(2 * kTileKeys + lane)]));
      CHECK(std::isnan(scores[at(3 * kTileKeys + lane)]));
    }
  });
}
