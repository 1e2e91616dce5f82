#define EIGEN_USE_THREADS
#include <time.h>

#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "coca/coca.hpp"

/// Some calls behind an interface of C. bench/compare_speed.py compiles this file with the headers of two
/// versions, loads both into one process, and measures the same calls in turns.
namespace {

using coca::ElementType;
using coca::Index;
using Tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;
using Calls = std::function<void()>;

/// A call that is measured: its operands exist from when `make` is called until what it returns is gone.
struct Point {
  std::string name;
  Calls (*make)(const std::vector<Index>& sizes, int threads);
  std::vector<Index> sizes;
  int threads;
};
std::vector<Point> points;

const Eigen::ThreadPoolDevice& device(int threads) {
  static Eigen::ThreadPool pool(2);
  static const Eigen::ThreadPoolDevice one(&pool, 1), two(&pool, 2);
  return threads == 1 ? one : two;
}

template <class T = float>
auto tensor(Index batch, Index tokens, Index heads, Index dim, float low = -1.0F) {
  auto x = std::make_shared<Eigen::Tensor<T, 4, Eigen::RowMajor>>(batch, tokens, heads, dim);
  std::minstd_rand random(1);
  std::uniform_real_distribution<float> uniform(low, 1.0F);
  for (Index i = 0; i < x->size(); ++i) x->data()[i] = static_cast<T>(uniform(random));
  return x;
}

template <class S>
S scheme_of(Index dim) {
  if constexpr (std::is_constructible_v<S, coca::Rope>) {
    return S{coca::Rope({.dim = dim})};
  } else {
    return S{};
  }
}

/// sizes: length, dim, heads, key heads.
template <class S, class M>
Calls attend(const std::vector<Index>& sizes, int threads) {
  const Index length = sizes[0], dim = sizes[1], heads = sizes[2], key_heads = sizes[3];
  const S scheme = scheme_of<S>(dim);
  const Index key_dim = scheme.key_dim(dim);
  auto q = tensor(1, length, heads, dim), out = tensor(1, length, heads, dim);
  auto k = tensor(1, length, key_heads, key_dim, key_dim < dim ? 0.0F : -1.0F);
  auto v = tensor(1, length, key_heads, dim);
  return [=] { coca::attention(*out, *q, *k, *v, scheme, M{}, {}, device(threads)); };
}

template <class S, class M>
Calls go_back(const std::vector<Index>& sizes, int threads) {
  const Index length = sizes[0], dim = sizes[1], heads = sizes[2], key_heads = sizes[3];
  const S scheme = scheme_of<S>(dim);
  const Index key_dim = scheme.key_dim(dim);
  auto q = tensor(1, length, heads, dim), out = tensor(1, length, heads, dim);
  auto dq = tensor(1, length, heads, dim), dout = tensor(1, length, heads, dim);
  auto k = tensor(1, length, key_heads, key_dim, key_dim < dim ? 0.0F : -1.0F);
  auto dk = tensor(1, length, key_heads, key_dim);
  auto v = tensor(1, length, key_heads, dim), dv = tensor(1, length, key_heads, dim);
  auto lse = std::make_shared<Eigen::Tensor<float, 3, Eigen::RowMajor>>(1, heads, length);
  coca::AttentionOptions options;
  options.lse = coca::view(*lse);
  coca::attention(*out, *q, *k, *v, scheme, M{}, options, device(threads));
  return [=] {
    coca::attention_backward(*dq, *dk, *dv, *dout, *q, *k, *v, *out, *lse, scheme, M{}, {}, {},
                             device(threads));
  };
}

/// sizes: length, dim, heads, key heads. One query a sequence.
template <class S, class Q, ElementType Stored>
Calls generate(const std::vector<Index>& sizes, int threads) {
  const Index length = sizes[0], dim = sizes[1], heads = sizes[2], key_heads = sizes[3];
  const S scheme = scheme_of<S>(dim);
  const Index key_dim = scheme.key_dim(dim);
  coca::CacheOptions options;
  options.key_heads = key_heads;
  options.key_dim = key_dim;
  options.value_dim = dim;
  options.type = Stored;
  auto cache = std::make_shared<coca::GrowingCache>(options);
  const coca::SequenceId sequence = cache->add();
  const auto k = tensor(1, length, key_heads, key_dim, key_dim < dim ? 0.0F : -1.0F);
  const auto v = tensor(1, length, key_heads, dim);
  cache->append({&sequence, 1}, *k, *v);
  auto q = tensor<Q>(1, 1, heads, dim), out = tensor<Q>(1, 1, heads, dim);
  return [=] {
    coca::decode(*out, *q, *cache, {&sequence, 1}, scheme, coca::Causal{}, {}, device(threads));
  };
}

void add(const std::string& program, const std::string& what,
         Calls (*make)(const std::vector<Index>&, int), std::vector<Index> sizes, int threads = 1) {
  std::string name = program + "/" + what;
  const char* const keys[] = {"length", "dim", "heads", "key_heads"};
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    name += std::string("/") + keys[i] + ":" + std::to_string(sizes[i]);
  }
  points.push_back({name + "/threads:" + std::to_string(threads), make, std::move(sizes), threads});
}

