#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <utility>
#include <vector>

#include "coca/coca.hpp"
#include "coca/kernel/forward_block.hpp"
#include "support/address_space.hpp"
#include "support/catch.hpp"
#include "support/effort.hpp"
#include "support/random.hpp"

/// Sizes, places and offsets beyond 2^31, without the memory: tensors lie in empty address space, of
/// which only what is seen is written to.
namespace {

using namespace test;
using coca::Position;
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

/// A cache of one sequence of kFar + kSeen tokens in one page, of which the first and the last are there.
class FarCache {
 public:
  FarCache(coca::ElementType type, const Tensor<float>& t, const Tensor<float>& v)
      : layout_{1, kFarDim / 2, kFarDim, (kFar + kSeen) / coca::detail::kPanelTokens, type},
        space_(layout_.page_bytes()),
        page_(space_.as<std::byte>()) {
    sequence_.runs[0] = {&page_, 0, kFar + kSeen, 0};
    coca::detail::TokenStore store(layout_);
    // The first tokens are others: a place that wraps around would be theirs.
    for (const Index first : {kFar, Index{0}}) {
      for (Index i = 0; there() && i < kSeen; ++i) {
        const Index token = first == 0 ? kSeen - 1 - i : i;
        store.write(t.view(), v.view(), 0, token, sequence_.place(layout_, first + i));
      }
    }
  }
  bool there() const { return page_ != nullptr; }
  const coca::detail::PanelLayout& layout() const { return layout_; }
  const coca::detail::PanelSequence* sequences() const { return &sequence_; }
  void check_sequences(std::span<const coca::SequenceId>) const {}

 private:
  coca::detail::PanelLayout layout_;
  AddressSpace space_;
  std::byte* page_;
  coca::detail::PanelSequence sequence_;
};

/// Tensors of one shape, of which three axes may take turns at a long stride; the head_dim's is of
/// moderate length.
template <class T>
class FarTensorsOf {
 public:
  static constexpr std::array<Index, 4> kShape{2, 3, 2, kFarDim};

  FarTensorsOf(Index tensors, std::size_t axis)
      : space_(static_cast<std::size_t>(tensors * kReach) * sizeof(T)) {
    strides_[axis] = -kLong;
  }
  bool there() const { return space_.template as<T>() != nullptr; }
  TensorView<T> operator()(Index tensor) const {
    // The last index of the axis lies at the beginning.
    return {space_.template as<T>() + tensor * kReach + 2 * kLong, kShape, strides_};
  }
  TensorView<T> copied(Index tensor, const Tensor<T>& from) const {
    const auto to = (*this)(tensor);
    Tensor<T>::for_each(kShape, [&](Index b, Index n, Index h, Index i) {
      to(b, n, h, i) = from.view()(b, n, h, i);
    });
    return to;
  }
  /// How many elements of a tensor are others than expected.
  Index apart(Index tensor, const Tensor<T>& expected) const {
    Index count = 0;
    Tensor<T>::for_each(kShape, [&](Index b, Index n, Index h, Index i) {
      count += (*this)(tensor)(b, n, h, i) != expected.view()(b, n, h, i);
    });
    return count;
  }

 private:
  static constexpr Index kReach = 4 * kFar;
  static constexpr Index kLong = kFar + 40 * kFarDim;

