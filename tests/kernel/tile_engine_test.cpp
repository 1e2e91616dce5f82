#include "coca/kernel/tile_engine.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "coca/kernel/call/scheme_hooks.hpp"
#include "coca/position/rope.hpp"
#include "support/bounds.hpp"
#include "support/catch.hpp"
#include "support/effort.hpp"
#include "support/random.hpp"

// Vectors as wide as AVX-512's, whether this machine has it or not: the compiler makes them of
// smaller ones.
#pragma GCC diagnostic ignored "-Wpsabi"
#define COCA_TARGET_NAMESPACE wide
#define COCA_TARGET_BYTES 64
#define COCA_TARGET_BFLOAT16 0
#include "coca/kernel/tile_engine.inc"

/// Every function of every instruction set that this machine can run.
namespace {

using namespace coca::detail;
using coca::Index;
using coca::Target;

/// All of one instruction set.
template <class T>
struct Engine : TileEngine<T> {
  const CacheFunctions<T>& cache;
  const GradientFunctions<T>& gradients;
  const PackedTurns<T>& turns;
  const Bfloat16Functions<T>* bfloat16;
};

/// Calls visit(engine, engine for narrow types) for each of them.
template <class T, class Visit>
void for_each_engine(Visit&& visit) {
  for (const Target target : kAllTargets) {
    if (!target_available(target)) continue;
    INFO(coca::target_name(target));
    visit(
        Engine<T>{tile_engine<T>(target), cache_functions<T>(target), gradient_functions<T>(target),
                  packed_turns<T>(target), bfloat16_functions<T>(target)},
        narrow_engine(target));
  }
  INFO("wide");
  visit(Engine<T>{wide::kEngine<T>, wide::kCacheFunctions<T>, wide::kGradientFunctions<T>,
                  wide::kPackedTurns<T>, wide::bfloat16_functions<T>()},
        wide::kNarrowEngine);
}

/// 2^x of 16 numbers of at most 0, and their sum, by way of a row whose maximum so far is 0.
template <class T>
T exponentiate(const TileEngine<T>& engine, T* x) {
  T maximum = T(0);
  T sums[32] = {};
  engine.softmax(x, 1, 16, &maximum, sums, 16);
  return std::accumulate(sums + 16, sums + 32, T(0));
}

template <class T>
std::vector<T> random_numbers(Index count, test::Random& random) {
  std::vector<T> x(static_cast<std::size_t>(count));
  for (T& value : x) value = static_cast<T>(random.uniform());
  return x;
}

}  // namespace

TEMPLATE_TEST_CASE("the products of a tile", "[kernel][engine]", float, double) {
  using T = TestType;
  test::Random random(101);
  for_each_engine<T>([&](const Engine<T>& engine, const NarrowEngine&) {
    for (const Index rows : {1, 2, 3, 5, 6, 7, 8, 13, 64}) {
      for (const Index keys : {1, 17, 32, 100, 128}) {
        const Index depth = random.integer(1, 70);
        const auto q = random_numbers<T>(rows * depth, random);
        const Index end = (keys + engine.vector - 1) / engine.vector * engine.vector;
        auto k = random_numbers<T>(keys * depth, random);
        k.resize(static_cast<std::size_t>(end * depth));
        std::vector<T> panels(static_cast<std::size_t>(kTileKeys * depth));
        std::vector<T> scores(static_cast<std::size_t>(rows * kTileKeys));
        std::vector<const T*> key_rows;
        for (Index key = 0; key < end; ++key) key_rows.push_back(k.data() + key * depth);
        for (Index packed = 0; packed < end; packed += kPackKeys) {
          engine.pack_keys(key_rows.data() + packed, panels.data(), packed,
                           std::min(kPackKeys, end - packed), 0, depth);
        }
        const Index first = random.integer(0, end / engine.vector - 1) * engine.vector;
        engine.scores(q.data(), panels.data(), scores.data(), rows, first, end, depth);
        double worst = 0.0;
        for (Index r = 0; r < rows; ++r) {
          for (Index key = first; key < end; ++key) {
            double sum = 0.0;
            for (Index i = 0; i < depth && key < keys; ++i) {
              sum += static_cast<double>(q[static_cast<std::size_t>(r * depth + i)]) *
                     static_cast<double>(k[static_cast<std::size_t>(key * depth + i)]);
            }
            worst = test::worse(
                worst, static_cast<double>(scores[static_cast<std::size_t>(r * kTileKeys + key)]),
                sum);
          }
        }
        // Operands are below 1.
        CHECK(worst <= test::sum_error(static_cast<double>(depth), test::kUnit<T>) *
                           static_cast<double>(depth));
      }
    }
  });
}

TEMPLATE_TEST_CASE("weighted values", "[kernel][engine]", float, double) {
  using T = TestType;
  test::Random random(102);
  for_each_engine<T>([&](const Engine<T>& engine, const NarrowEngine&) {
    for (const Index rows : {1, 5, 8, 64}) {
      for (const Index vectors : {1, 2, 3, 5, 8, 15}) {
        const Index columns = vectors * engine.vector;
        const Index first = random.integer(0, 100);
        const Index keys = random.integer(1, kTileKeys - first);
        const auto weights = random_numbers<T>(rows * kTileKeys, random);
        const Index dim = columns - random.integer(0, engine.vector - 1);
        const auto rows_of_values = random_numbers<T>(kTileKeys * dim, random);
        std::vector<T> values(static_cast<std::size_t>(kTileKeys * columns), T(9));
        std::vector<const T*> value_rows;
        for (Index key = 0; key < kTileKeys; ++key) {
          value_rows.push_back(rows_of_values.data() + key * dim);
        }
        for (const auto& [begin, end] : {std::pair<Index, Index>{0, 5}, {5, kTileKeys}}) {
          CHECK(engine.pack_values(value_rows.data() + begin, values.data(), begin, end - begin,
                                   dim));
        }
        const Index stride = columns + engine.vector;
        auto sums = random_numbers<T>(rows * stride, random);
        const auto before = sums;
        const auto value = [&](Index key, Index column) {
          return column < dim ? rows_of_values[static_cast<std::size_t>(key * dim + column)] : T(0);
        };
        engine.add_values(weights.data() + first, values.data(), sums.data(), rows, first, keys,
                          columns);
        double worst = 0.0;
        for (Index r = 0; r < rows; ++r) {
          for (Index c = 0; c < stride; ++c) {
            const auto at = static_cast<std::size_t>(r * stride + c);
            auto sum = static_cast<double>(before[at]);
            for (Index key = first; key < first + keys && c < columns; ++key) {
              sum += static_cast<double>(weights[static_cast<std::size_t>(r * kTileKeys + key)]) *
                     static_cast<double>(value(key, c));
            }
            worst = test::worse(worst, static_cast<double>(sums[at]), sum);
          }
        }
        const auto terms = static_cast<double>(keys + 1);
        CHECK(worst <= test::sum_error(terms, test::kUnit<T>) * terms);
      }
    }
  });
}

