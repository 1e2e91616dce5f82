#define EIGEN_USE_THREADS
#include <benchmark/benchmark.h>

#include "paired.hpp"
#include "problem.hpp"
#include "program.hpp"

/// What do other number types cost or gain.
namespace {

using bench::Index;

/// Counter "ratio": time in T over time in float.
template <class T>
void against_float(benchmark::State& state, const bench::Shape& shape, int threads) {
  const bench::Threads pool(threads);
  bench::Problem<T> problem(shape);
  bench::Problem<float> plain(shape);
  bench::measure_pair(
      state, [&] { problem.attend(coca::Dot{}, pool.device()); },
      [&] { plain.attend(coca::Dot{}, pool.device()); });
}

/// Counter "percent": of the multiply-adds in double.
void double_against_peak(benchmark::State& state, const bench::Shape& shape, int threads) {
  const bench::Threads pool(threads);
  bench::Problem<double> problem(shape);
  bench::measure_against_peak<double>(
      state, [&] { problem.attend(coca::Dot{}, pool.device()); }, shape.operations(),
      pool.device());
}

void add_rows() {
  using Lengths = std::vector<Index>;
  for (const int threads : bench::thread_counts()) {
    if (bench::quick && threads > 1) continue;
    for (const Index dim : {64, 128}) {
      for (const bool causal : {true, false}) {
        for (const Index length : bench::quick ? Lengths{2048} : Lengths{512, 2048}) {
          const bench::Shape shape{length, dim, 4, 1, causal};
          const std::string where = shape.name() + "/threads:" + std::to_string(threads);
          bench::add("types/type:half/" + where, [=](benchmark::State& state) {
            against_float<Eigen::half>(state, shape, threads);
          });
          bench::add("types/type:bfloat16/" + where, [=](benchmark::State& state) {
            against_float<Eigen::bfloat16>(state, shape, threads);
          });
          bench::add("types/type:double/" + where,
                     [=](benchmark::State& state) { double_against_peak(state, shape, threads); });
        }
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) { return bench::run(argc, argv, add_rows); }
