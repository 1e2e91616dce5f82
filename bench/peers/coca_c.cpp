#define EIGEN_USE_THREADS
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "../c_interface.hpp"
#include "../compiler.hpp"

/// The front door behind a C interface, for callers without templates.

/// The gradients of a call, which makes out and lse [batch, heads, queries] first if it is a whole step.
struct CocaGradients {
  CocaCall forward;
  void* lse;
  const void* dout;
  void* dq;
  void* dk;
  void* dv;
  std::int64_t step;
};

/// Sequences of equal length in a paged cache, and the rotation of their keys.
struct CocaCache {
  CocaCache(const coca::CacheOptions& options, std::int64_t count)
      : cache(options), rope({.dim = options.key_dim}) {
    while (static_cast<std::int64_t>(sequences.size()) < count) sequences.push_back(cache.add());
  }

  coca::PagedCache cache;
  coca::Rope rope;
  std::vector<coca::SequenceId> sequences;
};

/// One step of generation, rotary: q and out are [sequences, 1, heads, dim], in the cache's type.
struct CocaDecode {
  const CocaCache* cache;
  void* out;
  const void* q;
  std::int64_t heads, dim, threads;
};

namespace {

template <class T, class S>
void run(const CocaCall& c, const S& scheme) {
  if (c.causal != 0) return bench::attention<T>(c, scheme, coca::Causal{});
  bench::attention<T>(c, scheme, coca::Full{});
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

void run(const CocaGradients& c) {
  const CocaCall& f = c.forward;
  if (std::string_view(f.scheme) != "dot" || std::string_view(f.dtype) != "float32") {
    throw std::invalid_argument("gradients are built for dot in float32");
  }
  const auto tensor = []<class T>(T* data, coca::Index batch, coca::Index tokens, coca::Index heads,
                                  coca::Index dim) {
    return coca::TensorView<T>(data, {batch, tokens, heads, dim});
  };
  const auto rows = [&]<class T>(T* data) {
    return tensor(data, f.batch, f.queries, f.heads, f.dim);
  };
  const auto keys = [&]<class T>(T* data) {
    return tensor(data, f.batch, f.keys, f.key_heads, f.dim);
  };
  const auto q = rows(static_cast<const float*>(f.q));
  const auto k = keys(static_cast<const float*>(f.k));
  const auto v = keys(static_cast<const float*>(f.v));
  const auto out = rows(static_cast<float*>(f.out));
  const coca::View<float, 3> lse(static_cast<float*>(c.lse), {f.batch, f.heads, f.queries});
  const auto& device = bench::pool_device(static_cast<int>(f.threads));
  const auto with = [&](const auto& mask) {
    if (c.step != 0) coca::attention(out, q, k, v, coca::Dot{}, mask, {.lse = lse}, device);
    coca::attention_backward(rows(static_cast<float*>(c.dq)), keys(static_cast<float*>(c.dk)),
                             keys(static_cast<float*>(c.dv)),
                             rows(static_cast<const float*>(c.dout)), q, k, v, out, lse,
                             coca::Dot{}, mask, {}, {}, device);
  };
  if (f.causal != 0) return with(coca::Causal{});
  with(coca::Full{});
}

template <class T>
void append(CocaCache& to, std::int64_t tokens, const void* k, const void* v) {
  const coca::detail::PanelLayout& layout = to.cache.layout();
  const auto tensor = [&](const void* data, coca::Index dim) {
    const auto sequences = static_cast<coca::Index>(to.sequences.size());
    return coca::TensorView<const T>(static_cast<const T*>(data),
                                     {sequences, tokens, layout.heads, dim});
  };
  to.cache.append(to.sequences, tensor(k, layout.key_dim), tensor(v, layout.value_dim));
}

template <class T>
void decode(const CocaDecode& c) {
  const auto sequences = static_cast<coca::Index>(c.cache->sequences.size());
  const coca::TensorView<T> out(static_cast<T*>(c.out), {sequences, 1, c.heads, c.dim});
  const coca::TensorView<const T> q(static_cast<const T*>(c.q), {sequences, 1, c.heads, c.dim});
  coca::decode(out, q, c.cache->cache, c.cache->sequences, coca::Rotary{c.cache->rope},
               coca::Causal{}, {}, bench::pool_device(static_cast<int>(c.threads)));
}

/// Calls f with a number of the type of what a cache holds.
template <class F>
void with_type(const CocaCache& cache, const F& f) {
  if (cache.cache.layout().type == coca::ElementType::bfloat16) return f(Eigen::bfloat16{});
  f(float{});
}

}  // namespace

/// Attention. Gives null, or what is wrong, valid until the thread's next call; as all below do.
extern "C" const char* coca_attention(const CocaCall* call) {
  return bench::error_of([&] { run(*call); });
}

extern "C" const char* coca_gradients(const CocaGradients* call) {
  return bench::error_of([&] { run(*call); });
}

/// A cache of empty sequences in "float32" or "bfloat16", to be given back to coca_cache_free.
extern "C" const char* coca_cache_new(CocaCache** made, const char* dtype, std::int64_t sequences,
                                      std::int64_t key_heads, std::int64_t dim) {
  return bench::error_of([&] {
    const std::string_view type(dtype);
    if (type != "float32" && type != "bfloat16") {
      throw std::invalid_argument("caches in " + std::string(type) + " are not built");
    }
    *made = new CocaCache(
        {.key_heads = key_heads,
         .key_dim = dim,
         .value_dim = dim,
         .type = type == "float32" ? coca::ElementType::float32 : coca::ElementType::bfloat16},
        sequences);
  });
}
extern "C" void coca_cache_free(CocaCache* cache) { delete cache; }

/// Adds k and v [sequences, tokens, key_heads, dim] in the cache's type, one row after another.
extern "C" const char* coca_cache_append(CocaCache* cache, std::int64_t tokens, const void* k,
                                         const void* v) {
  return bench::error_of(
      [&] { with_type(*cache, [&]<class T>(T) { append<T>(*cache, tokens, k, v); }); });
}

extern "C" const char* coca_decode(const CocaDecode* call) {
  return bench::error_of([&] { with_type(*call->cache, [&]<class T>(T) { decode<T>(*call); }); });
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