TEST_CASE("the products in bfloat16", "[kernel][engine]") {
  test::Random random(104);
  const auto rounded = [](float x) { return static_cast<float>(static_cast<Eigen::bfloat16>(x)); };
  for_each_engine<float>([&](const Engine<float>& engine, const NarrowEngine&) {
    if (engine.bfloat16 == nullptr) return;
    const Bfloat16Functions<float>& pairs = *engine.bfloat16;
    for (const Index rows : {1, 5, 6, 13}) {
      for (const Index keys : {1, 17, 100, 128}) {
        const Index depth = random.integer(1, 70);
        const Index half = (depth + 1) / 2;
        const Index dim = random.integer(1, 70);
        const Index end = (keys + engine.vector - 1) / engine.vector * engine.vector;
        const Index columns = (dim + engine.vector - 1) / engine.vector * engine.vector;
        const auto q = random_numbers<float>(rows * depth, random);
        const auto k = random_numbers<float>(keys * depth, random);
        const auto v = random_numbers<float>(keys * dim, random);
        const auto pack = [&](const std::vector<float>& x, Index count, Index width, Index stride) {
          std::vector<float> packed(static_cast<std::size_t>(count * stride));
          for (Index row = 0; row < count; ++row) {
            pairs.round(x.data() + row * width, packed.data() + row * stride, width);
          }
          return packed;
        };
        const auto narrow_q = pack(q, rows, depth, half);
        const auto narrow_k = pack(k, keys, depth, half);
        const auto narrow_v = pack(v, keys, dim, (dim + 1) / 2);
        std::vector<const float*> key_rows, value_rows;
        for (Index key = 0; key < end; ++key) {
          const Index row = std::min(key, keys - 1);
          key_rows.push_back(narrow_k.data() + row * half);
          value_rows.push_back(narrow_v.data() + row * ((dim + 1) / 2));
        }
        std::vector<float> key_panels(static_cast<std::size_t>(kTileKeys * half));
        std::vector<float> value_panels(static_cast<std::size_t>(kTileKeys * columns));
        for (Index first = 0; first < keys; first += kPackKeys) {
          const Index count = std::min(kPackKeys, keys - first);
          engine.pack_keys(key_rows.data() + first, key_panels.data(), first,
                           std::min(kPackKeys, end - first), 0, half);
          CHECK(
              pairs.pack_values(value_rows.data() + first, value_panels.data(), first, count, dim));
        }

        std::vector<float> scores(static_cast<std::size_t>(rows * kTileKeys));
        pairs.scores(narrow_q.data(), key_panels.data(), scores.data(), rows, 0, end, half, 0.75F);
        const auto at = [](const std::vector<float>& x, Index i) {
          return x[static_cast<std::size_t>(i)];
        };
        double worst = 0.0;
        for (Index r = 0; r < rows; ++r) {
          for (Index key = 0; key < keys; ++key) {
            double sum = 0.0;
            for (Index i = 0; i < depth; ++i) {
              sum += 0.75 * static_cast<double>(rounded(at(q, r * depth + i))) *
                     static_cast<double>(rounded(at(k, key * depth + i)));
            }
            worst = test::worse(worst, static_cast<double>(at(scores, r * kTileKeys + key)), sum);
          }
        }
        const auto terms = static_cast<double>(depth + 1);
        CHECK(worst <= test::sum_error(terms, test::kUnit<float>) * terms);

        // Weights of some keys: whole pairs, 0 beside them.
        const Index first = random.integer(0, keys - 1);
        auto weights = random_numbers<float>(rows * kTileKeys, random);
        for (Index r = 0; r < rows; ++r) {
          for (Index key = 0; key < kTileKeys; ++key) {
            if (key < first || key >= keys)
              weights[static_cast<std::size_t>(r * kTileKeys + key)] = 0.0F;
          }
        }
        const auto before = weights;
        const Index pair = first / 2;
        const Index count = (keys + 1) / 2 - pair;
        pairs.round_weights(weights.data() + 2 * pair, rows, 2 * count);
        std::vector<float> sums(static_cast<std::size_t>(rows * (columns + engine.vector)), 0.5F);
        pairs.add_values(weights.data() + 2 * pair, value_panels.data(), sums.data(), rows, pair,
                         count, columns);
        worst = 0.0;
        for (Index r = 0; r < rows; ++r) {
          for (Index c = 0; c < columns + engine.vector; ++c) {
            double sum = 0.5;
            for (Index key = first; key < keys && c < dim; ++key) {
              sum += static_cast<double>(rounded(at(before, r * kTileKeys + key))) *
                     static_cast<double>(rounded(at(v, key * dim + c)));
            }
            worst = test::worse(
                worst, static_cast<double>(at(sums, r * (columns + engine.vector) + c)), sum);
          }
        }
        const auto added = static_cast<double>(keys + 1);
        CHECK(worst <= test::sum_error(added, test::kUnit<float>) * added);
      }
    }
  });
}

TEST_CASE("packing says whether bfloat16 values are finite", "[kernel][engine]") {
  for_each_engine<float>([&](const Engine<float>& engine, const NarrowEngine&) {
    if (engine.bfloat16 == nullptr) return;
    for (const int bits : {0x0000, 0x7f7f, 0xff7f, 0x7f80, 0xff80, 0x7fc0}) {
      for (const Index place : {0, 19, 20, 39, 59}) {
        std::vector<std::uint16_t> values(60, 0x3f80);
        values[static_cast<std::size_t>(place)] = static_cast<std::uint16_t>(bits);
        std::vector<const float*> rows;
        for (Index key = 0; key < 3; ++key) {
          rows.push_back(reinterpret_cast<const float*>(values.data() + 20 * key));
        }
        std::vector<float> panels(static_cast<std::size_t>(kTileKeys * 32));
        CHECK(engine.bfloat16->pack_values(rows.data(), panels.data(), 0, 3, 20) ==
              ((bits & 0x7f80) != 0x7f80));
      }
    }
  });
}

