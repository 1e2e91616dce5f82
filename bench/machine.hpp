#pragma once

// For programs that define EIGEN_USE_THREADS: the probes run on Eigen's thread pool.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <numeric>
#include <unsupported/Eigen/CXX11/Tensor>
#include <vector>

#include "coca/core/target.hpp"

/// What this machine can do at most, measured: every percentage is of these.
namespace bench {

using Device = Eigen::ThreadPoolDevice;

inline double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Calls body(i) for i below the device's number of threads, all at the same time: as in the
/// library, the calling thread is one of them.
template <class Body>
void on_all_threads(const Device& device, const Body& body) {
  const int threads = device.numThreads();
  std::atomic<int> ready{0};
  const auto work = [&](int i) {
    ++ready;
    while (ready < threads) continue;
    body(i);
  };
  Eigen::Barrier done(static_cast<unsigned>(threads - 1));
  for (int i = 1; i < threads; ++i) {
    device.getPool()->Schedule([&, i] {
      work(i);
      done.Notify();
    });
  }
  work(0);
  done.Wait();
}

/// Makes the compiler believe that a vector in a register is read and changed here, so that what
/// computes it stays between the two clock reads.
#if defined(__x86_64__)
#define COCA_BENCH_KEEP(x) asm volatile("" : "+x"(x))
#elif defined(__aarch64__)
#define COCA_BENCH_KEEP(x) asm volatile("" : "+w"(x))
#else
#define COCA_BENCH_KEEP(x) asm volatile("" : "+m"(x))
#endif

// Independent chains of multiply-adds, enough to cover latency times pipes, in registers alone: the
// best of three runs of about 0.1 ms, short enough to stand beside every call that is timed.
// Written once for each instruction set, whose attribute must be on the function.
#define COCA_BENCH_FMA(name, attribute, bytes)                                              \
  template <class T>                                                                        \
  attribute double name() {                                                                 \
    using V [[gnu::vector_size(bytes)]] = T;                                                \
    constexpr int chains = 12;                                                              \
    constexpr int steps = 1 << 16;                                                          \
    V x[chains];                                                                            \
    for (V & v : x) v = V{} + T(1);                                                         \
    const V a = V{} + T(0.999), b = V{} + T(0.001);                                         \
    double best = 0.0;                                                                      \
    for (int repeat = 0; repeat < 3; ++repeat) {                                            \
      const double start = seconds();                                                       \
      for (int i = 0; i < steps; ++i) {                                                     \
        _Pragma("GCC unroll 12") for (int c = 0; c < chains; ++c) {                         \
          /* By way of a local: an array element named in assembly would live in memory. */ \
          V next = x[c] * a + b;                                                            \
          COCA_BENCH_KEEP(next);                                                            \
          x[c] = next;                                                                      \
        }                                                                                   \
      }                                                                                     \
      constexpr double per_step = 2.0 * chains * (bytes) / sizeof(T);                       \
      best = std::max(best, per_step * steps / (seconds() - start));                        \
    }                                                                                       \
    return best;                                                                            \
  }
COCA_BENCH_FMA(fma_baseline, , 16)
#if COCA_MULTI_TARGET
COCA_BENCH_FMA(fma_avx2, __attribute__((target("avx2,fma"))), 32)
COCA_BENCH_FMA(fma_avx512, __attribute__((target("avx512f,fma"))), 64)
#endif
#undef COCA_BENCH_FMA
#undef COCA_BENCH_KEEP

/// Multiply-adds in T that this core does in a second, counted as two operations each, on the
/// instruction set that the library uses.
template <class T>
double fma_peak() {
#if COCA_MULTI_TARGET
  if (coca::target() >= coca::Target::avx512) return fma_avx512<T>();
  if (coca::target() == coca::Target::avx2) return fma_avx2<T>();
#endif
  return fma_baseline<T>();
}

/// The same of all threads of a device at once: they may share clock and power. Where other programs
/// hold the processors so that threads take turns on one, each still tells that one's full speed:
/// the peak is of the cores, not of what others left of them.
template <class T>
double fma_peak(const Device& device) {
  std::vector<double> peaks(static_cast<std::size_t>(device.numThreads()));
  on_all_threads(device, [&](int i) { peaks[static_cast<std::size_t>(i)] = fma_peak<T>(); });
  return std::accumulate(peaks.begin(), peaks.end(), 0.0);
}

// Folds a buffer into one number, as fast as memory gives it: loads of a whole register into
// independent chains, from four places at a time, which the processor's prefetchers follow each by
// itself (one place gives a fifth less). Written once for each instruction set, as above.
#define COCA_BENCH_READ(name, attribute, bytes)                                       \
  attribute inline std::uint64_t name(const std::uint64_t* from, std::size_t size) {  \
    using V [[gnu::vector_size(bytes), gnu::aligned(8)]] = std::uint64_t;             \
    constexpr int streams = 4;                                                        \
    constexpr std::size_t words = (bytes) / 8;                                        \
    V x[2 * streams]{};                                                               \
    for (std::size_t i = 0; i + 2 * words <= size / streams; i += 2 * words) {        \
      _Pragma("GCC unroll 4") for (int s = 0; s < streams; ++s) {                     \
        const auto* next = reinterpret_cast<const V*>(from + size / streams * s + i); \
        x[2 * s] ^= next[0];                                                          \
        x[2 * s + 1] ^= next[1];                                                      \
      }                                                                               \
    }                                                                                 \
    std::uint64_t all = 0;                                                            \
    for (const V& v : x) {                                                            \
      for (std::size_t i = 0; i < words; ++i) all ^= v[i];                            \
    }                                                                                 \
    return all;                                                                       \
  }
COCA_BENCH_READ(read_baseline, , 16)
#if COCA_MULTI_TARGET
COCA_BENCH_READ(read_avx2, __attribute__((target("avx2"))), 32)
COCA_BENCH_READ(read_avx512, __attribute__((target("avx512f"))), 64)
#endif
#undef COCA_BENCH_READ

inline std::uint64_t read_all(const std::uint64_t* from, std::size_t size) {
#if COCA_MULTI_TARGET
  if (coca::target() >= coca::Target::avx512) return read_avx512(from, size);
  if (coca::target() == coca::Target::avx2) return read_avx2(from, size);
#endif
  return read_baseline(from, size);
}

/// What the bandwidth is probed on: far beyond the last-level cache.
using ReadBuffer = std::vector<std::uint64_t>;
inline ReadBuffer read_buffer() { return ReadBuffer((std::size_t{256} << 20) / 8, 1); }

/// Bytes a second that all threads of a device read together from a buffer, each its own part: the
/// best of three times.
inline double read_bandwidth(const Device& device, const ReadBuffer& buffer) {
  const auto threads = static_cast<std::size_t>(device.numThreads());
  const std::size_t part = buffer.size() / threads;
  std::atomic<std::uint64_t> sink{0};
  double best = 0.0;
  for (int repeat = 0; repeat < 3; ++repeat) {
    const double start = seconds();
    on_all_threads(device, [&](int i) {
      const std::uint64_t* from = buffer.data() + static_cast<std::size_t>(i) * part;
      sink ^= read_all(from, part);
    });
    best = std::max(best, static_cast<double>(8 * part * threads) / (seconds() - start));
  }
  return best;
}

}  // namespace bench
