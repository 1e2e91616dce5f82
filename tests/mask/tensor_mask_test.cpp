#include "coca/mask/tensor_mask.hpp"

#include <cmath>

#include "coca/coca.hpp"
#include "coca/reference/attention.hpp"
#include "support/bounds.hpp"
#include "support/catch.hpp"
#include "support/tiles.hpp"

namespace {

using namespace test;
using BoolTensor = Eigen::Tensor<bool, 4, Eigen::RowMajor>;

/// Whether attention under `mask` is the reference's.
template <class M>
bool as_reference(const M& mask, std::array<Index, 4> extents) {
  Random random(81);
  const auto [batch, heads, queries, keys] = extents;
  Tensor<double> q({batch, queries, heads, 8}), k({batch, keys, heads, 8}),
      v({batch, keys, heads, 8});
  for (auto* x : {&q, &k, &v}) x->fill([&] { return random.uniform(); });
  Tensor<double> out({batch, queries, heads, 8}), expected({batch, queries, heads, 8});
  coca::attention(out.view(), q.view(), k.view(), v.view(), coca::Dot{}, mask);
  coca::reference::attention(expected.view(), q.view(), k.view(), v.view(),
                             coca::reference::DotScore{}, mask);
  return largest_difference(out, expected) <= 1e-13;
}

BoolTensor random_mask(std::array<Index, 4> shape, Random& random, double share) {
  BoolTensor mask(shape[0], shape[1], shape[2], shape[3]);
  for (Index i = 0; i < mask.size(); ++i) mask.data()[i] = random.uniform() < 2.0 * share - 1.0;
  return mask;
}

}  // namespace

TEST_CASE("a boolean mask of any broadcast", "[mask]") {
  Random random(82);
  const std::array<Index, 4> full{2, 3, 70, 130};
  for (int bits = 0; bits < 16; ++bits) {
    auto shape = full;
    for (std::size_t axis = 0; axis < 4; ++axis) {
      if ((bits >> axis & 1) != 0) shape[axis] = 1;
    }
    INFO("broadcast axes " << bits);
    CHECK(as_reference(coca::BooleanMask(random_mask(shape, random, 0.6)), full));
  }
}

TEST_CASE("an additive bias of any broadcast, with -inf and with other masks", "[mask]") {
  Random random(83);
  const std::array<Index, 4> full{2, 3, 70, 130};
  for (int bits = 0; bits < 16; ++bits) {
    auto shape = full;
    for (std::size_t axis = 0; axis < 4; ++axis) {
      if ((bits >> axis & 1) != 0) shape[axis] = 1;
    }
    INFO("broadcast axes " << bits);
    Eigen::Tensor<double, 4, Eigen::RowMajor> bias(shape[0], shape[1], shape[2], shape[3]);
    for (Index i = 0; i < bias.size(); ++i) {
      bias.data()[i] =
          random.uniform() < -0.5 ? -std::numeric_limits<double>::infinity() : random.uniform();
    }
    CHECK(as_reference(coca::AdditiveBias(bias), full));
    CHECK(as_reference(coca::Causal{} & coca::AdditiveBias(bias), full));
    CHECK(as_reference(coca::AdditiveBias(bias) & coca::AdditiveBias(bias), full));
  }
}

TEST_CASE("a boolean mask knows its tiles", "[mask]") {
  Random random(84);
  for (const double share : {0.02, 0.5, 0.98}) {
    const BoolTensor dense = random_mask({1, 1, 40, 40}, random, share);
    CHECK(classifies_rightly(coca::BooleanMask(dense), 40, 40, 0, 0, random));
    const BoolTensor padding = random_mask({1, 1, 1, 40}, random, share);
    CHECK(classifies_rightly(coca::BooleanMask(padding), 40, 40, 0, 0, random));
  }
}

TEST_CASE("a matrix is a mask over queries and keys, by place and not by position", "[mask]") {
  Eigen::Matrix<bool, Eigen::Dynamic, Eigen::Dynamic> allowed(2, 3);
  allowed << true, false, false, true, true, true;
  const coca::BooleanMask mask(allowed);
  CHECK(mask.visible(
      coca::Site{.query_index = 1, .key_index = 2, .query_offset = 100, .key_offset = 50}));
  CHECK_FALSE(mask.visible(coca::Site{.batch = 5, .head = 3, .query_index = 0, .key_index = 1}));
}

TEST_CASE("a mask of the wrong shape is named", "[mask]") {
  const Eigen::MatrixXf q = Eigen::MatrixXf::Zero(4, 8), k = Eigen::MatrixXf::Zero(6, 8);
  Eigen::MatrixXf out = Eigen::MatrixXf::Constant(4, 8, 5.0F);
  BoolTensor wrong(1, 1, 4, 5);
  wrong.setConstant(true);
  CHECK_THROWS_WITH(
      coca::attention(out, q, k, k, coca::Dot{}, coca::BooleanMask(wrong)),
      "coca: mask is of shape [1, 1, 4, 5], expected [1, 1, 4, 6] with 1 where it is the "
      "same for all");
  const Eigen::MatrixXf bias = Eigen::MatrixXf::Zero(3, 6);
  CHECK_THROWS_WITH(
      coca::attention(out, q, k, k, coca::Dot{}, coca::Causal{} & coca::AdditiveBias(bias)),
      "coca: bias is of shape [1, 1, 3, 6], expected [1, 1, 4, 6] with 1 where it is the "
      "same for all");
  CHECK((out.array() == 5.0F).all());
}