TEMPLATE_TEST_CASE("the products for few rows", "[kernel][engine]", float, double) {
  using T = TestType;
  test::Random random(105);
  for_each_engine<T>([&](const Engine<T>& engine, const NarrowEngine&) {
    for (const Index dim : {1, 7, 16, 45, 130}) {
      constexpr Index rows = 3;
      constexpr Index keys = 48;
      const auto q = random_numbers<T>(rows * dim, random);
      auto k = random_numbers<T>(keys * dim, random);
      std::vector<const T*> key_rows;
      for (Index key = 0; key < keys; ++key) key_rows.push_back(k.data() + key * dim);
      std::vector<T> scores(static_cast<std::size_t>(rows * kTileKeys), T(9));
      engine.few_scores(q.data(), key_rows.data(), scores.data(), rows, 16, keys, dim);
      double worst = 0.0;
      for (Index r = 0; r < rows; ++r) {
        for (Index key = 0; key < keys; ++key) {
          double sum = 0.0;
          for (Index i = 0; i < dim; ++i) {
            sum += static_cast<double>(q[static_cast<std::size_t>(r * dim + i)]) *
                   static_cast<double>(k[static_cast<std::size_t>(key * dim + i)]);
          }
          const auto score =
              static_cast<double>(scores[static_cast<std::size_t>(r * kTileKeys + key)]);
          worst = test::worse(worst, score, key < 16 ? 9.0 : sum);
        }
      }
      const auto depth = static_cast<double>(dim);
      CHECK(worst <= test::sum_error(depth, test::kUnit<T>) * depth);

      // The rows of keys as values; those with a weight of 0 may be anything.
      const Index columns = (dim + engine.vector - 1) / engine.vector * engine.vector;
      const Index stride = columns + engine.vector;
      auto weights = random_numbers<T>(rows * kTileKeys, random);
      for (Index r = 0; r < rows; ++r) weights[static_cast<std::size_t>(r * kTileKeys + 20)] = T(0);
      std::fill_n(k.begin() + 20 * dim, dim, std::numeric_limits<T>::quiet_NaN());
      auto sums = random_numbers<T>(rows * stride, random);
      const auto before = sums;
      engine.few_values(weights.data() + 5, key_rows.data() + 5, sums.data(), rows, keys - 5, dim,
                        columns);
      worst = 0.0;
      for (Index r = 0; r < rows; ++r) {
        for (Index c = 0; c < stride; ++c) {
          const auto at = static_cast<std::size_t>(r * stride + c);
          auto sum = static_cast<double>(before[at]);
          for (Index key = 5; key < keys && c < dim; ++key) {
            if (key == 20) continue;
            sum += static_cast<double>(weights[static_cast<std::size_t>(r * kTileKeys + key)]) *
                   static_cast<double>(k[static_cast<std::size_t>(key * dim + c)]);
          }
          worst = test::worse(worst, static_cast<double>(sums[at]), sum);
        }
      }
      CHECK(worst <= test::sum_error(49.0, test::kUnit<T>) * 49.0);
    }
  });
}

/// Numbers as a cache holds them, and what they are.
template <class T>
struct StoredPanel {
  std::vector<std::byte> bytes;
  std::vector<T> values;

  /// As a panel of a cache, with nothing to be read after it.
  CachedPanel panel() const { return {bytes.data(), bytes.data()}; }

  StoredPanel(coca::ElementType type, Index count, test::Random& random) {
    const auto add = [&](auto x) {
      const auto* first = reinterpret_cast<const std::byte*>(&x);
      bytes.insert(bytes.end(), first, first + sizeof x);
      values.push_back(static_cast<T>(x));
    };
    for (Index i = 0; i < count; ++i) {
      const double x = random.uniform();
      switch (type) {
        case coca::ElementType::bfloat16:
          add(static_cast<Eigen::bfloat16>(x));
          break;
        case coca::ElementType::float16:
          add(static_cast<Eigen::half>(x));
          break;
        case coca::ElementType::int8:
          add(static_cast<std::int8_t>(127.0 * x));
          break;
        default:
          add(static_cast<T>(x));
      }
    }
  }
};

template <class T>
std::vector<coca::ElementType> cached_types() {
  using enum coca::ElementType;
  if (std::is_same_v<T, double>) return {float64};
  return {float32, bfloat16, float16, int8};
}

TEMPLATE_TEST_CASE("the products with panels of a cache", "[kernel][engine]", float, double) {
  using T = TestType;
  test::Random random(109);
  for_each_engine<T>([&](const Engine<T>& engine, const NarrowEngine&) {
    for (const coca::ElementType type : cached_types<T>()) {
      const PanelFunctions<T>& panels = engine.cache.panels(type);
      for (const Index rows : {1, 2, 3, 4, 5, 6, 7, 60}) {
        INFO("type " << static_cast<int>(type) << ", rows " << rows);
        const Index depth = random.integer(1, 70);
        const StoredPanel<T> keys(type, depth * kPanelTokens, random);
        const std::vector<T> queries = random_numbers<T>(rows * depth, random);
        std::vector<T> scores(static_cast<std::size_t>(rows * kTileKeys), T(-7));
        panels.scores(queries.data(), keys.panel(), scores.data(), rows, depth);
        const double unit = test::sum_error(static_cast<double>(depth), test::kUnit<T>) * 127.0;
        double worst = 0.0;
        for (Index r = 0; r < rows; ++r) {
          for (Index key = 0; key < kPanelTokens; ++key) {
            double sum = 0.0;
            for (Index k = 0; k < depth; ++k) {
              sum += static_cast<double>(queries[static_cast<std::size_t>(r * depth + k)]) *
                     static_cast<double>(keys.values[static_cast<std::size_t>(k * 16 + key)]);
            }
            worst = test::worse(
                worst, static_cast<double>(scores[static_cast<std::size_t>(r * kTileKeys + key)]),
                sum);
          }
          CHECK(scores[static_cast<std::size_t>(r * kTileKeys + kPanelTokens)] == T(-7));
        }
        CHECK(worst <= unit * static_cast<double>(depth));

        // The values of one panel to three, from any token on.
        const Index columns = engine.vector * random.integer(1, 9);
        const Index first = random.integer(0, 15);
        const Index count = random.integer(1, 48 - first);
        std::vector<StoredPanel<T>> values;
        std::vector<CachedPanel> value_panels;
        for (int panel = 0; panel < 3; ++panel) {
          values.emplace_back(type, (columns + 15) / 16 * 256, random);
          value_panels.push_back(values.back().panel());
        }
        const std::vector<T> weights = random_numbers<T>(rows * kTileKeys, random);
        const Index stride = columns + engine.vector;
        std::vector<T> sums = random_numbers<T>(rows * stride, random);
        const std::vector<T> before = sums;
        panels.values(weights.data(), value_panels.data(), sums.data(), rows, first, count,
                      columns);
        worst = 0.0;
        for (Index r = 0; r < rows; ++r) {
          for (Index i = 0; i < stride; ++i) {
            const auto at = static_cast<std::size_t>(r * stride + i);
            double sum = static_cast<double>(before[at]);
            for (Index key = 0; i < columns && key < count; ++key) {
              const Index value = (i / 16 * 16 + (first + key) % 16) * 16 + i % 16;
              const StoredPanel<T>& panel = values[static_cast<std::size_t>((first + key) / 16)];
              sum += static_cast<double>(weights[static_cast<std::size_t>(r * kTileKeys + key)]) *
                     static_cast<double>(panel.values[static_cast<std::size_t>(value)]);
            }
            worst = test::worse(worst, static_cast<double>(sums[at]), sum);
          }
        }
        CHECK(worst <= test::sum_error(49.0, test::kUnit<T>) * 127.0 * 49.0);
      }
    }
  });
}

