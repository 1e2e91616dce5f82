#include <atomic>
#include <cstdlib>
#include <new>

#include "coca/coca.hpp"
#include "support/catch.hpp"
#include "support/effort.hpp"
#include "support/forms.hpp"
#include "support/random.hpp"

/// Every allocation of this program is counted here.
namespace {

std::atomic<long> allocations{0};

void* counted(std::size_t bytes, std::size_t alignment) {
  ++allocations;
  // No machine has as much, and a sanitizer would end the program.
  if (bytes > std::size_t{1} << 48) throw std::bad_alloc();
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

constexpr int kCalls = kEmulated ? 1 : 20;  ///< once warm

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
  for_each_any_form(rope, [&](const auto& form) {
    if (form.half_width) return;
    INFO(form.name);
    const coca::AttentionOptions options{.soft_cap = 20.0, .lse = coca::view(lse)};
    const std::vector<std::int32_t> query_starts{0, 150, 200}, key_starts{0, 200, 300};
    const auto packed = [](const auto& x) {
      return coca::View<std::remove_pointer_t<decltype(x.data)>, 3>(
          x.data, {x.shape[1], x.shape[2], x.shape[3]});
    };
    const auto run = [&](const auto& on) {
      coca::packed_attention(packed(out.view()), packed(q.view()), packed(k.view()),
                             packed(v.view()), query_starts, key_starts, form.scheme,
                             coca::Causal{}, options, on);
      coca::attention(out.view(), q.view(), k.view(), v.view(), form.scheme, coca::Causal{},
                      options, on);
    };
    run(device);
    run(Eigen::DefaultDevice{});  // takes larger blocks
    const long before = allocations;
    for (int i = 0; i < kCalls; ++i) {
      run(device);
      run(Eigen::DefaultDevice{});
    }
    CHECK(allocations == before);
  });
}

TEST_CASE("a warm decode does not allocate", "[memory]") {
  Eigen::ThreadPool pool(3);
  const Eigen::ThreadPoolDevice device(&pool, 3);
  const coca::CocaSlack scheme{coca::Rope({.dim = 16})};
  Random random(4);
  coca::PagedCache cache({.key_heads = 2, .key_dim = 8, .value_dim = 16});
  const std::vector<coca::SequenceId> ids{cache.add(), cache.add()};
  Tensor<float> k({2, 2000, 2, 8}), v({2, 2000, 2, 16}), q({2, 1, 8, 16}), out({2, 1, 8, 16});
  for (auto* x : {&q, &k, &v}) x->fill([&] { return random.uniform(); });
  cache.append(ids, k.view(), v.view());
  const auto run = [&] {
    coca::decode(out.view(), q.view(), cache, ids, scheme, coca::Causal{}, {}, device);
  };
  run();
  const long before = allocations;
  for (int i = 0; i < kCalls; ++i) run();
  CHECK(allocations == before);
}

TEST_CASE("warm gradients do not allocate", "[memory]") {
  Eigen::ThreadPool pool(3);
  const Eigen::ThreadPoolDevice device(&pool, 3);
  const coca::Rotary scheme{coca::Rope({.dim = 16})};
  Random random(6);
  Tensor<float> x({1, 1100, 2, 16}), out({1, 1100, 2, 16}), dq({1, 1100, 2, 16}),
      dk({1, 1100, 2, 16}), dv({1, 1100, 2, 16});
  x.fill([&] { return random.uniform(); });
  Eigen::Tensor<float, 3> lse(1, 2, 1100);
  const auto run = [&](const auto& on) {
    coca::attention(out.view(), x.view(), x.view(), x.view(), scheme, coca::Causal{},
                    {.lse = coca::view(lse)}, on);
    coca::attention_backward(dq.view(), dk.view(), dv.view(), x.view(), x.view(), x.view(),
                             x.view(), out.view(), lse, scheme, coca::Causal{}, {}, {}, on);
  };
  run(device);
  run(Eigen::DefaultDevice{});
  const long before = allocations;
  for (int i = 0; i < kCalls; ++i) {
    run(device);
    run(Eigen::DefaultDevice{});
  }
  CHECK(allocations == before);
}

TEST_CASE("where there is not so much memory, nothing has changed", "[memory]") {
  const std::array<float, 4> row{};
  const Index many = Index{1} << 50;
  const coca::View<const float, 3> tokens(row.data(), {many, 1, 4}, {0, 0, 1});
  const coca::CacheOptions options{.key_heads = 1, .key_dim = 4, .value_dim = 4};
  coca::PagedCache paged(options, {.page_tokens = 16});
  const coca::SequenceId id = paged.add();
  CHECK_THROWS_AS(paged.append(id, tokens, tokens), std::bad_alloc);
  CHECK(paged.length(id) == 0);
  CHECK(paged.pages_used() == 0);

  coca::RollingCache rolling(options, {.sinks = 20, .window = many});
  CHECK_THROWS_AS(rolling.add(), std::bad_alloc);
  CHECK(rolling.bytes() == 0);
}

TEST_CASE("work memory of gradients is as long as the sequence", "[memory]") {
  const coca::CocaSlack scheme{coca::Rope({.dim = 128})};
  const auto bytes = [&](Index batch, Index length) {
    const coca::TensorView<const float> q(nullptr, {batch, length, 8, 128}),
        t(nullptr, {batch, length, 2, 64}), v(nullptr, {batch, length, 2, 128});
    return static_cast<double>(coca::backward_workspace_bytes(q, t, v, scheme));
  };
  // Four queries and their key: 3 rows of each query's and 5 of the key's, of 128 numbers and most of them
  // with a cache line beside; shifts and means; and whether they are finite. The rest does not grow.
  const double a_token = (17.0 * 128 + 15 * 16 + 8) * 4 + 5;
  CHECK(bytes(1, 1 << 20) - bytes(1, 1 << 19) <= a_token * (1 << 19));
  CHECK(bytes(1, 1 << 10) <= a_token * (1 << 10) + (1 << 18));
  CHECK(bytes(5, 1 << 10) <= bytes(1, 1 << 10) + (1 << 12));
}

TEST_CASE("a warm call under a distance ceiling does not allocate", "[memory]") {
  Random random(5);
  Tensor<float> q({1, 200, 4, 16}), k({1, 300, 2, 16}), v({1, 300, 2, 16}), out({1, 200, 4, 16});
  for (auto* x : {&q, &k, &v}) x->fill([&] { return random.uniform(); });
  // The mask holds a list, which is not to be copied.
  const auto run = [&, scheme = coca::DistanceCeiling{coca::Dot{}, 50},
                    mask = coca::GlobalTokens{{0, 7}}] {
    coca::attention(out.view(), q.view(), k.view(), v.view(), scheme, mask);
  };
  run();
  const long before = allocations;
  for (int i = 0; i < 5; ++i) run();
  CHECK(allocations == before);
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
  std::vector<std::byte> memory(bytes + 3);
  coca::AttentionOptions options;
  const auto run = [&](Tensor<float>& to) {
    coca::attention(to.view(), q.view(), k.view(), k.view(), coca::Dot{}, coca::Causal{}, options,
                    device);
  };
  run(own);
  for (const std::size_t offset : {1UL, 2UL}) {  // of any alignment
    std::fill(memory.begin(), memory.end(), std::byte{42});
    options.workspace = std::span(memory).subspan(offset, bytes);
    run(out);
    CHECK(out.storage() == own.storage());
    CHECK(memory[offset - 1] == std::byte{42});
    CHECK(memory[offset + bytes] == std::byte{42});
  }
  options.workspace = std::as_writable_bytes(std::span(k.storage()));
  CHECK_THROWS_WITH(run(out), contains("options.workspace is in the same memory as k"));
  options.workspace = std::span(memory).first(1000);
  out.fill([] { return 0.0F; });
  const auto untouched = out.storage();
  CHECK_THROWS_AS(run(out), std::invalid_argument);
  CHECK(out.storage() == untouched);
}

TEST_CASE("the work memory of a call without queries suffices for it", "[memory]") {
  Tensor<float> q({1, 0, 4, 40}), k({1, 30, 2, 40}), out({1, 0, 4, 40});
  std::vector<std::byte> memory(coca::workspace_bytes(q.view(), k.view(), k.view(), coca::Dot{}));
  CHECK_NOTHROW(coca::attention(out.view(), q.view(), k.view(), k.view(), coca::Dot{},
                                coca::Causal{}, {.workspace = memory}));
}

TEST_CASE("the caller may bring the work memory of decode", "[memory]") {
  Eigen::ThreadPool pool(2);
  const Eigen::ThreadPoolDevice device(&pool, 2);
  Random random(5);
  coca::PagedCache cache({.key_heads = 2, .key_dim = 24, .value_dim = 40});
  const std::vector<coca::SequenceId> ids{cache.add()};
  Tensor<float> k({1, 3000, 2, 24}), v({1, 3000, 2, 40});
  for (auto* x : {&k, &v}) x->fill([&] { return random.uniform(); });
  cache.append(ids, k.view(), v.view());
  for (const Index queries : {1, 200}) {  // by either kernel
    Tensor<float> q({1, queries, 4, 24}), out({1, queries, 4, 40}), own({1, queries, 4, 40});
    q.fill([&] { return random.uniform(); });
    const std::size_t bytes =
        coca::decode_workspace_bytes(q.view(), cache, ids, coca::Dot{}, device);
    std::vector<std::byte> memory(bytes + 2, std::byte{42});
    coca::decode(own.view(), q.view(), cache, ids, coca::Dot{}, coca::Causal{}, {}, device);
    coca::decode(out.view(), q.view(), cache, ids, coca::Dot{}, coca::Causal{},
                 {.workspace = std::span(memory).subspan(1, bytes)}, device);
    CHECK(out.storage() == own.storage());
    CHECK(memory.front() == std::byte{42});
    CHECK(memory.back() == std::byte{42});
  }
  Tensor<float> q({2, 1, 4, 24});
  CHECK_THROWS_AS(coca::decode_workspace_bytes(q.view(), cache, ids, coca::Dot{}),
                  std::invalid_argument);
}

TEST_CASE("work memory for a long call does for shorter ones, and inside the pool", "[memory]") {
  Eigen::ThreadPool pool(2);
  const Eigen::ThreadPoolDevice device(&pool, 2);
  Random random(3);
  const auto bytes_for = [&](Index queries, Index keys) {
    const coca::TensorView<const float> q(nullptr, {1, queries, 1, 128}),
        k(nullptr, {1, keys, 1, 128});
    return coca::workspace_bytes(q, k, k, coca::Dot{}, device);
  };
  const std::size_t bytes = bytes_for(1024, 1024);
  std::vector<std::byte> memory(bytes);
  Tensor<float> q({1, 1024, 1, 128}), out({1, 1024, 1, 128});
  q.fill([&] { return random.uniform(); });
  for (const Index queries : {1024, 1000, 700, 130, 1}) {
    CHECK(bytes_for(queries, 1024) <= bytes);
    for (const Index keys : {1024, 4, 0}) {
      auto some_q = q.view(), some_k = q.view(), some_out = out.view();
      some_q.shape[1] = some_out.shape[1] = queries;
      some_k.shape[1] = keys;
      const auto run = [&] {
        coca::attention(some_out, some_q, some_k, some_k, coca::Dot{}, coca::Full{},
                        {.workspace = memory}, device);
      };
      CHECK_NOTHROW(run());
      Eigen::Notification done;
      bool threw = false;
      pool.Schedule([&] {
        try {
          run();
        } catch (const std::invalid_argument&) {
          threw = true;
        }
        done.Notify();
      });
      done.Wait();
      CHECK_FALSE(threw);
    }
  }
}

TEST_CASE("workspace_bytes says what is wrong with the shapes", "[memory]") {
  const coca::TensorView<const float> none(nullptr, {1, 4, 2, 0}), q(nullptr, {1, 4, 2, 8}),
      k(nullptr, {1, 4, 2, 6});
  CHECK_THROWS_AS(coca::workspace_bytes(none, none, none, coca::Dot{}), std::invalid_argument);
  CHECK_THROWS_AS(coca::workspace_bytes(q, k, q, coca::Dot{}), std::invalid_argument);
  CHECK_NOTHROW(coca::workspace_bytes(q, q, k, coca::Dot{}));
}
