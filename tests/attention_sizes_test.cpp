#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "coca/extern.hpp"
#include "support/address_space.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

/// Sizes, places and offsets beyond 2^31, without the memory: tensors lie in empty address space, of
/// which only what is seen is written to.
namespace {

using namespace test;
using coca::TensorView;

constexpr Index kFar = Index{1} << 31;
constexpr Index kSeen = 256;  ///< keys in use, from key kFar on
constexpr Index kFarDim = 8;

/// Keys and values of kFar + kSeen tokens of one head, and the last of them as tensors of their own.
struct FarTokens {
  AddressSpace space{static_cast<std::size_t>((kFar + kSeen) * (kFarDim + kFarDim / 2)) *
                     sizeof(float)};
  Tensor<float> near_t{{1, kSeen, 1, kFarDim / 2}}, near_v{{1, kSeen, 1, kFarDim}};

  explicit FarTokens(Random& random) {
    for (auto* x : {&near_t, &near_v}) x->fill([&] { return random.uniform() + 1.0; });
    if (!there()) return;
    std::copy(near_t.storage().begin(), near_t.storage().end(), &t()(0, kFar, 0, 0));
    std::copy(near_v.storage().begin(), near_v.storage().end(), &v()(0, kFar, 0, 0));
  }
  bool there() const { return space.as<float>() != nullptr; }
  TensorView<float> t() const {
    return {space.as<float>() + (kFar + kSeen) * kFarDim, {1, kFar + kSeen, 1, kFarDim / 2}};
  }
  TensorView<float> v() const { return {space.as<float>(), {1, kFar + kSeen, 1, kFarDim}}; }
};

/// A tensor without its batch axis.
template <class T>
coca::View<T, 3> packed(const TensorView<T>& x) {
  return {x.data, {x.shape[1], x.shape[2], x.shape[3]}, {x.strides[1], x.strides[2], x.strides[3]}};
}

void warn_without(const char* what) {
  WARN("not tested, as the system refuses so much address space: " << what);
}

}  // namespace

TEST_CASE("keys beyond 2^31", "[attention]") {
  Random random(31);
  const FarTokens tokens(random);
  if (!tokens.there()) return warn_without("keys");
  const coca::CocaSlack scheme{coca::Rope({.dim = kFarDim})};
  for (const Index queries : {2, 9}) {  // few rows, and packed ones
    Tensor<float> q({1, queries, 1, kFarDim}), out({1, queries, 1, kFarDim}), expected(out);
    q.fill([&] { return random.uniform(); });
    coca::attention(expected.view(), q.view(), tokens.near_t.view(), tokens.near_v.view(), scheme,
                    coca::SlidingWindow(200, 0), {.first_key = kFar});
    coca::attention(out.view(), q.view(), tokens.t(), tokens.v(), scheme,
                    coca::SlidingWindow(200, 0));
    CHECK(out.storage() == expected.storage());
  }
}

TEST_CASE("a packed sequence beyond token 2^31", "[attention]") {
  Random random(32);
  const FarTokens tokens(random);
  if (!tokens.there()) return warn_without("packed tokens");
  const coca::CocaSlack scheme{coca::Rope({.dim = kFarDim})};
  Tensor<float> q({1, 9, 1, kFarDim}), out({1, 9, 1, kFarDim}), expected(out);
  q.fill([&] { return random.uniform(); });
  // The first sequence has keys alone.
  const std::array<std::int64_t, 3> query_starts{0, 0, 9}, key_starts{0, kFar, kFar + kSeen};
  coca::packed_attention(packed(out.view()), packed(q.view()), packed(tokens.t()),
                         packed(tokens.v()), query_starts, key_starts, scheme, coca::Causal{});
  coca::attention(expected.view(), q.view(), tokens.near_t.view(), tokens.near_v.view(), scheme,
                  coca::Causal{});
  CHECK(out.storage() == expected.storage());
}

