#define EIGEN_USE_THREADS
#include "machine.hpp"

#include <benchmark/benchmark.h>

#include "paired.hpp"
#include "problem.hpp"
#include "program.hpp"

/// What can the machine do: multiply-adds a second, and bytes read from memory a second.
namespace {

template <class Probe>
void probe(benchmark::State& state, int repeats, const Probe& measure) {
  for (auto _ : state) {
    const double start = bench::seconds();
    std::vector<double> rates;
    for (int i = 0; i < repeats; ++i) rates.push_back(measure());
    state.SetIterationTime(bench::seconds() - start);
    bench::count(state, "rate", rates);
    state.counters["best"] = bench::quantile(rates, 1.0);
  }
}

template <class T>
void add_peak(const std::string& type, int threads) {
  bench::add("peak/type:" + type + "/threads:" + std::to_string(threads),
             [=](benchmark::State& state) {
               const bench::Threads pool(threads);
               probe(state, 200, [&] { return bench::fma_peak<T>(pool.device()); });
             });
}

void add_rows() {
  for (const int threads : bench::thread_counts()) {
    add_peak<float>("float", threads);
    add_peak<double>("double", threads);
    bench::add("bandwidth/threads:" + std::to_string(threads), [=](benchmark::State& state) {
      const bench::Threads pool(threads);
      const bench::ReadBuffer buffer = bench::read_buffer();
      probe(state, bench::quick ? 9 : 25,
            [&] { return bench::read_bandwidth(pool.device(), buffer); });
    });
  }
}

}  // namespace

int main(int argc, char** argv) { return bench::run(argc, argv, add_rows); }