TEST_CASE("the products with panels of a cache in bfloat16", "[kernel][engine]") {
  test::Random random(112);
  const auto rounded = [](float x) {
    return static_cast<double>(static_cast<float>(static_cast<Eigen::bfloat16>(x)));
  };
  for_each_engine<float>([&](const Engine<float>& engine, const NarrowEngine&) {
    if (engine.bfloat16 == nullptr) return;
    const Bfloat16Functions<float>& bfloat16 = *engine.bfloat16;
    for (const Index rows : {1, 2, 4, 6, 13}) {
      const Index depth = random.integer(1, 70);
      const Index pairs = (depth + 1) / 2;
      INFO("rows " << rows << ", depth " << depth);
      const auto at = [](const std::vector<float>& x, Index i) {
        return x[static_cast<std::size_t>(i)];
      };
      // An odd depth reads what lies behind.
      const StoredPanel<float> keys(coca::ElementType::bfloat16, 2 * pairs * kPanelTokens, random);
      const auto q = random_numbers<float>(rows * depth, random);
      std::vector<float> queries(static_cast<std::size_t>(rows * pairs));
      for (Index r = 0; r < rows; ++r) {
        bfloat16.round(q.data() + r * depth, queries.data() + r * pairs, depth);
      }
      std::vector<float> scores(static_cast<std::size_t>(rows * kTileKeys), -7.0F);
      bfloat16.panel_scores(queries.data(), keys.panel(), scores.data(), rows, pairs, 0.75F);
      double worst = 0.0;
      for (Index r = 0; r < rows; ++r) {
        for (Index key = 0; key < kPanelTokens; ++key) {
          double sum = 0.0;
          for (Index i = 0; i < depth; ++i) {
            sum += 0.75 * rounded(at(q, r * depth + i)) *
                   static_cast<double>(at(keys.values, i * kPanelTokens + key));
          }
          worst = test::worse(worst, static_cast<double>(at(scores, r * kTileKeys + key)), sum);
        }
        CHECK(at(scores, r * kTileKeys + kPanelTokens) == -7.0F);
      }
      const auto terms = static_cast<double>(depth + 1);
      CHECK(worst <= test::sum_error(terms, test::kUnit<float>) * terms);

      const Index columns = engine.vector * random.integer(1, 5);
      const Index first = random.integer(0, 7);
      const Index count = random.integer(1, 24 - first);
      std::vector<StoredPanel<float>> values;
      std::vector<CachedPanel> panels;
      for (int i = 0; i < 3; ++i) {
        values.emplace_back(coca::ElementType::bfloat16, columns * kPanelTokens, random);
      }
      for (const StoredPanel<float>& panel : values) panels.push_back(panel.panel());
      auto weights = random_numbers<float>(rows * kTileKeys, random);
      const auto before = weights;
      bfloat16.round_weights(weights.data(), rows, 2 * count);
      const Index stride = columns + engine.vector;
      std::vector<float> sums(static_cast<std::size_t>(rows * stride), 0.5F);
      bfloat16.panel_values(weights.data(), panels.data(), sums.data(), rows, first, count,
                            columns);
      worst = 0.0;
      for (Index r = 0; r < rows; ++r) {
        for (Index i = 0; i < stride; ++i) {
          double sum = 0.5;
          for (Index token = 0; i < columns && token < 2 * count; ++token) {
            const Index lane = (2 * first + token) % 16;
            const StoredPanel<float>& panel =
                values[static_cast<std::size_t>((2 * first + token) / 16)];
            sum += rounded(at(before, r * kTileKeys + token)) *
                   static_cast<double>(at(panel.values, (i / 16 * 16 + lane) * 16 + i % 16));
          }
          worst = test::worse(worst, static_cast<double>(at(sums, r * stride + i)), sum);
        }
      }
      CHECK(worst <= test::sum_error(49.0, test::kUnit<float>) * 49.0);
    }
  });
}

TEMPLATE_TEST_CASE("turning the keys of a panel, and rows of queries", "[kernel][engine]", float,
                   double) {
  using T = TestType;
  test::Random random(110);
  const auto number = [](const std::vector<T>& x, Index i) {
    return static_cast<double>(x[static_cast<std::size_t>(i)]);
  };
  for_each_engine<T>([&](const Engine<T>& engine, const NarrowEngine&) {
    // Some pairs turn, and a few in front of them do not.
    const Index still = 2;
    const Index all = 23;
    const Index depth = 2 * all;
    const std::vector<T> angles = random_numbers<T>(32 * all, random);
    for (const coca::ElementType type : cached_types<T>()) {
      const PanelFunctions<T>& panels = engine.cache.panels(type);
      const StoredPanel<T> keys(type, 16 * depth, random);
      for (const bool interleaved : {false, true}) {
        const Index step = interleaved ? 2 : 1;
        const CoordinatePairs pairs{still, all - still, still * step,
                                    interleaved ? still * step + 1 : still + all, step};
        // What the members of pair j of key l are, turned.
        const auto turned = [&](bool whole, Index j, Index l) {
          const double c = number(angles, 32 * (still + j) + l);
          const double s = number(angles, 32 * (still + j) + 16 + l);
          if (!whole) {
            const double t = number(keys.values, 16 * (still + j) + l);
            return std::pair(t * c, t * s);
          }
          const double a = number(keys.values, 16 * (pairs.first + j * step) + l);
          const double b = number(keys.values, 16 * (pairs.second + j * step) + l);
          return std::pair(a * c - b * s, b * c + a * s);
        };
        for (const bool whole : {true, false}) {
          INFO("type " << static_cast<int>(type) << ", interleaved " << interleaved << ", whole "
                       << whole);
          const TurnFunctions<T>& functions = whole ? panels.whole : panels.halves;
          std::vector<T> psi(static_cast<std::size_t>(16 * depth), T(-7));
          functions.turn(keys.panel(), pairs, angles.data(), psi.data());
          double worst = 0.0;
          for (Index j = 0; j < pairs.count; ++j) {
            for (Index l = 0; l < 16; ++l) {
              const auto [x, y] = turned(whole, j, l);
              worst = test::worse(worst, number(psi, 16 * (pairs.first + j * step) + l), x);
              worst = test::worse(worst, number(psi, 16 * (pairs.second + j * step) + l), y);
            }
          }
          CHECK(worst <= 4.0 * 127.0 * test::kUnit<T>);
          CHECK(psi[0] == T(-7));

          for (const Index rows : {1, 2, 3, 4, 5, 8}) {
            const std::vector<T> queries = random_numbers<T>(rows * depth, random);
            for (const bool add : {false, true}) {
              std::vector<T> scores(static_cast<std::size_t>(rows * kTileKeys), T(-7));
              functions.scores(queries.data(), depth, keys.panel(), pairs, angles.data(),
                               scores.data(), rows, add);
              worst = 0.0;
              for (Index r = 0; r < rows; ++r) {
                for (Index l = 0; l < 16; ++l) {
                  double sum = add ? -7.0 : 0.0;
                  for (Index j = 0; j < pairs.count; ++j) {
                    const auto [x, y] = turned(whole, j, l);
                    sum += number(queries, r * depth + pairs.first + j * step) * x +
                           number(queries, r * depth + pairs.second + j * step) * y;
                  }
                  worst = test::worse(worst, number(scores, r * kTileKeys + l), sum);
                }
                CHECK(scores[static_cast<std::size_t>(r * kTileKeys + 16)] == T(-7));
              }
              // Members are off by a few units before they are summed up.
              const auto terms = static_cast<double>(depth);
              CHECK(worst <= test::sum_error(terms + 5.0, test::kUnit<T>) * 254.0 * terms);
            }
          }
        }

        // Rows, with one angle a pair.
        const std::vector<T> rows = random_numbers<T>(3 * depth, random);
        std::vector<T> to = rows;
        engine.cache.turn_rows(to.data(), pairs, angles.data(), angles.data() + all, to.data(), 3,
                               depth);
        double worst = 0.0;
        for (Index r = 0; r < 3; ++r) {
          for (Index j = 0; j < pairs.count; ++j) {
            const Index x = r * depth + pairs.first + j * step;
            const Index y = r * depth + pairs.second + j * step;
            const double c = number(angles, still + j);
            const double s = number(angles, all + still + j);
            worst = test::worse(worst, number(to, x), number(rows, x) * c - number(rows, y) * s);
            worst = test::worse(worst, number(to, y), number(rows, y) * c + number(rows, x) * s);
          }
        }
        CHECK(worst <= 4.0 * test::kUnit<T>);
      }
    }
  });
}

