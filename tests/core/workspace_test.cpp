#include "coca/core/workspace.hpp"

#include <cstdint>

#include "support/catch.hpp"

using namespace coca::detail;

TEST_CASE("a carver lays out aligned pieces and counts them without memory", "[core]") {
  Arena arena;
  Carver measure;
  measure.take<float>(3);
  measure.take<double>(9);
  CHECK(measure.bytes() == 64 + 128);
  Carver carver(arena.reserve(measure.bytes()));
  const auto* first = carver.take<float>(3);
  const auto* second = carver.take<double>(9);
  CHECK(reinterpret_cast<std::uintptr_t>(first) % kAlignment == 0);
  CHECK(reinterpret_cast<const std::byte*>(second) - reinterpret_cast<const std::byte*>(first) ==
        64);
}

TEST_CASE("an arena only grows", "[core]") {
  Arena arena;
  const std::byte* big = arena.reserve(1000);
  CHECK(arena.reserve(10) == big);
  CHECK(arena.reserve(1000) == big);
  CHECK(arena.reserve(100000) != nullptr);
}
