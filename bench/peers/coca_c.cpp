#define EIGEN_USE_THREADS
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>

#include "../compiler.hpp"
#include "coca/coca.hpp"

/// The front door behind a C interface, for callers without templates.

/// One call. All rows of a tensor stand one after another: q is [batch, queries, heads, dim], k and
/// v are [batch, keys, key_heads, ...].
struct CocaCall {
  const char* scheme;  ///< "dot", "rotary", "strict", "slack"
  const char* dtype;   ///< "float32", "float64", "bfloat16", "float16"
  void* out;
  const void* q;
  const void* k;
  const void* v;
  std::int64_t batch, queries, keys, heads, key_heads, dim, value_dim;
  std::int64_t causal;
  std::int64_t threads;
};

namespace {

/// Pools live as long as the program: to start one is no part of attention.
const Eigen::ThreadPoolDevice& pool_device(int threads) {
  struct Pool {
    explicit Pool(int count) : pool(count), device(&pool, count) {}
    Eigen::ThreadPool pool;
    Eigen::ThreadPoolDevice device;
  };
  static std::mutex lock;
  static std::map<int, std::unique_ptr<Pool>> pools;
  const std::lock_guard guard(lock);
  auto& pool = pools[threads];
  if (!pool) pool = std::make_unique<Pool>(threads);
  return pool->device;
}

template <class T, class S>
void run(const CocaCall& c, const S& scheme) {
  const coca::TensorView<T> out(static_cast<T*>(c.out), {c.batch, c.queries, c.heads, c.value_dim});
  const coca::TensorView<const T> q(static_cast<const T*>(c.q),
                                    {c.batch, c.queries, c.heads, c.dim});
  const coca::TensorView<const T> k(static_cast<const T*>(c.k),
                                    {c.batch, c.keys, c.key_heads, scheme.key_dim(c.dim)});
  const coca::TensorView<const T> v(static_cast<const T*>(c.v),
                                    {c.batch, c.keys, c.key_heads, c.value_dim});
  const auto& device = pool_device(static_cast<int>(c.threads));
  if (c.causal != 0) {
    coca::attention(out, q, k, v, scheme, coca::Causal{}, {}, device);
  } else {
    coca::attention(out, q, k, v, scheme, coca::Full{}, {}, device);
  }
}

void run(const CocaCall& c) {
  const std::string_view scheme(c.scheme), dtype(c.dtype);
  if (scheme == "dot" && dtype == "float32") return run<float>(c, coca::Dot{});
  if (scheme == "dot" && dtype == "float64") return run<double>(c, coca::Dot{});
  if (scheme == "dot" && dtype == "bfloat16") return run<Eigen::bfloat16>(c, coca::Dot{});
  if (scheme == "dot" && dtype == "float16") return run<Eigen::half>(c, coca::Dot{});
  if (dtype == "float32") {
    const coca::Rope rope({.dim = c.dim});
    if (scheme == "rotary") return run<float>(c, coca::Rotary{rope});
    if (scheme == "strict") return run<float>(c, coca::CocaStrict{rope});
    if (scheme == "slack") return run<float>(c, coca::CocaSlack{rope});
  }
  throw std::invalid_argument(std::string(scheme) + " in " + std::string(dtype) +
                              " is not built: dot in any type, else float32");
}

}  // namespace

/// Attention. Gives null, or what is wrong, valid until the thread's next call.
extern "C" const char* coca_attention(const CocaCall* call) {
  thread_local std::string error;
  try {
    run(*call);
    return nullptr;
  } catch (const std::exception& problem) {
    error = problem.what();
    return error.c_str();
  }
}

/// The instruction set in use.
extern "C" const char* coca_target() { return coca::target_name(coca::target()); }

/// The compiler that built this library.
extern "C" const char* coca_compiler() { return bench::compiler(); }

/// The flags it was built with.
extern "C" const char* coca_flags() {
#ifdef COCA_PEER_FLAGS
  return COCA_PEER_FLAGS;
#else
  return "not recorded";
#endif
}