TEMPLATE_TEST_CASE("keys turn where they are packed", "[kernel][engine]", float, double) {
  using T = TestType;
  test::Random random(112);
  const auto number = [](const std::vector<T>& x, Index i) {
    return static_cast<double>(x[static_cast<std::size_t>(i)]);
  };
  for_each_engine<T>([&](const Engine<T>& engine, const NarrowEngine&) {
    for (int round = 0; round < 12; ++round) {
      const Index half = random.integer(1, 25);
      const Index depth = 2 * half;
      const auto layout =
          round % 2 == 0 ? coca::RopeLayout::half_split : coca::RopeLayout::interleaved;
      const coca::Rope rope(
          {.dim = depth, .rotary_dim = 2 * random.integer(1, half), .layout = layout});
      const Index keys = round % 3 == 0 ? engine.vector : kPackKeys;
      const Index first = random.integer(0, (kTileKeys - keys) / kPackKeys) * kPackKeys;
      const std::vector<T> angles = random_numbers<T>(32 * half, random);
      const std::vector<T> more = random_numbers<T>(depth, random);
      for (const bool whole : {true, false}) {
        INFO("dim " << depth << ", turning " << rope.rotary_dim() << ", whole " << whole);
        const Index begin = whole ? 0 : half;
        const Index width = depth - begin;
        const std::vector<T> k = random_numbers<T>(keys * width, random);
        std::vector<const T*> rows;
        for (Index key = 0; key < keys; ++key) rows.push_back(k.data() + key * width);
        std::vector<T> panels(static_cast<std::size_t>(kTileKeys * depth), T(-7));
        engine.pack_keys(rows.data(), panels.data(), first, keys, begin, depth);
        const auto turn = whole ? engine.turns.whole : engine.turns.halves;
        pair_runs(rope).for_each([&](const CoordinatePairs& pairs) {
          turn(panels.data(), first, keys, depth, pairs, angles.data(), more.data(),
               more.data() + half);
        });

        const auto packed = [&](Index key, Index i) {
          const Index panel = key / engine.panel * engine.panel;
          return number(panels, panel * depth + i * engine.panel + key % engine.panel);
        };
        double worst = 0.0;
        for (Index key = 0; key < keys; ++key) {
          for (Index j = 0; j < half; ++j) {
            const double c = number(angles, 32 * j + key);
            const double s = number(angles, 32 * j + 16 + key);
            const double cosine = c * number(more, j) - s * number(more, half + j);
            const double sine = s * number(more, j) + c * number(more, half + j);
            const auto [x, y] = rope.pair(j);
            const double a = number(k, key * width + (whole ? x : j));
            const double b = whole ? number(k, key * width + y) : 0.0;
            worst = test::worse(worst, packed(first + key, x), a * cosine - b * sine);
            worst = test::worse(worst, packed(first + key, y), b * cosine + a * sine);
          }
        }
        // Numbers and angles are below 1: two sums of two products, one after the other.
        CHECK(worst <= 8.0 * test::kUnit<T>);
        CHECK(std::count(panels.begin(), panels.end(), T(-7)) == (kTileKeys - keys) * depth);
      }
    }
  });
}

TEMPLATE_TEST_CASE("columns are scaled, and no others", "[kernel][engine]", float, double) {
  using T = TestType;
  test::Random random(111);
  for_each_engine<T>([&](const Engine<T>& engine, const NarrowEngine&) {
    const std::vector<T> factors = random_numbers<T>(16, random);
    for (const Index count : {1, 7, 16}) {
      std::vector<T> x = random_numbers<T>(3 * kTileKeys, random);
      const std::vector<T> before = x;
      engine.cache.scale_columns(x.data(), 2, count, factors.data());
      for (std::size_t i = 0; i < x.size(); ++i) {
        const auto column = static_cast<Index>(i) % kTileKeys;
        const bool scaled = static_cast<Index>(i) < 2 * kTileKeys && column < count;
        CHECK(x[i] == (scaled ? before[i] * factors[static_cast<std::size_t>(column)] : before[i]));
      }
    }
  });
}

TEMPLATE_TEST_CASE("the products of gradients", "[kernel][engine]", float, double) {
  using T = TestType;
  test::Random random(120);
  for_each_engine<T>([&](const Engine<T>& engine, const NarrowEngine&) {
    for (const Index rows : {1, 2, 5, 6, 13, 66}) {
      const Index columns = random.integer(1, 9) * engine.vector;
      const Index depth = random.integer(1, 70);
      const Index a_stride = std::max(rows, depth) + 3;
      const Index stride = columns + 5;
      const auto a = random_numbers<T>(a_stride * a_stride, random);
      const auto b = random_numbers<T>(depth * stride, random);
      const auto before = random_numbers<T>(rows * stride, random);
      for (const bool transposed : {false, true}) {
        auto c = before;
        (transposed ? engine.gradients.add_transposed : engine.gradients.add_product)(
            a.data(), a_stride, b.data(), stride, c.data(), stride, rows, columns, depth);
        double worst = 0.0;
        for (Index r = 0; r < rows; ++r) {
          for (Index i = 0; i < stride; ++i) {
            double sum = static_cast<double>(before[static_cast<std::size_t>(r * stride + i)]);
            for (Index k = 0; k < depth && i < columns; ++k) {
              const Index at = transposed ? k * a_stride + r : r * a_stride + k;
              sum += static_cast<double>(a[static_cast<std::size_t>(at)]) *
                     static_cast<double>(b[static_cast<std::size_t>(k * stride + i)]);
            }
            worst = test::worse(
                worst, static_cast<double>(c[static_cast<std::size_t>(r * stride + i)]), sum);
          }
        }
        const auto terms = static_cast<double>(depth + 1);
        CHECK(worst <= test::sum_error(terms, test::kUnit<T>) * terms);
      }
    }
  });
}

