#include "coca/kernel/backward.hpp"

#include "kernel/backward_cases.hpp"
#include "support/catch.hpp"

TEST_CASE("the gradients are the reference's: float", "[kernel]") {
  test::compare_random_gradients<float>(5000, 15, 0.0, test::random_mask);
}
TEST_CASE("the gradients are the reference's: bfloat16", "[kernel]") {
  test::compare_random_gradients<Eigen::bfloat16>(5100, 6, 0.0, test::random_mask);
}
TEST_CASE("the gradients are the reference's: half", "[kernel]") {
  test::compare_random_gradients<Eigen::half>(5200, 6, 0.0, test::random_mask);
}
TEST_CASE("the gradients are the reference's: double", "[kernel]") {
  test::compare_random_gradients<double>(5300, 10, 0.0, test::random_mask);
}
