#include "coca/core/version.hpp"

#include <string>
#include <type_traits>

#include "coca/core/scalar.hpp"
#include "support/catch.hpp"

TEST_CASE("the version says the same as a number, as text and to CMake", "[core]") {
  const std::string text = COCA_VERSION_STRING;
  CHECK(text == std::to_string(COCA_VERSION / 10000) + "." +
                    std::to_string(COCA_VERSION / 100 % 100) + "." +
                    std::to_string(COCA_VERSION % 100));
  CHECK(text == COCA_CMAKE_VERSION);
}

TEST_CASE("the inline namespace is that of the major version", "[core]") {
#define COCA_JOIN(a, b) a##b
#define COCA_NAMESPACE(major) COCA_JOIN(v, major)
  CHECK(std::is_same_v<coca::Index, coca::COCA_NAMESPACE(COCA_VERSION_MAJOR)::Index>);
}
