#include HEADER

/// The call of attention.cpp, and four more with other schemes and masks.
using Tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;

void attend(Tensor& out, const Tensor& q, const Tensor& k, const Tensor& v) {
  coca::attention(out, q, k, v, coca::Dot{}, coca::Causal{});
}
void attend(Tensor& out, const Tensor& q, const Tensor& k, const Tensor& v,
            const coca::Rope& rope) {
  coca::attention(out, q, k, v, coca::Rotary{rope}, coca::Causal{});
  coca::attention(out, q, k, v, coca::CocaSlack{rope}, coca::SlidingWindow{1023, 0});
  coca::attention(out, q, k, v, coca::CocaStrict{rope}, coca::PrefixLm{64});
  coca::attention(out, q, k, v, coca::Dot{}, coca::Causal{} & coca::Alibi{8});
}
