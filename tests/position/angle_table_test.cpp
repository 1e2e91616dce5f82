#include "coca/position/angle_table.hpp"

#include <cmath>
#include <thread>

#include "coca/position/frequencies.hpp"
#include "support/bounds.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace {

using coca::AngleTable;
using coca::Position;

/// The cos and sin of all frequencies at position n.
template <class T>
void rotations(const AngleTable& table, Position n, T* cosines, T* sines) {
  table.cos_sin(n, 0, static_cast<coca::Index>(table.frequencies().size()), cosines, sines);
}

/// Largest difference of the table's cos and sin, in T, from long double at position n.
template <class T>
double error_at(const AngleTable& table, Position n) {
  const auto frequencies = table.frequencies();
  // Whole chunks.
  std::vector<T> c(frequencies.size() + AngleTable::chunk), s(c.size());
  rotations(table, n, c.data(), s.data());
  double worst = 0.0;
  for (std::size_t j = 0; j < frequencies.size(); ++j) {
    const long double angle =
        static_cast<long double>(n) * static_cast<long double>(frequencies[j]);
    worst = test::worse(worst, static_cast<double>(c[j]), static_cast<double>(std::cos(angle)));
    worst = test::worse(worst, static_cast<double>(s[j]), static_cast<double>(std::sin(angle)));
  }
  return worst;
}

}  // namespace

TEST_CASE("angles are exact at every position", "[position]") {
  const AngleTable table(coca::rotary_frequencies(128, 10000.0));
  test::Random random(21);
  std::vector<Position> positions{0,          1,
                                  -1,         63,
                                  64,         65,
                                  4095,       4096,
                                  -131073,    1 << 18,
                                  10'000'000, (1 << 30) - 1,
                                  1 << 30,    -(1LL << 30),
                                  -(1 << 24), 1LL << 33};
  for (int i = 0; i < 300; ++i) positions.push_back(random.integer(-20'000'000, 20'000'000));
  for (const Position n : positions) {
    INFO("position " << n);
    // float: rounding of a number below 1, half an ulp of 2^-24. Beyond 2^31 tokens even long
    // double angles are off by 1e-10.
    CHECK(error_at<float>(table, n) <= 0x1.001p-25 + 1e-9 * (n >= (1LL << 31)));
    CHECK(error_at<double>(table, n) <= 2e-15 + 3e-19 * std::fabs(static_cast<double>(n)));
  }
}

TEST_CASE("what a thread keeps of its last angles is not taken for others", "[position]") {
  // Widths of one piece, of two that share what is kept, and of more than are kept.
  for (const coca::Index dim : {32, 96, 160, 1200}) {
    const AngleTable slow(coca::rotary_frequencies(dim, 1e6));
    const AngleTable fast(coca::rotary_frequencies(dim, 1e4));
    test::Random random(31);
    for (int i = 0; i < 2000; ++i) {
      const AngleTable& table = random.integer(0, 1) == 0 ? slow : fast;
      const Position n = random.integer(-1, 1) * 300;
      const coca::Index pieces = (dim / 2 + AngleTable::chunk - 1) / AngleTable::chunk;
      const coca::Index first = random.integer(0, pieces - 1) * AngleTable::chunk;
      const coca::Index count = random.integer(1, dim / 2 - first);
      const double factor = random.integer(0, 1) == 0 ? 1.0 : 0.5;
      std::vector<float> c(static_cast<std::size_t>(count + AngleTable::chunk)), s(c.size());
      table.cos_sin(n, first, count, c.data(), s.data(), factor);
      for (coca::Index j = 0; j < count; ++j) {
        const double frequency = table.frequencies()[static_cast<std::size_t>(first + j)];
        const double angle = static_cast<double>(n) * frequency;
        const auto at = static_cast<std::size_t>(j);
        REQUIRE(std::fabs(c[at] - factor * std::cos(angle)) <= 0x1.001p-25);
        REQUIRE(std::fabs(s[at] - factor * std::sin(angle)) <= 0x1.001p-25);
      }
    }
  }
}

TEST_CASE("at ten million tokens float angles would be far off", "[position]") {
  // What the table is for: the same angle computed in float.
  const float angle = 10'000'000.0F * 0.749894209F;  // theta_2 of a 128-wide head
  const double exact = std::cos(10'000'000.0 * static_cast<double>(0.749894209F));
  CHECK(std::fabs(static_cast<double>(std::cos(angle)) - exact) > 1e-2);
}

TEST_CASE("the table grows with what is asked, not with positions", "[position]") {
  const AngleTable table(coca::rotary_frequencies(128, 10000.0));
  CHECK(table.bytes() == 0);
  float c[64], s[64];
  rotations(table, 10'000'000, c, s);
  const std::size_t row = 64 * 2 * sizeof(double);
  CHECK(table.bytes() == 4 * row);
  for (Position n = 0; n < 32768; ++n) rotations(table, n, c, s);
  CHECK(table.bytes() <= (1 + 64 + 63 + 8 + 3) * row);
  rotations(table, 1LL << 40, c, s);
  CHECK(table.bytes() <= (1 + 64 + 63 + 8 + 3) * row);
}

TEST_CASE("threads may grow one table together", "[position]") {
  const AngleTable table(coca::rotary_frequencies(16, 10000.0));
  std::vector<std::thread> threads;
  std::vector<double> sums(4, 0.0);
  for (std::size_t id = 0; id < 4; ++id) {
    threads.emplace_back([&, id] {
      double c[AngleTable::chunk], s[AngleTable::chunk];
      for (Position n = 0; n < 70000; n += 7) {
        rotations(table, n, c, s);
        for (int j = 0; j < 8; ++j) sums[id] += c[j] + s[j];
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (const double sum : sums) CHECK(sum == sums[0]);
}
