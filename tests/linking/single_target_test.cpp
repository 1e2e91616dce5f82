#ifndef COCA_SINGLE_TARGET
#define COCA_SINGLE_TARGET
#endif
#include "coca/coca.hpp"
#include "support/catch.hpp"

TEST_CASE("with COCA_SINGLE_TARGET there is only what the compiler was told", "[linking]") {
  using coca::Target;
  using coca::detail::target_available;
  CHECK(target_available(Target::baseline));
  for (const Target target : {Target::avx2, Target::avx512, Target::avx512_bf16}) {
    CHECK(!target_available(target));
    CHECK(&coca::detail::tile_engine<float>(target) ==
          &coca::detail::tile_engine<float>(Target::baseline));
  }
  CHECK(coca::target() == Target::baseline);

  Eigen::MatrixXf x = Eigen::MatrixXf::Identity(3, 3);
  Eigen::MatrixXf out(3, 3);
  coca::attention(out, x, x, x, coca::Dot{}, coca::Causal{});
  CHECK(out(0, 0) == 1.0F);
  CHECK(out(0, 1) == 0.0F);
}