TEST_CASE("strides beyond 2^31, of either sign, in every axis and tensor", "[attention]") {
  const std::array<Index, 4> shape{2, 3, 2, kFarDim};
  // Three axes take turns at the long stride; the head_dim's is of moderate length.
  const Index reach = 4 * kFar;
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const AddressSpace space(4 * static_cast<std::size_t>(reach) * sizeof(float));
    if (space.as<float>() == nullptr) return warn_without("strides");
    Random random(33 + axis);
    std::array<Index, 4> strides{200, 60, 20, 2};
    strides[axis] = -(kFar + 40 * kFarDim);
    const auto far = [&](Index tensor) {
      // The last index of the axis lies at the beginning.
      float* first = space.as<float>() + tensor * reach + 2 * (kFar + 40 * kFarDim);
      return TensorView<float>(first, shape, strides);
    };
    Tensor<float> q(shape), k(shape), v(shape), expected(shape);
    for (auto* x : {&q, &k, &v}) x->fill([&] { return random.uniform(); });
    const auto copy = [&](const Tensor<float>& from, const TensorView<float>& to) {
      Tensor<float>::for_each(shape, [&](Index b, Index n, Index h, Index i) {
        to(b, n, h, i) = from.view()(b, n, h, i);
      });
    };
    copy(q, far(0));
    copy(k, far(1));
    copy(v, far(2));
    coca::attention(far(3), far(0), far(1), far(2), coca::Dot{}, coca::Causal{});
    coca::attention(expected.view(), q.view(), k.view(), v.view(), coca::Dot{}, coca::Causal{});
    Index apart = 0;
    Tensor<float>::for_each(shape, [&](Index b, Index n, Index h, Index i) {
      apart += far(3)(b, n, h, i) != expected.view()(b, n, h, i);
    });
    INFO("axis " << axis);
    CHECK(apart == 0);
  }
}

TEST_CASE("work memory of a call of 2^62 rows is that of a small one", "[attention]") {
  const auto bytes = [](Index batch, Index length, Index heads) {
    const TensorView<const float> x(nullptr, {batch, length, heads, 128}, {0, 0, 0, 1});
    return coca::workspace_bytes(x, x, x, coca::Dot{});
  };
  const Index many = Index{1} << 20;
  CHECK(bytes(many, 4 * many, many) == bytes(64, 1 << 16, 64));
}

TEST_CASE("a mask's place beyond 2^31", "[mask]") {
  const Index rows = 3;
  const AddressSpace space(static_cast<std::size_t>(rows * (kFar + 10)));
  if (space.as<bool>() == nullptr) return warn_without("masks");
  const coca::View<bool, 4> allowed(space.as<bool>(), {1, 1, rows, kFar + 10});
  allowed(0, 0, 2, kFar + 5) = true;
  const coca::BooleanMask mask(allowed);
  const auto tile = [](Index key) {
    return coca::MaskTile{
        .head_end = 1, .query_begin = 2, .query_end = 3, .key_begin = key, .key_end = key + 1};
  };
  CHECK(mask.visible(coca::Site{.query_index = 2, .key_index = kFar + 5}));
  CHECK(mask.classify(tile(kFar + 5)) == coca::Coverage::full);
  CHECK_FALSE(mask.visible(coca::Site{.query_index = 2, .key_index = kFar + 4}));
  CHECK(mask.classify(tile(kFar + 4)) == coca::Coverage::empty);
}

TEST_CASE("rounding grows with the blocks of keys, not with the keys", "[attention]") {
  // Equal terms round the same way each time, so that a plain sum of so many is off by 1e-3.
  constexpr Index keys = 1 << 17, width = 20;
  const float number = 0.1F, zero = 0.0F;
  const TensorView<const float> k(&zero, {1, keys, 1, kFarDim}, {0, 0, 0, 0});
  const TensorView<const float> v(&number, {1, keys, 1, width}, {0, 0, 0, 0});
  // Higham 2002, section 4.2: n terms are off by at most n - 1 roundings, whatever they are.
  constexpr Index block = coca::detail::kTileKeys;
  constexpr double bound = static_cast<double>(block + keys / block) * 0x1p-24;
  for (const Index queries : {1, 9}) {  // few rows, and packed ones
    Tensor<float> q({1, queries, 1, kFarDim}), out({1, queries, 1, width});
    q.fill([] { return 0.0; });
    coca::attention(out.view(), q.view(), k, v, coca::Dot{});
    for (const float x : out.storage()) {
      CHECK(std::fabs(static_cast<double>(x) / static_cast<double>(number) - 1.0) <= bound);
    }
  }
}
