#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "coca/core/target.hpp"
#include "compiler.hpp"

/// What the programs have in common: their flags, their rows, and what they say about themselves.
namespace bench {

/// With --quick: fewer shapes, and less time for each.
inline bool quick = false;

/// What a row may take, beside its shortest possible run.
inline double row_seconds() { return quick ? 1.0 : 2.0; }

/// One, and two where there are two: the targets speak of two cores.
inline std::vector<int> thread_counts() {
  return std::thread::hardware_concurrency() > 1 ? std::vector{1, 2} : std::vector{1};
}

/// A row: name is a path of key:value, which the report takes apart. The measurement repeats by
/// itself and is one iteration in the eyes of Google Benchmark.
template <class Measure>
void add(const std::string& name, const Measure& measure) {
  benchmark::RegisterBenchmark(name.c_str(), measure)
      ->Iterations(1)
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
}

/// The program: add_rows registers its rows, knowing whether the run is a quick one.
inline int run(int argc, char** argv, void (*add_rows)()) {
  const auto is_quick = [](const char* argument) {
    return std::string_view(argument) == "--quick";
  };
  char** end = std::remove_if(argv + 1, argv + argc, is_quick);
  quick = end != argv + argc;
  argc = static_cast<int>(end - argv);
  benchmark::AddCustomContext("quick", quick ? "yes" : "no");
  benchmark::AddCustomContext("target", coca::target_name(coca::target()));
  benchmark::AddCustomContext("compiler", compiler());
  benchmark::AddCustomContext("flags", COCA_BENCH_FLAGS);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  add_rows();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace bench
