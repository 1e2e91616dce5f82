#include "coca/kernel/forward.hpp"

#include "kernel/forward_cases.hpp"
#include "support/catch.hpp"

TEST_CASE("the kernel is the reference: float", "[kernel]") {
  test::compare_all_forms<float>(2000, 15);
}
TEST_CASE("the kernel is the reference: bfloat16", "[kernel]") {
  test::compare_all_forms<Eigen::bfloat16>(3000, 8);
}
TEST_CASE("the kernel is the reference: half", "[kernel]") {
  test::compare_all_forms<Eigen::half>(4000, 8);
}
TEST_CASE("the kernel is the reference over many keys", "[kernel]") {
  test::compare_all_forms<float>(2500, 2, test::long_sizes);
  test::compare_all_forms<Eigen::bfloat16>(3500, 1, test::long_sizes);
}
