#include "coca/kernel/softmax.hpp"

#include <cmath>
#include <numeric>
#include <vector>

#include "coca/coca.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

using namespace coca::detail;

namespace {

template <class T>
const TileEngine<T>& engine() {
  return tile_engine<T>(coca::target());
}
/// A row long enough for whole vectors of any instruction set, hidden but for what is put in.
template <class T>
std::vector<T> hidden_row() {
  return std::vector<T>(80, kMinusInfinity<T>);
}

/// One row: its maximum, the sums of 16 value columns, and behind them those of its weights.
template <class T>
struct Row {
  T maximum = kMinusInfinity<T>;
  std::vector<T> sums = std::vector<T>(16 + static_cast<std::size_t>(engine<T>().vector), T(0));

  void see(std::vector<T>& scores) {
    engine<T>().softmax(scores.data(), 1, static_cast<coca::Index>(scores.size()), &maximum,
                        sums.data(), 16);
  }
  T sum() const { return std::accumulate(sums.begin() + 16, sums.end(), T(0)); }
};

}  // namespace

TEST_CASE("scores that come in pieces give the softmax of the whole", "[kernel]") {
  test::Random random(61);
  std::vector<double> scores(200);
  for (double& s : scores) s = 20.0 * random.uniform();
  Row<double> row;
  std::size_t done = 0;
  for (const std::size_t piece : {1UL, 63UL, 64UL, 7UL, 65UL}) {
    std::vector<double> tile = hidden_row<double>();
    std::copy_n(scores.begin() + static_cast<std::ptrdiff_t>(done), piece, tile.begin());
    row.see(tile);
    for (std::size_t j = 0; j < piece; ++j) row.sums[0] += tile[j];
    done += piece;
  }
  REQUIRE(done == scores.size());
  double top = scores[0], sum = 0.0;
  for (const double s : scores) top = std::fmax(top, s);
  for (const double s : scores) sum += std::exp2(s - top);
  CHECK(row.maximum == top);
  CHECK(row.sum() == Approx(sum).epsilon(1e-14));
  CHECK(row.sums[0] == Approx(sum).epsilon(1e-14));  // values of 1 are rescaled as the sum is
  CHECK(log_sum_exp(row.maximum, row.sum()) ==
        Approx(top * std::log(2.0) + std::log(sum)).epsilon(1e-14));
}

TEST_CASE("hidden scores weigh exactly nothing", "[kernel]") {
  std::vector<float> tile = hidden_row<float>();
  Row<float> row;
  row.see(tile);
  CHECK(row.sum() == 0.0F);
  CHECK(log_sum_exp(row.maximum, row.sum()) == kMinusInfinity<float>);
  CHECK(tile[0] == 0.0F);

  tile = hidden_row<float>();
  tile[1] = -1e30F;  // a low score, yet the only one
  row.see(tile);
  CHECK(row.sum() == 1.0F);
  CHECK(tile[0] == 0.0F);
  CHECK(tile[1] == 1.0F);
}

TEST_CASE("a NaN score makes its row NaN, an infinite one too", "[kernel]") {
  for (const float bad : {NAN, INFINITY}) {
    std::vector<float> tile(16, 0.0F);
    tile[2] = bad;
    Row<float> row;
    row.see(tile);
    CHECK(std::isnan(row.sum()));
  }
}
