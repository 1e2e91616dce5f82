#include "coca/core/workspace.hpp"

#include <cstdint>

#include "support/catch.hpp"

using namespace coca::detail;

TEST_CASE("a carver lays out aligned pieces and counts them without memory", "[core]") {
  Arena arena;
  Carver measure;
  measure.take<float>(3);
  measure.take<double>(9);
  constexpr std::size_t gap = 192;
  CHECK(measure.bytes() == 64 + gap + 128 + gap);
  Carver carver(arena.reserve(measure.bytes()));
  const auto* first = carver.take<float>(3);
  const auto* second = carver.take<double>(9);
  CHECK(reinterpret_cast<std::uintptr_t>(first) % kAlignment == 0);
  CHECK(reinterpret_cast<const std::byte*>(second) - reinterpret_cast<const std::byte*>(first) ==
        64 + gap);
}

TEST_CASE("the caller's work memory is taken where there is some", "[core]") {
  alignas(64) std::byte block[256];
  CHECK(work_memory(std::span(block), 256) == block);
  CHECK(work_memory(std::span(block).subspan(1), 192) == block + 64);
  CHECK_THROWS_WITH(work_memory(std::span(block).subspan(1), 256),
                    "coca: options.workspace.size() is 255, expected what coca::workspace_bytes "
                    "says, 319");
  const std::byte* own = work_memory({}, 100);
  CHECK(own == work_memory({}, 100));
}

TEST_CASE("an arena only grows", "[core]") {
  Arena arena;
  const std::byte* big = arena.reserve(1000);
  CHECK(arena.reserve(10) == big);
  CHECK(arena.reserve(1000) == big);
  CHECK(arena.reserve(100000) != nullptr);
}
