#define EIGEN_USE_THREADS
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>

#include "coca/coca.hpp"

/// The front door behind a C interface, for callers without templates.
namespace {

using coca::Index;

struct Shape {
  Index batch, queries, keys, heads, key_heads, dim, value_dim;
};

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
void run(const S& scheme, const Shape& s, void* out, const void* q, const void* k, const void* v,
         bool causal, int threads) {
  const coca::TensorView<T> out_view(static_cast<T*>(out),
                                     {s.batch, s.queries, s.heads, s.value_dim});
  const coca::TensorView<const T> q_view(static_cast<const T*>(q),
                                         {s.batch, s.queries, s.heads, s.dim});
  const coca::TensorView<const T> k_view(static_cast<const T*>(k),
                                         {s.batch, s.keys, s.key_heads, scheme.key_dim(s.dim)});
  const coca::TensorView<const T> v_view(static_cast<const T*>(v),
                                         {s.batch, s.keys, s.key_heads, s.value_dim});
  const auto& device = pool_device(threads);
  if (causal) {
    coca::attention(out_view, q_view, k_view, v_view, scheme, coca::Causal{}, {}, device);
  } else {
    coca::attention(out_view, q_view, k_view, v_view, scheme, coca::Full{}, {}, device);
  }
}

}  // namespace

/// Attention with rows of all tensors one after another: q [batch, queries, heads, dim], k and v
/// [batch, keys, key_heads, ...]. Gives nothing, or what is wrong, valid until the thread's next
/// call. Schemes other than "dot" are there in "float32".
extern "C" const char* coca_attention(const char* scheme, const char* dtype, void* out,
                                      const void* q, const void* k, const void* v,
                                      std::int64_t batch, std::int64_t queries, std::int64_t keys,
                                      std::int64_t heads, std::int64_t key_heads, std::int64_t dim,
                                      std::int64_t value_dim, int causal, int threads) {
  thread_local std::string error;
  try {
    const Shape shape{batch, queries, keys, heads, key_heads, dim, value_dim};
    const std::string_view name(scheme), type(dtype);
    const auto call = [&]<class T>(const auto& which) {
      run<T>(which, shape, out, q, k, v, causal != 0, threads);
    };
    if (name == "dot") {
      if (type == "float32") {
        call.template operator()<float>(coca::Dot{});
      } else if (type == "float64") {
        call.template operator()<double>(coca::Dot{});
      } else if (type == "bfloat16") {
        call.template operator()<Eigen::bfloat16>(coca::Dot{});
      } else if (type == "float16") {
        call.template operator()<Eigen::half>(coca::Dot{});
      } else {
        throw std::invalid_argument("dtype: '" + std::string(type) + "' is not known");
      }
    } else if (type != "float32") {
      throw std::invalid_argument("scheme: only dot is built for " + std::string(type));
    } else if (name == "rotary") {
      call.template operator()<float>(coca::Rotary{coca::Rope({.dim = dim})});
    } else if (name == "strict") {
      call.template operator()<float>(coca::CocaStrict{coca::Rope({.dim = dim})});
    } else if (name == "slack") {
      call.template operator()<float>(coca::CocaSlack{coca::Rope({.dim = dim})});
    } else {
      throw std::invalid_argument("scheme: '" + std::string(name) + "' is not known");
    }
    return nullptr;
  } catch (const std::exception& problem) {
    error = problem.what();
    return error.c_str();
  }
}

/// The instruction set in use.
extern "C" const char* coca_target() { return coca::target_name(coca::target()); }

/// The compiler that built this library.
extern "C" const char* coca_compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#elif defined(__GNUC__)
  return "GCC " __VERSION__;
#else
  return "unknown";
#endif
}

/// The flags it was built with.
extern "C" const char* coca_flags() {
#ifdef COCA_PEER_FLAGS
  return COCA_PEER_FLAGS;
#else
  return "not recorded";
#endif
}
