#pragma once

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "coca/core/target.hpp"

/// What this machine can do at most, measured: every percentage is of these.
namespace bench {

inline double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Independent chains of multiply-adds, enough to cover latency times pipes, in registers alone.
// Written once for each instruction set, whose attribute must be on the function.
#define COCA_BENCH_FMA(name, attribute, bytes)                                             \
  template <class T>                                                                       \
  attribute double name() {                                                                \
    using V [[gnu::vector_size(bytes)]] = T;                                               \
    constexpr int chains = 12;                                                             \
    constexpr int steps = 1 << 18;                                                         \
    V x[chains];                                                                           \
    for (V & v : x) v = V{} + T(1);                                                        \
    const V a = V{} + T(0.999), b = V{} + T(0.001);                                        \
    double best = 0.0;                                                                     \
    for (int repeat = 0; repeat < 20; ++repeat) {                                          \
      const double start = seconds();                                                      \
      for (int i = 0; i < steps; ++i) {                                                    \
        _Pragma("GCC unroll 12") for (int c = 0; c < chains; ++c) { x[c] = x[c] * a + b; } \
      }                                                                                    \
      constexpr double per_step = 2.0 * chains * (bytes) / sizeof(T);                      \
      best = std::max(best, per_step * steps / (seconds() - start));                       \
    }                                                                                      \
    V sum = x[0];                                                                          \
    for (const V& v : x) sum += v;                                                         \
    volatile T sink = sum[0];                                                              \
    static_cast<void>(sink);                                                               \
    return best;                                                                           \
  }
COCA_BENCH_FMA(fma_baseline, , 16)
#if COCA_MULTI_TARGET
COCA_BENCH_FMA(fma_avx2, __attribute__((target("avx2,fma"))), 32)
COCA_BENCH_FMA(fma_avx512, __attribute__((target("avx512f,fma"))), 64)
#endif
#undef COCA_BENCH_FMA

/// Multiply-adds in T that one core does in a second, counted as two operations each, on the
/// instruction set that the library uses.
template <class T>
double fma_peak() {
#if COCA_MULTI_TARGET
  if (coca::target() == coca::Target::avx512) return fma_avx512<T>();
  if (coca::target() == coca::Target::avx2) return fma_avx2<T>();
#endif
  return fma_baseline<T>();
}

/// The same for several cores at once: they may share clock and power.
template <class T>
double fma_peak(int threads) {
  std::vector<double> peaks(static_cast<std::size_t>(threads));
  std::vector<std::thread> running;
  for (double& peak : peaks) running.emplace_back([&peak] { peak = fma_peak<T>(); });
  for (std::thread& thread : running) thread.join();
  double sum = 0.0;
  for (const double peak : peaks) sum += peak;
  return sum;
}

}  // namespace bench
