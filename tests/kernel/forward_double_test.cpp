#include "kernel/forward_cases.hpp"
#include "support/catch.hpp"

TEST_CASE("the kernel is the reference: double", "[kernel]") {
  test::compare_any_forms<double>(1000, 15);
}
TEST_CASE("the kernel is the reference over many keys: double", "[kernel]") {
  test::compare_any_forms<double>(1500, 2, test::long_sizes);
}
