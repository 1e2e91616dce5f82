#include "coca/kernel/forward.hpp"

#include "kernel/forward_cases.hpp"
#include "support/catch.hpp"

TEST_CASE("the kernel is the reference: double", "[kernel]") {
  test::compare_all_forms<double>(1000, 15);
}
TEST_CASE("the kernel is the reference: float", "[kernel]") {
  test::compare_all_forms<float>(2000, 15);
}
