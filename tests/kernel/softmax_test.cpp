#include "coca/kernel/softmax.hpp"

#include <cmath>
#include <vector>

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

}  // namespace

TEST_CASE("scores that come in pieces give the softmax of the whole", "[kernel]") {
  test::Random random(61);
  std::vector<double> scores(200), sums(16, 0.0);
  for (double& s : scores) s = 20.0 * random.uniform();
  SoftmaxState<double> state;
  std::size_t done = 0;
  for (const std::size_t piece : {1UL, 63UL, 64UL, 7UL, 65UL}) {
    std::vector<double> tile = hidden_row<double>();
    std::copy_n(scores.begin() + static_cast<std::ptrdiff_t>(done), piece, tile.begin());
    engine<double>().softmax(tile.data(), 1, 80, &state, sums.data(), 16);
    for (std::size_t j = 0; j < piece; ++j) sums[0] += tile[j];
    done += piece;
  }
  REQUIRE(done == scores.size());
  double top = scores[0], sum = 0.0;
  for (const double s : scores) top = std::fmax(top, s);
  for (const double s : scores) sum += std::exp2(s - top);
  CHECK(state.maximum == top);
  CHECK(state.sum == Approx(sum).epsilon(1e-14));
  CHECK(sums[0] == Approx(state.sum).epsilon(1e-14));  // values of 1 are rescaled as the sum is
  CHECK(log_sum_exp(state) == Approx(top * std::log(2.0) + std::log(sum)).epsilon(1e-14));
}

TEST_CASE("hidden scores weigh exactly nothing", "[kernel]") {
  std::vector<float> tile = hidden_row<float>(), sums(16, 0.0F);
  SoftmaxState<float> state;
  engine<float>().softmax(tile.data(), 1, 16, &state, sums.data(), 16);
  CHECK(state.sum == 0.0F);
  CHECK(log_sum_exp(state) == kMinusInfinity<float>);
  CHECK(tile[0] == 0.0F);

  tile = hidden_row<float>();
  tile[1] = -1e30F;  // a low score, yet the only one
  engine<float>().softmax(tile.data(), 1, 16, &state, sums.data(), 16);
  CHECK(state.sum == 1.0F);
  CHECK(tile[0] == 0.0F);
  CHECK(tile[1] == 1.0F);
}

TEST_CASE("a NaN score makes its row NaN, an infinite one too", "[kernel]") {
  for (const float bad : {NAN, INFINITY}) {
    std::vector<float> tile(16, 0.0F), sums(16, 0.0F);
    tile[2] = bad;
    SoftmaxState<float> state;
    engine<float>().softmax(tile.data(), 1, 16, &state, sums.data(), 16);
    CHECK(std::isnan(state.sum));
  }
}

TEST_CASE("a sink is a logit without a value", "[kernel]") {
  CHECK(log_sum_exp(state_with_sink(2.0)) == Approx(2.0).epsilon(1e-15));
  CHECK(log_sum_exp(state_with_sink(kMinusInfinity<float>)) == kMinusInfinity<float>);
}
