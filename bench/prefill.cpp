#define EIGEN_USE_THREADS
#include <benchmark/benchmark.h>

#include "paired.hpp"
#include "problem.hpp"
#include "program.hpp"

/// How fast is prefill, in percent of the multiply-adds that the same cores can do.
namespace {

using bench::Index;

void prefill(benchmark::State& state, const bench::Shape& shape, int threads) {
  bench::Problem<float> problem(shape);
  const bench::Threads pool(threads);
  bench::measure_against_peak<float>(
      state, [&] { problem.attend(coca::Dot{}, pool.device()); }, shape.operations(),
      pool.device());
}

void add_rows() {
  const std::vector<Index> lengths =
      bench::quick ? std::vector<Index>{512, 2048} : std::vector<Index>{512, 2048, 8192, 32768};
  const std::vector<Index> groups =
      bench::quick ? std::vector<Index>{4} : std::vector<Index>{1, 4, 8};
  for (const int threads : bench::thread_counts()) {
    for (const Index dim : {64, 128, 256}) {
      for (const bool causal : {true, false}) {
        for (const Index group : groups) {
          for (const Index length : lengths) {
            // Minutes a call, and what 8192 does.
            if (length > 8192 && group > 1 && threads == 1) continue;
            const Index heads = bench::heads_for(length, group);
            const bench::Shape shape{length, dim, heads, heads / group, causal};
            bench::add("prefill/" + shape.name() + "/threads:" + std::to_string(threads),
                       [=](benchmark::State& state) { prefill(state, shape, threads); });
          }
        }
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) { return bench::run(argc, argv, add_rows); }
