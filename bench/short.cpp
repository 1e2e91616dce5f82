#define EIGEN_USE_THREADS
#include <benchmark/benchmark.h>

#include "paired.hpp"
#include "plain.hpp"
#include "problem.hpp"
#include "program.hpp"

/// Does fusing ever lose: short sequences and odd widths against plain steps of Eigen, one thread.
namespace {

using bench::Index;

/// Counter "ratio": time of the plain steps over the library's.
void against_plain(benchmark::State& state, const bench::Shape& shape) {
  const bench::Threads one(1);
  bench::Problem<float> problem(shape);
  bench::measure_pair(
      state, [&] { bench::plain::standard(problem); },
      [&] { problem.attend(coca::Dot{}, one.device()); });
}

void add_rows() {
  using Lengths = std::vector<Index>;
  for (const Index length :
       bench::quick ? Lengths{1, 8, 17, 64, 128} : Lengths{1, 2, 5, 8, 16, 17, 32, 64, 100, 128}) {
    for (const Index dim : {40, 64, 72, 80, 96, 100, 128}) {
      for (const bool causal : {true, false}) {
        const bench::Shape shape{length, dim, 8, 8, causal};
        bench::add("short/" + shape.name(),
                   [=](benchmark::State& state) { against_plain(state, shape); });
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) { return bench::run(argc, argv, add_rows); }