TEMPLATE_TEST_CASE("weights and the gradients of scores; hidden ones are 0 whatever else there is",
                   "[kernel][engine]", float, double) {
  using T = TestType;
  using Limits = std::numeric_limits<T>;
  test::Random random(121);
  for_each_engine<T>([&](const Engine<T>& engine, const NarrowEngine&) {
    const Index stride = 40;
    auto scores = random_numbers<T>(3 * stride, random);
    auto products = random_numbers<T>(3 * stride, random);
    const T shifts[] = {T(2), Limits::quiet_NaN(), T(1.5)};
    const T means[] = {T(0.5), T(0), Limits::infinity()};
    for (std::size_t row = 0; row < 3; ++row) scores[row * 40 + 5] = -Limits::infinity();
    products[5] = Limits::quiet_NaN();
    const auto old_scores = scores;
    const auto old_products = products;
    engine.gradients.weigh(scores.data(), products.data(), stride, 3, 16, shifts, means);
    for (std::size_t i = 0; i < scores.size(); ++i) {
      const std::size_t row = i / 40;
      if (i % 40 >= 16) {
        CHECK(scores[i] == old_scores[i]);
        CHECK(products[i] == old_products[i]);
      } else if (i % 40 == 5) {
        CHECK(scores[i] == T(0));
        CHECK(products[i] == T(0));
      } else if (row == 1) {
        CHECK(std::isnan(scores[i]));
        CHECK(std::isnan(products[i]));
      } else {
        const double weight =
            std::exp2(static_cast<double>(old_scores[i]) - static_cast<double>(shifts[row]));
        // 2 ulp of the power, and the rounding of what it is of.
        CHECK(std::fabs(static_cast<double>(scores[i]) - weight) <= 8.0 * test::kUnit<T> * weight);
        if (row == 2) {
          CHECK(products[i] == -Limits::infinity());
        } else {
          const double change = static_cast<double>(old_products[i]) - 0.5;
          CHECK(std::fabs(static_cast<double>(products[i]) - weight * change) <=
                16.0 * test::kUnit<T> * weight);
        }
      }
    }
  });
}

TEMPLATE_TEST_CASE("derivatives of a soft-cap, and factors by elements", "[kernel][engine]", float,
                   double) {
  using T = TestType;
  test::Random random(122);
  for_each_engine<T>([&](const Engine<T>& engine, const NarrowEngine&) {
    const auto scores = random_numbers<T>(16, random);
    const auto before = random_numbers<T>(16, random);
    for (const bool first : {false, true}) {
      auto derivatives = before;
      engine.gradients.derive_soft_cap(scores.data(), derivatives.data(), 16, T(0.5), first);
      for (std::size_t i = 0; i < 16; ++i) {
        const double slope = 1.0 - std::pow(0.5 * static_cast<double>(scores[i]), 2);
        const double expected = first ? slope : slope * static_cast<double>(before[i]);
        CHECK(std::fabs(static_cast<double>(derivatives[i]) - expected) <= 4.0 * test::kUnit<T>);
      }
    }
    auto x = random_numbers<T>(80, random);
    const auto old = x;
    const auto factors = random_numbers<T>(80, random);
    engine.gradients.multiply(x.data(), factors.data(), 40, 2, 16);
    for (std::size_t i = 0; i < x.size(); ++i) {
      CHECK(x[i] == (i % 40 < 16 ? old[i] * factors[i] : old[i]));
    }
  });
}

TEMPLATE_TEST_CASE("dot products, and what is finite, of any length", "[kernel][engine]", float,
                   double) {
  using T = TestType;
  test::Random random(123);
  for_each_engine<T>([&](const Engine<T>& engine, const NarrowEngine&) {
    for (const Index count : {0, 1, 7, 16, 45}) {
      auto x = random_numbers<T>(count, random);
      const auto y = random_numbers<T>(count, random);
      double sum = 0.0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        sum += static_cast<double>(x[i]) * static_cast<double>(y[i]);
      }
      CHECK(std::fabs(static_cast<double>(engine.gradients.dot(x.data(), y.data(), count)) - sum) <=
            test::sum_error(static_cast<double>(count), test::kUnit<T>) *
                static_cast<double>(count));
      CHECK(engine.gradients.all_finite(x.data(), count));
      for (T& value : x) {
        for (const T bad :
             {std::numeric_limits<T>::quiet_NaN(), -std::numeric_limits<T>::infinity()}) {
          value = bad;
          CHECK_FALSE(engine.gradients.all_finite(x.data(), count));
        }
        value = std::numeric_limits<T>::max();
      }
    }
  });
}

TEST_CASE("2^x is within 2 ulp over its whole range", "[kernel][engine]") {
  for_each_engine<float>([&](const Engine<float>& engine, const NarrowEngine&) {
    // Floats from -0 down to -126, one in so many; below that results are subnormal and then 0.
    constexpr std::uint32_t step = test::kEmulated ? 997 : 61;
    double worst = 0.0;
    for (std::uint32_t bits = 0x80000000U; bits + 15 * step < 0xC2FC0000U; bits += 16 * step) {
      float x[16], y[16];
      for (std::uint32_t i = 0; i < 16; ++i) x[i] = y[i] = std::bit_cast<float>(bits + step * i);
      exponentiate(engine, y);
      for (int i = 0; i < 16; ++i) {
        const double exact = std::exp2(static_cast<double>(x[i]));
        const auto nearest = static_cast<float>(exact);
        const double ulp = static_cast<double>(std::nextafter(nearest, 2.0F * nearest) - nearest);
        worst = std::max(worst, std::fabs(static_cast<double>(y[i]) - exact) / ulp);
      }
    }
    CHECK(worst <= 2.0);
  });
  for_each_engine<double>([&](const Engine<double>& engine, const NarrowEngine&) {
    double worst = 0.0;
    const int count = test::share_of(40000);
    for (int i = 0; i < count; ++i) {
      double x[16], y[16];
      for (int j = 0; j < 16; ++j) x[j] = y[j] = -1022.0 * (16 * i + j) / (16.0 * count);
      exponentiate(engine, y);
      for (int j = 0; j < 16; ++j) {
        const long double exact = std::exp2(static_cast<long double>(x[j]));
        const auto nearest = static_cast<double>(exact);
        const double ulp = std::nextafter(nearest, 2.0 * nearest) - nearest;
        worst = std::max(
            worst, static_cast<double>(std::fabs(static_cast<long double>(y[j]) - exact)) / ulp);
      }
    }
    CHECK(worst <= 2.0);
  });
}