  AddressSpace space_;
  std::array<Index, 4> strides_{200, 60, 20, 2};
};
using FarTensors = FarTensorsOf<float>;

/// As log-sum-exps are, [batch, heads, sequence]: the first element of each row of a tensor.
template <class T>
coca::View<T, 3> as_lse(const TensorView<T>& x) {
  return {x.data, {x.shape[0], x.shape[2], x.shape[1]}, {x.strides[0], x.strides[2], x.strides[1]}};
}
/// As sinks are, [heads].
coca::View<const float, 1> as_sinks(const TensorView<float>& x) {
  return {x.data, {x.shape[2]}, {x.strides[2]}};
}
/// As position ids are, [batch, sequence].
coca::View<const Position, 2> as_ids(const TensorView<Position>& x) {
  return {x.data, {x.shape[0], x.shape[1]}, {x.strides[0], x.strides[1]}};
}

/// A machine may be told to refuse what it has no memory for; where CI is set, as .ci/run does, it is not.
void warn_without(const char* what) {
  const bool must_be_tested = std::getenv("CI") != nullptr && !kEmulated;
  if (must_be_tested) FAIL("the system refuses so much address space: " << what);
  WARN("not tested, as the system refuses so much address space: " << what);
}

Tensor<float> uniform_tensor(const std::array<Index, 4>& shape, Random& random) {
  return Tensor<float>(shape).fill([&] { return random.uniform(); });
}

/// Calls check(far, q, k, v, random) for each axis with a long stride: so many far tensors, and three
/// random ones of their shape.
template <class Check>
void for_each_long_axis(const char* what, Index tensors, std::uint64_t seed, const Check& check) {
  for (std::size_t axis = 0; axis < 3; ++axis) {
    INFO("axis " << axis);
    const FarTensors far(tensors, axis);
    if (!far.there()) return warn_without(what);
    Random random(seed + axis);
    const auto q = uniform_tensor(far.kShape, random), k = uniform_tensor(far.kShape, random),
               v = uniform_tensor(far.kShape, random);
    check(far, q, k, v, random);
  }
}

/// A tensor without its batch axis: one entry.
template <class T>
coca::View<T, 3> packed(const TensorView<T>& x, std::size_t entry = 0) {
  return {x.data + static_cast<Index>(entry) * x.strides[0],
          {x.shape[1], x.shape[2], x.shape[3]},
          {x.strides[1], x.strides[2], x.strides[3]}};
}

}  // namespace

TEST_CASE("keys beyond 2^31", "[attention]") {
  Random random(31);
  const FarTokens tokens(random);
  if (!tokens.there()) return warn_without("keys");
  const coca::CocaSlack scheme{coca::Rope({.dim = kFarDim})};
  for (const Index queries : {2, 9}) {  // few rows, and packed ones
    const auto q = uniform_tensor({1, queries, 1, kFarDim}, random);
    Tensor<float> out(q.view().shape), expected(out);
    coca::attention(expected.view(), q.view(), tokens.near_t.view(), tokens.near_v.view(), scheme,
                    coca::SlidingWindow(200, 0), {.first_key = kFar});
    coca::attention(out.view(), q.view(), tokens.t(), tokens.v(), scheme,
                    coca::SlidingWindow(200, 0));
    CHECK(out.storage() == expected.storage());
  }
}

TEST_CASE("more than 2^31 keys of all heads and batch entries", "[attention]") {
  // The same for all of them, and of each the last are seen.
  if (kEmulated || share_of(2) < 2) return;  // so many tiles to pass by
  constexpr Index batch = 64, heads = 80, keys = Index{1} << 19;
  static_assert(batch * heads * keys > kFar);
  Random random(37);
  Tensor<float> t({1, keys, 1, kFarDim / 2}), v({1, keys, 1, kFarDim});
  for (auto* x : {&t, &v}) x->fill([&] { return random.uniform() + 1.0; });
  const auto of_all = [](const TensorView<float>& x, Index first) {
    return TensorView<const float>(&x(0, first, 0, 0), {batch, keys - first, heads, x.shape[3]},
                                   {0, x.shape[3], 0, 1});
  };
  const coca::CocaSlack scheme{coca::Rope({.dim = kFarDim})};
  for (const Index queries : {2, 9}) {  // few rows, and packed ones
    const auto q = uniform_tensor({batch, queries, heads, kFarDim}, random);
    Tensor<float> out(q.view().shape), expected(out);
    constexpr Index seen = keys - kSeen;
    coca::attention(expected.view(), q.view(), of_all(t.view(), seen), of_all(v.view(), seen),
                    scheme, coca::SlidingWindow(200, 0), {.first_key = seen});
    coca::attention(out.view(), q.view(), of_all(t.view(), 0), of_all(v.view(), 0), scheme,
                    coca::SlidingWindow(200, 0));
    CHECK(out.storage() == expected.storage());
  }
}

