#define EIGEN_USE_THREADS
#include <benchmark/benchmark.h>

#include "coca/coca.hpp"
#include "machine.hpp"

/// How fast is prefill, in operations a second and in percent of the multiply-adds that the same
/// cores can do; and what does each scheme cost over plain dot products.
namespace {

using coca::Index;

struct Shape {
  Index length, dim, group;
  bool causal;
  int threads;
};

template <class MakeScheme>
void prefill(benchmark::State& state, const MakeScheme& make_scheme, Shape shape) {
  constexpr Index heads = 8;
  using Tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;
  const auto scheme = make_scheme(coca::Rope({.dim = shape.dim}));
  const Index key_heads = heads / shape.group;
  Tensor q(1, shape.length, heads, shape.dim), out(1, shape.length, heads, shape.dim);
  Tensor k(1, shape.length, key_heads, scheme.key_dim(shape.dim));
  Tensor v(1, shape.length, key_heads, shape.dim);
  q.setRandom();
  k.setRandom();
  v.setRandom();
  Eigen::ThreadPool pool(shape.threads);
  const Eigen::ThreadPoolDevice device(&pool, shape.threads);
  for (auto _ : state) {
    if (shape.causal) {
      coca::attention(out, q, k, v, scheme, coca::Causal{}, {}, device);
    } else {
      coca::attention(out, q, k, v, scheme, coca::Full{}, {}, device);
    }
    benchmark::DoNotOptimize(out.data());
  }
  // Two products of the scores that are needed; nothing for the exponentials.
  const double pairs = static_cast<double>(shape.length) * static_cast<double>(shape.length) *
                       (shape.causal ? 0.5 : 1.0);
  const double operations = 4.0 * pairs * static_cast<double>(heads * shape.dim) *
                            static_cast<double>(state.iterations());
  // Measured beside every row, for the machine's speed drifts.
  const double peak = bench::fma_peak<float>(shape.threads);
  state.counters["GFLOP/s"] = benchmark::Counter(1e-9 * operations, benchmark::Counter::kIsRate);
  state.counters["percent"] =
      benchmark::Counter(100.0 * operations / peak, benchmark::Counter::kIsRate);
}

template <class MakeScheme>
void add(const std::string& name, const MakeScheme& make_scheme) {
  for (const int threads : {1, 2}) {
    for (const Index dim : {64, 128, 256}) {
      for (const Index length : {512, 2048, 8192}) {
        for (const bool causal : {false, true}) {
          const Shape shape{length, dim, 4, causal, threads};
          const std::string row =
              name + (causal ? "/causal" : "/full") + "/dim:" + std::to_string(dim) +
              "/length:" + std::to_string(length) + "/threads:" + std::to_string(threads);
          benchmark::RegisterBenchmark(
              row.c_str(), [=](benchmark::State& state) { prefill(state, make_scheme, shape); })
              ->UseRealTime()
              ->Unit(benchmark::kMillisecond);
        }
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  add("dot", [](const coca::Rope&) { return coca::Dot{}; });
  add("rotary", [](const coca::Rope& rope) { return coca::Rotary{rope}; });
  add("strict", [](const coca::Rope& rope) { return coca::CocaStrict{rope}; });
  add("slack", [](const coca::Rope& rope) { return coca::CocaSlack{rope}; });
  benchmark::AddCustomContext("target", coca::target_name(coca::target()));
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