TEMPLATE_TEST_CASE("2^x keeps the special values, and its sum", "[kernel][engine]", float, double) {
  using T = TestType;
  using Limits = std::numeric_limits<T>;
  for_each_engine<T>([&](const Engine<T>& engine, const NarrowEngine&) {
    std::vector<T> x(16, T(0));
    x[1] = -T(0);
    x[2] = -Limits::infinity();
    x[3] = Limits::lowest();
    x[4] = T(-5000);
    x[5] = T(-1);
    CHECK(exponentiate(engine, x.data()) == T(16 - 4) + T(0.5));
    CHECK(x[0] == T(1));
    CHECK(x[1] == T(1));
    CHECK(x[2] == T(0));
    CHECK(x[3] == T(0));
    CHECK(x[4] == T(0));
    CHECK(x[5] == T(0.5));
    x[7] = Limits::quiet_NaN();
    CHECK(std::isnan(exponentiate(engine, x.data())));
    CHECK(std::isnan(x[7]));
    CHECK_FALSE(std::isnan(x[6]));
  });
}

TEMPLATE_TEST_CASE("the soft-cap's tanh is odd and within 2 ulp", "[kernel][engine]", float,
                   double) {
  using T = TestType;
  using Limits = std::numeric_limits<T>;
  const auto capped = [](const TileEngine<T>& engine, std::array<T, 16> x) {
    engine.soft_cap(x.data(), 16, 1, 16, T(1));
    return x;
  };
  for_each_engine<T>([&](const Engine<T>& engine, const NarrowEngine&) {
    // Every size of number, from 2^-30 to where tanh is 1 but for rounding, and beyond.
    double worst = 0.0;
    bool odd = true;
    for (double first = 0x1p-30; first < 64.0; first *= test::kEmulated ? 1.005 : 1.0005) {
      std::array<T, 16> x;
      std::array<T, 16> minus;
      for (std::size_t i = 0; i < x.size(); ++i) {
        x[i] = static_cast<T>(first * (1.0 + 0.00003 * static_cast<double>(i)));
        minus[i] = -x[i];
      }
      const auto y = capped(engine, x);
      const auto minus_y = capped(engine, minus);
      for (std::size_t i = 0; i < x.size(); ++i) {
        odd = odd && y[i] == -minus_y[i];
        const long double exact = std::tanh(static_cast<long double>(x[i]));
        const T nearest = static_cast<T>(exact);
        const T ulp = nearest - std::nextafter(nearest, T(0));
        worst =
            std::max(worst, static_cast<double>(std::fabs(static_cast<long double>(y[i]) - exact) /
                                                static_cast<long double>(ulp)));
      }
    }
    CHECK(odd);
    CHECK(worst <= 2.0);

    std::array<T, 16> special{};
    special[0] = Limits::infinity();
    special[1] = -Limits::infinity();
    special[2] = Limits::quiet_NaN();
    const auto y = capped(engine, special);
    CHECK(y[0] == T(1));
    CHECK(y[1] == T(-1));
    CHECK(std::isnan(y[2]));
    CHECK(y[3] == T(0));
  });
}

TEMPLATE_TEST_CASE("a soft-cap gives a score the same bits beside larger ones", "[kernel][engine]",
                   float, double) {
  using T = TestType;
  for_each_engine<T>([&](const Engine<T>& engine, const NarrowEngine&) {
    bool same = true;
    for (double first = 0x1p-20; first < 0.7; first *= 1.001) {
      std::array<T, 16> alone;
      for (std::size_t i = 0; i < alone.size(); ++i) {
        alone[i] = static_cast<T>((i % 2 == 0 ? first : -first) *
                                  (1.0 + 0.00006 * static_cast<double>(i)));
      }
      std::array<T, 16> beside = alone;
      beside[15] = T(7);
      engine.soft_cap(alone.data(), 16, 1, 16, T(1));
      engine.soft_cap(beside.data(), 16, 1, 16, T(1));
      same = same && std::equal(alone.begin(), alone.begin() + 15, beside.begin());
    }
    CHECK(same);
  });
}

TEMPLATE_TEST_CASE("a soft-cap gives a score the same bits beside NaN, wherever that is",
                   "[kernel][engine]", float, double) {
  using T = TestType;
  for_each_engine<T>([&](const Engine<T>& engine, const NarrowEngine&) {
    bool same = true;
    bool stays = true;
    for (std::size_t nan = 0; nan < 16; ++nan) {
      for (std::size_t large = 0; large < 16; ++large) {
        for (const std::size_t row : {0U, 3U, 8U}) {  // of nine, more than are looked at together
          std::vector<T> alone(9 * 16, T(0.01));
          alone[16 * row + large] = T(5);
          std::vector<T> beside = alone;
          beside[nan] = std::numeric_limits<T>::quiet_NaN();
          engine.soft_cap(alone.data(), 16, 9, 16, T(1));
          engine.soft_cap(beside.data(), 16, 9, 16, T(1));
          stays = stays && std::isnan(beside[nan]);
          for (std::size_t i = 0; i < alone.size(); ++i) {
            same = same && (i == nan || alone[i] == beside[i]);
          }
        }
      }
    }
    CHECK(same);
    CHECK(stays);
  });
}

TEMPLATE_TEST_CASE("a soft-cap bends each score of the rows it is given", "[kernel][engine]", float,
                   double) {
  using T = TestType;
  test::Random random(108);
  for_each_engine<T>([&](const Engine<T>& engine, const NarrowEngine&) {
    std::vector<T> scores = random_numbers<T>(4 * kTileKeys, random);
    const std::vector<T> before = scores;
    const Index count = 3 * engine.vector;
    engine.soft_cap(scores.data(), kTileKeys, 3, count, T(1.5));
    for (Index r = 0; r < 4; ++r) {
      for (Index j = 0; j < kTileKeys; ++j) {
        const auto at = static_cast<std::size_t>(r * kTileKeys + j);
        const double was = static_cast<double>(before[at]);
        const double expected = r < 3 && j < count ? 1.5 * std::tanh(was) : was;
        if (static_cast<double>(scores[at]) == expected) continue;
        CHECK(std::fabs(static_cast<double>(scores[at]) - expected) <=
              8.0 * test::kUnit<T> * std::fabs(expected));
      }
    }
  });
}