TEST_CASE("a packed sequence beyond token 2^31", "[attention]") {
  Random random(32);
  const FarTokens tokens(random);
  if (!tokens.there()) return warn_without("packed tokens");
  const coca::CocaSlack scheme{coca::Rope({.dim = kFarDim})};
  const auto q = uniform_tensor({1, 9, 1, kFarDim}, random);
  Tensor<float> out(q.view().shape), expected(out);
  // The first sequence has keys alone.
  const std::array<std::int64_t, 3> query_starts{0, 0, 9}, key_starts{0, kFar, kFar + kSeen};
  coca::packed_attention(packed(out.view()), packed(q.view()), packed(tokens.t()),
                         packed(tokens.v()), query_starts, key_starts, scheme, coca::Causal{});
  coca::attention(expected.view(), q.view(), tokens.near_t.view(), tokens.near_v.view(), scheme,
                  coca::Causal{});
  CHECK(out.storage() == expected.storage());
}

TEST_CASE("tokens of a cache beyond 2^31", "[decode]") {
  Random random(35);
  const auto t = uniform_tensor({1, kSeen, 1, kFarDim / 2}, random),
             v = uniform_tensor({1, kSeen, 1, kFarDim}, random);
  const coca::CocaSlack scheme{coca::Rope({.dim = kFarDim})};
  // Few rows, and as many as the kernel of attention serves.
  for (const auto& [type, heads] : {std::pair<coca::ElementType, Index>{coca::ElementType::int8, 1},
                                    {coca::ElementType::float32, 61}}) {
    const FarCache far(type, t, v);
    if (!far.there()) return warn_without("caches");
    coca::PagedCache near(
        {.key_heads = 1, .key_dim = kFarDim / 2, .value_dim = kFarDim, .type = type});
    const std::array ids{near.add()};
    near.append(ids, t.view(), v.view());
    const auto q = uniform_tensor({1, 1, heads, kFarDim}, random);
    Tensor<float> out(q.view().shape), expected(out);
    coca::decode(expected.view(), q.view(), near, ids, scheme, coca::SlidingWindow(200, 0),
                 {.first_key = kFar});
    coca::decode(out.view(), q.view(), far, ids, scheme, coca::SlidingWindow(200, 0));
    CHECK(out.storage() == expected.storage());
  }
}

TEST_CASE("strides beyond 2^31, of either sign, in every axis and tensor", "[attention]") {
  const auto check = [](const FarTensors& far, const auto& q, const auto& k, const auto& v,
                        Random& random) {
    auto sinks = uniform_tensor(far.kShape, random);
    Tensor<float> expected(far.kShape), lse(far.kShape);
    lse.fill([] { return 0.0; });
    coca::attention(far(3), far.copied(0, q), far.copied(1, k), far.copied(2, v), coca::Dot{},
                    coca::Causal{},
                    {.sinks = as_sinks(far.copied(5, sinks)), .lse = as_lse(far(4))});
    coca::attention(expected.view(), q.view(), k.view(), v.view(), coca::Dot{}, coca::Causal{},
                    {.sinks = as_sinks(sinks.view()), .lse = as_lse(lse.view())});
    CHECK(far.apart(3, expected) == 0);
    CHECK(far.apart(4, lse) == 0);
  };
  for_each_long_axis("strides", 6, 33, check);
}

TEST_CASE("strides beyond 2^31 of position ids", "[attention]") {
  for (std::size_t axis = 0; axis < 2; ++axis) {
    INFO("axis " << axis);
    const FarTensorsOf<Position> far(2, axis);
    if (!far.there()) return warn_without("position ids");
    Random random(42 + axis);
    Tensor<Position> query_ids(far.kShape), key_ids(far.kShape);
    for (auto* ids : {&query_ids, &key_ids}) ids->fill([&] { return random.integer(-100, 5000); });
    const auto q = uniform_tensor(far.kShape, random), k = uniform_tensor(far.kShape, random),
               v = uniform_tensor(far.kShape, random);
    const auto attended = [&](const TensorView<Position>& of_queries,
                              const TensorView<Position>& of_keys) {
      Tensor<float> out(far.kShape);
      coca::attention(out.view(), q.view(), k.view(), v.view(),
                      coca::Rotary{coca::Rope({.dim = kFarDim})}, coca::Causal{},
                      {.query_ids = as_ids(of_queries), .key_ids = as_ids(of_keys)});
      return out.storage();
    };
    CHECK(attended(far.copied(0, query_ids), far.copied(1, key_ids)) ==
          attended(query_ids.view(), key_ids.view()));
  }
}

