#pragma once

#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "coca/coca.hpp"

/// What the libraries with a C interface share. Include Eigen's threads first.

/// One call. All rows of a tensor stand one after another: q is [batch, queries, heads, dim], k and
/// v are [batch, keys, key_heads, ...].
struct CocaCall {
  const char* scheme;  ///< "dot", "rotary" and others that the library has
  const char* dtype;   ///< "float32", "float64", "bfloat16", "float16"
  void* out;
  const void* q;
  const void* k;
  const void* v;
  std::int64_t batch, queries, keys, heads, key_heads, dim, value_dim;
  std::int64_t causal;
  std::int64_t threads;
};

namespace bench {

/// Pools live as long as the program: to start one is no part of attention.
inline const Eigen::ThreadPoolDevice& pool_device(int threads) {
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

template <class T, class S, class M>
void attention(const CocaCall& c, const S& scheme, const M& mask) {
  const coca::TensorView<T> out(static_cast<T*>(c.out), {c.batch, c.queries, c.heads, c.value_dim});
  const coca::TensorView<const T> q(static_cast<const T*>(c.q),
                                    {c.batch, c.queries, c.heads, c.dim});
  const coca::TensorView<const T> k(static_cast<const T*>(c.k),
                                    {c.batch, c.keys, c.key_heads, scheme.key_dim(c.dim)});
  const coca::TensorView<const T> v(static_cast<const T*>(c.v),
                                    {c.batch, c.keys, c.key_heads, c.value_dim});
  coca::attention(out, q, k, v, scheme, mask, {}, pool_device(static_cast<int>(c.threads)));
}

/// Null, or what is wrong, valid until the thread's next call.
template <class F>
const char* error_of(const F& f) {
  thread_local std::string error;
  try {
    f();
    return nullptr;
  } catch (const std::exception& problem) {
    error = problem.what();
    return error.c_str();
  }
}

}  // namespace bench
