#define EIGEN_USE_THREADS
#include <benchmark/benchmark.h>

#include "load.hpp"
#include "paired.hpp"
#include "problem.hpp"
#include "program.hpp"

/// Does the work divide: two threads against one.
namespace {

using bench::Index;

/// Counter "ratio": time on one thread over time on `threads`. Beside it how many processors the
/// latter kept busy: "cores".
template <class Call>
void speedup(benchmark::State& state, int threads, const Call& call) {
  const bench::Threads one(1), many(threads);
  std::vector<double> cores;
  bench::measure_pair(
      state, [&] { call(one.device()); },
      [&] {
        const bench::OwnLoad load;
        call(many.device());
        cores.push_back(load.own());
      });
  state.counters["cores"] = bench::quantile(cores, 0.5);
}

void add_shape(const bench::Shape& shape, int threads) {
  bench::add("threads/" + shape.name() + "/threads:" + std::to_string(threads),
             [=](benchmark::State& state) {
               bench::Problem<float> problem(shape);
               speedup(state, threads,
                       [&](const bench::Device& device) { problem.attend(coca::Dot{}, device); });
             });
}

void add_rows() {
  using Lengths = std::vector<Index>;
  for (const int threads : bench::thread_counts()) {
    if (threads == 1) continue;
    for (const Index dim : {64, 128}) {
      for (const bool causal : {true, false}) {
        for (const Index length :
             bench::quick ? Lengths{512, 2048} : Lengths{128, 512, 2048, 8192}) {
          // One head as well: the work must then divide along the sequence.
          add_shape({length, dim, 1, 1, causal}, threads);
          add_shape({length, dim, 8, 2, causal}, threads);
        }
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) { return bench::run(argc, argv, add_rows); }