TEST_CASE("strides beyond 2^31 of queries, results and tokens of a cache", "[decode]") {
  const auto check = [](const FarTensors& far, const auto& q, const auto& k, const auto& v,
                        Random& random) {
    auto sinks = uniform_tensor(far.kShape, random);
    Tensor<float> expected(far.kShape), lse(far.kShape), k_back(far.kShape), v_back(far.kShape);
    lse.fill([] { return 0.0; });
    const auto decode = [&](const auto& to, const auto& to_lse, const auto& queries,
                            const auto& keys, const auto& values, const auto& sink_logits,
                            const auto& keys_back, const auto& values_back) {
      coca::PagedCache cache({.key_heads = 2, .key_dim = kFarDim, .value_dim = kFarDim});
      const std::array ids{cache.add(), cache.add()};
      cache.append(ids, keys, values);
      coca::decode(to, queries, cache, ids, coca::Dot{}, coca::Causal{},
                   {.sinks = as_sinks(sink_logits), .lse = as_lse(to_lse)});
      for (std::size_t i = 0; i < 2; ++i) {
        cache.read(ids[i], packed(keys_back, i), packed(values_back, i));
      }
    };
    decode(far(3), far(6), far.copied(0, q), far.copied(1, k), far.copied(2, v),
           far.copied(7, sinks), far(4), far(5));
    decode(expected.view(), lse.view(), q.view(), k.view(), v.view(), sinks.view(), k_back.view(),
           v_back.view());
    CHECK(far.apart(3, expected) == 0);
    CHECK(far.apart(4, k) == 0);
    CHECK(far.apart(5, v) == 0);
    CHECK(far.apart(6, lse) == 0);
  };
  for_each_long_axis("strides of decode", 8, 36, check);
}

TEST_CASE("strides beyond 2^31 of gradients and what they are of", "[backward]") {
  const auto check = [](const FarTensors& far, const auto& q, const auto& k, const auto& v,
                        Random& random) {
    const auto out = uniform_tensor(far.kShape, random), dout = uniform_tensor(far.kShape, random),
               lse = uniform_tensor(far.kShape, random);
    Tensor<float> dq(far.kShape), dk(far.kShape), dv(far.kShape);
    coca::attention_backward(far(0), far(1), far(2), far.copied(3, dout), far.copied(4, q),
                             far.copied(5, k), far.copied(6, v), far.copied(7, out),
                             coca::View<const float, 3>(as_lse(far.copied(8, lse))), coca::Dot{},
                             coca::Causal{});
    coca::attention_backward(dq.view(), dk.view(), dv.view(), dout.view(), q.view(), k.view(),
                             v.view(), out.view(), as_lse(lse.view()), coca::Dot{}, coca::Causal{});
    CHECK(far.apart(0, dq) == 0);
    CHECK(far.apart(1, dk) == 0);
    CHECK(far.apart(2, dv) == 0);
  };
  for_each_long_axis("strides of gradients", 9, 39, check);
}

TEST_CASE("work memory of a call of 2^62 rows is that of a small one", "[attention]") {
  const auto bytes = [](Index batch, Index length, Index heads) {
    const TensorView<const float> x(nullptr, {batch, length, heads, 128}, {0, 0, 0, 1});
    return coca::workspace_bytes(x, x, x, coca::Dot{});
  };
  const Index many = Index{1} << 20;
  CHECK(bytes(many, 4 * many, many) == bytes(64, 1 << 16, 64));
  CHECK_THROWS_WITH(bytes(many, 8 * many, many), contains("at most 2^62 rows"));
}

