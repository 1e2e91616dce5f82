#define EIGEN_USE_THREADS
#include <atomic>
#include <cstdlib>
#include <new>

#include "coca/coca.hpp"
#include "support/catch.hpp"
#include "support/forms.hpp"
#include "support/random.hpp"

/// Every allocation of this program is counted here.
namespace {

std::atomic<long> allocations{0};

void* counted(std::size_t bytes, std::size_t alignment) {
  ++allocations;
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  if (void* memory = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded))
    return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t bytes) { return counted(bytes, alignof(std::max_align_t)); }
void* operator new[](std::size_t bytes) { return counted(bytes, alignof(std::max_align_t)); }
void* operator new(std::size_t bytes, std::align_val_t align) {
  return counted(bytes, static_cast<std::size_t>(align));
}
void* operator new[](std::size_t bytes, std::align_val_t align) {
  return counted(bytes, static_cast<std::size_t>(align));
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return counted(bytes, alignof(std::max_align_t));
}
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
  return counted(bytes, alignof(std::max_align_t));
}
// GCC inlines one half of a pair and then takes free for the wrong partner of new.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace {

using namespace test;

}  // namespace

TEST_CASE("a warm call does not allocate", "[memory]") {
  Eigen::ThreadPool pool(3);
  const Eigen::ThreadPoolDevice device(&pool, 3);
  const coca::Rope rope({.dim = 128});
  Random random(1);
  Tensor<float> q({1, 200, 8, 128}), k({1, 300, 2, 128}), v({1, 300, 2, 128}),
      out({1, 200, 8, 128});
  Eigen::Tensor<float, 3> lse(1, 8, 200);
  for (auto* x : {&q, &k, &v}) x->fill([&] { return random.uniform(); });
  for_each_form(rope, [&](const auto& form) {
    if (form.half_width) return;
    INFO(form.name);
    const coca::AttentionOptions options{.soft_cap = 20.0, .lse = coca::view(lse)};
    const auto run = [&](const auto& on) {
      coca::attention(out.view(), q.view(), k.view(), v.view(), form.scheme, coca::Causal{},
                      options, on);
    };
    run(device);
    run(Eigen::DefaultDevice{});  // takes larger blocks
    const long before = allocations;
    for (int i = 0; i < 20; ++i) {
      run(device);
      run(Eigen::DefaultDevice{});
    }
    CHECK(allocations == before);
  });
}

TEST_CASE("work memory does not depend on the length of the sequence", "[memory]") {
  const coca::Rope rope({.dim = 128});
  const coca::CocaSlack scheme{rope};
  const auto bytes = [&](Index length) {
    const coca::TensorView<const float> q(nullptr, {1, length, 8, 128}),
        t(nullptr, {1, length, 2, 64}), v(nullptr, {1, length, 2, 128});
    return coca::workspace_bytes(q, t, v, scheme);
  };
  CHECK(bytes(1 << 16) == bytes(1 << 24));
  CHECK(bytes(1 << 24) <= 4U << 20);
  CHECK(bytes(1 << 10) <= bytes(1 << 16));
}

TEST_CASE("work memory is at most 4 MiB a thread", "[memory]") {
  Eigen::ThreadPool pool(3);
  for (const Index dim : {16, 64, 128, 256, 512}) {
    for (const int threads : {1, 2, 3}) {
      const coca::TensorView<const double> q(nullptr, {2, 1 << 20, 8, dim});
      const auto bytes =
          coca::workspace_bytes(q, q, q, coca::Dot{}, Eigen::ThreadPoolDevice(&pool, threads));
      CHECK(bytes <= static_cast<std::size_t>(threads) << 22);
    }
  }
}

TEST_CASE("the caller may bring the work memory", "[memory]") {
  Eigen::ThreadPool pool(2);
  const Eigen::ThreadPoolDevice device(&pool, 2);
  Random random(2);
  Tensor<float> q({2, 300, 4, 40}), k({2, 300, 2, 40}), out({2, 300, 4, 40}), own({2, 300, 4, 40});
  for (auto* x : {&q, &k}) x->fill([&] { return random.uniform(); });
  const std::size_t bytes =
      coca::workspace_bytes(q.view(), k.view(), k.view(), coca::Dot{}, device);
  std::vector<std::byte> memory(bytes + 1);
  coca::AttentionOptions options;
  const auto run = [&](Tensor<float>& to) {
    coca::attention(to.view(), q.view(), k.view(), k.view(), coca::Dot{}, coca::Causal{}, options,
                    device);
  };
  run(own);
  for (const std::size_t offset : {0UL, 1UL}) {  // of any alignment
    options.workspace = std::span(memory).subspan(offset, bytes);
    run(out);
    CHECK(out.storage() == own.storage());
  }
  options.workspace = std::span(memory).first(bytes - coca::detail::kAlignment);
  out.fill([] { return 0.0F; });
  const auto untouched = out.storage();
  CHECK_THROWS_AS(run(out), std::invalid_argument);
  CHECK(out.storage() == untouched);
}