void add_points() {
  using coca::Causal;
  using coca::Dot;
  using coca::Full;
  using Rotary = coca::Rotary<>;
  using Slack = coca::CocaSlack<>;
  using Strict = coca::CocaStrict<>;
  add("prefill", "dot/causal", attend<Dot, Causal>, {512, 64, 8, 2});
  add("prefill", "dot/full", attend<Dot, Full>, {512, 128, 8, 2});
  add("prefill", "dot/causal", attend<Dot, Causal>, {512, 256, 8, 2});
  add("prefill", "rotary/causal", attend<Rotary, Causal>, {512, 64, 8, 8});
  add("prefill", "slack/causal", attend<Slack, Causal>, {512, 128, 8, 2});
  add("prefill", "dot/causal", attend<Dot, Causal>, {2048, 128, 4, 1});
  add("prefill", "dot/causal", attend<Dot, Causal>, {1024, 128, 8, 2}, 2);

  add("decode", "rotary/float32", generate<Rotary, float, ElementType::float32>,
      {4096, 128, 32, 8});
  add("decode", "slack/float32", generate<Slack, float, ElementType::float32>, {4096, 128, 32, 8});
  add("decode", "rotary/bfloat16", generate<Rotary, Eigen::bfloat16, ElementType::bfloat16>,
      {4096, 128, 32, 8});
  add("decode", "slack/bfloat16", generate<Slack, Eigen::bfloat16, ElementType::bfloat16>,
      {4096, 128, 32, 8});
  add("decode", "rotary/int8", generate<Rotary, float, ElementType::int8>, {4096, 128, 32, 8});
  add("decode", "dot/float32", generate<Dot, float, ElementType::float32>, {500, 64, 8, 8});
  add("decode", "slack/int8", generate<Slack, float, ElementType::int8>, {4096, 128, 32, 8}, 2);

  add("backward", "dot/causal", go_back<Dot, Causal>, {512, 64, 8, 8});
  add("backward", "dot/full", go_back<Dot, Full>, {512, 128, 4, 1});
  add("backward", "rotary/causal", go_back<Rotary, Causal>, {512, 64, 8, 2});
  add("backward", "slack/causal", go_back<Slack, Causal>, {512, 64, 8, 8});
  add("backward", "strict/causal", go_back<Strict, Causal>, {256, 128, 8, 8});
  add("backward", "dot/causal", go_back<Dot, Causal>, {512, 128, 8, 2}, 2);

  add("short", "dot/causal", attend<Dot, Causal>, {1, 64, 8, 8});
  add("short", "dot/full", attend<Dot, Full>, {1, 100, 8, 8});
  add("short", "rotary/causal", attend<Rotary, Causal>, {2, 64, 8, 8});
  add("short", "dot/causal", attend<Dot, Causal>, {8, 128, 8, 8});
  add("short", "dot/full", attend<Dot, Full>, {17, 80, 8, 8});
  add("short", "slack/causal", attend<Slack, Causal>, {17, 64, 8, 8});
  add("short", "dot/causal", attend<Dot, Causal>, {64, 100, 8, 8});
  add("short", "dot/full", attend<Dot, Full>, {128, 72, 8, 8});
}

struct Made {
  Calls call;
  int threads;
};

/// Of one thread, the time that it was running: other programs take their turns of a processor, and those do not
/// count. Of several threads, the time that passes.
double now(int threads) {
  timespec time{};
  clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

}  // namespace

#define COCA_EXPORT extern "C" __attribute__((visibility("default")))

/// How many points there are.
COCA_EXPORT int point_count() {
  if (points.empty()) add_points();
  return static_cast<int>(points.size());
}
COCA_EXPORT const char* point_name(int point) {
  return points[static_cast<std::size_t>(point)].name.c_str();
}
/// Makes the operands of a point, which the functions below take.
COCA_EXPORT void* make_point(int point) {
  const Point& chosen = points[static_cast<std::size_t>(point)];
  return new Made{chosen.make(chosen.sizes, chosen.threads), chosen.threads};
}
COCA_EXPORT void free_point(void* made) { delete static_cast<Made*>(made); }
/// Seconds of so many calls.
COCA_EXPORT double seconds_of(void* made, int calls) {
  const Made& point = *static_cast<Made*>(made);
  const double begin = now(point.threads);
  for (int i = 0; i < calls; ++i) point.call();
  return now(point.threads) - begin;
}