TEST_CASE("a head_dim whose work memory cannot be counted", "[attention]") {
  const auto bytes = [](Index dim, Index value_dim) {
    const TensorView<const float> q(nullptr, {1, 9, 1, dim}, {0, 0, 0, 0}),
        v(nullptr, {1, 9, 1, value_dim}, {0, 0, 0, 0});
    return coca::workspace_bytes(q, q, v, coca::Dot{});
  };
  const Index most = Index{1} << 40;
  CHECK(bytes(most, most) > static_cast<std::size_t>(most) * 128 * sizeof(float));
  CHECK_THROWS_WITH(bytes(most + 1, 1), contains("q.shape[3] (head_dim)"));
  CHECK_THROWS_WITH(bytes(1, Index{1} << 62), contains("v.shape[3] (head_dim)"));
}

TEST_CASE("work memory of decoding 2^60 rows is that of decoding some", "[decode]") {
  coca::PagedCache cache({.key_heads = 1, .key_dim = 128, .value_dim = 128});
  const std::array ids{cache.add()};
  const auto bytes = [&](Index queries, Index heads) {
    const TensorView<const float> q(nullptr, {1, queries, heads, 128}, {0, 0, 0, 1});
    return coca::decode_workspace_bytes(q, cache, ids, coca::Dot{});
  };
  CHECK(bytes(Index{1} << 40, Index{1} << 20) == bytes(1 << 16, 64));
}

TEST_CASE("work memory of gradients beyond 2^32 bytes, and beyond what can be counted",
          "[backward]") {
  const auto bytes = [](Index batch, Index queries, Index keys, Index heads) {
    const TensorView<const float> q(nullptr, {batch, queries, heads, 128}, {0, 0, 0, 1}),
        k(nullptr, {batch, keys, 1, 128}, {0, 0, 0, 1});
    return coca::backward_workspace_bytes(q, k, k, coca::Dot{});
  };
  // At least phi, its gradient and dout of each row; psi, its gradient, values and theirs.
  CHECK(bytes(1, kFar, 1, 1) > static_cast<std::size_t>(kFar) * 3 * 128 * sizeof(float));
  CHECK(bytes(1, 1, kFar, 1) > static_cast<std::size_t>(kFar) * 4 * 128 * sizeof(float));
  const Index most = Index{1} << 60;
  for (const auto& [batch, queries, keys, heads] :
       {std::array<Index, 4>{most, 1, 1, 1}, {1, most, 1, 1}, {1, 1, most, 1}, {1, 1, 1, most}}) {
    CHECK_THROWS_WITH(bytes(batch, queries, keys, heads), contains("the work memory of gradients"));
  }
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

TEST_CASE("rounding hardly grows with the keys", "[attention]") {
  // Equal terms round the same way each time, so that a plain sum of so many is off by 1e-3.
  constexpr Index keys = 1 << 17, width = 20;
  const float number = 0.1F, zero = 0.0F;
  const TensorView<const float> k(&zero, {1, keys, 1, kFarDim}, {0, 0, 0, 0});
  const TensorView<const float> v(&number, {1, keys, 1, width}, {0, 0, 0, 0});
  // Higham 2002, section 4.2: n terms are off by at most n - 1 roundings, whatever they are.
  constexpr Index block = coca::detail::kTileKeys, blocks = coca::detail::kBlocksOfASum;
  constexpr double bound = static_cast<double>(block + blocks + keys / block / blocks) * 0x1p-24;
  for (const Index queries : {1, 9}) {  // few rows, and packed ones
    Tensor<float> q({1, queries, 1, kFarDim}), out({1, queries, 1, width});
    q.fill([] { return 0.0; });
    coca::attention(out.view(), q.view(), k, v, coca::Dot{});
    for (const float x : out.storage()) {
      CHECK(std::fabs(static_cast<double>(x) / static_cast<double>(number) - 1.0) <= bound);
    }
  }
}