TEMPLATE_TEST_CASE("the softmax finds its maximum anywhere", "[kernel][engine]", float, double) {
  using T = TestType;
  for_each_engine<T>([&](const Engine<T>& engine, const NarrowEngine&) {
    for (std::size_t at = 0; at < 48; ++at) {
      const auto vector = static_cast<std::size_t>(engine.vector);
      std::vector<T> x(48, T(-3)), sums(16 + vector, T(8));
      x[at] = T(2);
      T maximum = T(1);
      engine.softmax(x.data(), 1, 48, &maximum, sums.data(), 16);
      CHECK(maximum == T(2));
      const auto weights = sums.begin() + 16;
      CHECK(std::vector<T>(sums.begin(), weights) == std::vector<T>(16, T(4)));
      CHECK(std::accumulate(weights, sums.end(), T(0)) ==
            T(4) * static_cast<T>(vector) + T(1) + T(47) / 32);
      CHECK(x[at] == T(1));
      CHECK(x[(at + 1) % 48] == T(1) / 32);
    }
  });
}

TEMPLATE_TEST_CASE("scaling, of any length and in place", "[kernel][engine]", float, double) {
  using T = TestType;
  test::Random random(103);
  for_each_engine<T>([&](const Engine<T>& engine, const NarrowEngine&) {
    for (const Index count : {0, 1, 7, 16, 33}) {
      auto x = random_numbers<T>(40, random);
      auto expected = x;
      for (Index i = 0; i < count; ++i) expected[static_cast<std::size_t>(i)] *= T(3);
      std::vector<T> to(40, T(9));
      engine.scale(x.data(), to.data(), count, T(3));
      CHECK(std::equal(to.begin(), to.begin() + count, expected.begin()));
      CHECK(std::all_of(to.begin() + count, to.end(), [](T value) { return value == T(9); }));
      engine.scale(x.data(), x.data(), count, T(3));
      CHECK(x == expected);
    }
  });
}

TEMPLATE_TEST_CASE("packing says whether values are finite", "[kernel][engine]", float, double) {
  using T = TestType;
  for_each_engine<T>([&](const Engine<T>& engine, const NarrowEngine&) {
    std::vector<T> panels(static_cast<std::size_t>(kTileKeys * 64));
    for (const Index dim : {16, 45}) {
      std::vector<T> x(static_cast<std::size_t>(3 * dim), std::numeric_limits<T>::max());
      const T* rows[] = {x.data(), x.data() + dim, x.data() + 2 * dim};
      CHECK(engine.pack_values(rows, panels.data(), 7, 3, dim));
      for (T& value : x) {
        for (const T bad :
             {std::numeric_limits<T>::quiet_NaN(), -std::numeric_limits<T>::infinity()}) {
          value = bad;
          CHECK_FALSE(engine.pack_values(rows, panels.data(), 7, 3, dim));
        }
        value = T(1);
      }
    }
  });
}

TEST_CASE("every half and every bfloat16 widens to itself", "[kernel][engine]") {
  for_each_engine<float>([&](const TileEngine<float>&, const NarrowEngine& engine) {
    std::vector<std::uint16_t> narrow(65536);
    for (std::size_t i = 0; i < narrow.size(); ++i) narrow[i] = static_cast<std::uint16_t>(i);
    std::vector<float> wide(narrow.size());
    const auto same = [&](auto type) {
      for (std::size_t i = 0; i < narrow.size(); ++i) {
        const auto expected = static_cast<float>(std::bit_cast<decltype(type)>(narrow[i]));
        if (std::isnan(expected)
                ? !std::isnan(wide[i])
                : std::bit_cast<std::uint32_t>(wide[i]) != std::bit_cast<std::uint32_t>(expected)) {
          return false;
        }
      }
      return true;
    };
    engine.widen_half(narrow.data(), 1, wide.data(), 65536);
    CHECK(same(Eigen::half{}));
    engine.widen_bfloat16(narrow.data(), 1, wide.data(), 65536);
    CHECK(same(Eigen::bfloat16{}));
  });
}

TEST_CASE("floats narrow as Eigen's conversions do", "[kernel][engine]") {
  test::Random random(104);
  // Every half and bfloat16 and what lies between two of them: exact, above and below the middle,
  // the middle itself; and tails of any length.
  std::vector<float> wide;
  for (std::uint32_t high = 0; high < 65536; ++high) {
    for (const std::uint32_t low : {0x0U, 0x7fffU, 0x8000U, 0x8001U}) {
      wide.push_back(std::bit_cast<float>(high << 16 | low));
      // The middles of halves lie elsewhere.
      wide.push_back(std::bit_cast<float>(high << 16 | (low >> 3) | (low & 1U)));
    }
    const auto half =
        static_cast<float>(std::bit_cast<Eigen::half>(static_cast<std::uint16_t>(high)));
    const auto next =
        static_cast<float>(std::bit_cast<Eigen::half>(static_cast<std::uint16_t>(high + 1)));
    for (const float x : {half, (half + next) / 2, std::nextafter((half + next) / 2, half),
                          std::nextafter((half + next) / 2, next)}) {
      wide.push_back(x);
    }
  }
  for_each_engine<float>([&](const TileEngine<float>&, const NarrowEngine& engine) {
    std::vector<std::uint16_t> narrow(wide.size());
    const auto differences = [&](auto type) {
      using Narrow = decltype(type);
      long count = 0;
      for (std::size_t i = 0; i < wide.size(); ++i) {
        const auto expected = static_cast<Narrow>(wide[i]);
        const auto actual = std::bit_cast<Narrow>(narrow[i]);
        if (std::isnan(wide[i])) {
          count += !(Eigen::numext::isnan)(actual);
        } else {
          count += narrow[i] != std::bit_cast<std::uint16_t>(expected);
        }
      }
      return count;
    };
    const auto size = static_cast<Index>(wide.size());
    engine.scale_to_half(wide.data(), narrow.data(), 1, size, 1.0F);
    CHECK(differences(Eigen::half{}) == 0);
    engine.scale_to_bfloat16(wide.data(), narrow.data(), 1, size, 1.0F);
    CHECK(differences(Eigen::bfloat16{}) == 0);

    for (const Index count : {0, 1, 7, 9, 16, 23}) {
      std::vector<float> x(24, 1.5F), back(24, 9.0F);
      std::vector<std::uint16_t> to(24, 0x4242U);
      engine.scale_to_half(x.data(), to.data(), 1, count, 2.0F);
      CHECK(std::count(to.begin(), to.end(), 0x4200U) == count);  // 3
      CHECK(std::count(to.begin() + count, to.end(), 0x4242U) == 24 - count);
      engine.widen_half(to.data(), 1, back.data(), count);
      CHECK(std::count(back.begin(), back.end(), 3.0F) == count);
      CHECK(std::count(back.begin() + count, back.end(), 9.0F) == 24 - count);
    }
  });
}
