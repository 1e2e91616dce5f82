#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "coca/coca.hpp"
#include "support/catch.hpp"

/// Every documented error: its text names argument, value and expectation, and nothing is written.
namespace {

using OwnTensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;
using coca::AttentionOptions;

/// A good call of [2, 6, 4, 8] queries and [2, 10, 2, ...] keys, to be spoilt.
struct Call {
  OwnTensor out{2, 6, 4, 12};
  OwnTensor q{2, 6, 4, 8};
  OwnTensor k{2, 10, 2, 8};
  OwnTensor v{2, 10, 2, 12};
  AttentionOptions options;

  Call() {
    out.setConstant(5.0F);
    q.setRandom();
    k.setRandom();
    v.setRandom();
  }
  template <class S = coca::Dot, class M = coca::Full>
  std::string error(const S& scheme = {}, const M& mask = {}) {
    try {
      coca::attention(out, q, k, v, scheme, mask, options);
    } catch (const std::invalid_argument& error) {
      const Eigen::Tensor<bool, 0, Eigen::RowMajor> untouched = (out == 5.0F).all();
      return untouched() ? error.what() : "the output was touched";
    }
    return "no error";
  }
};

/// Where no element may be.
template <class View>
View misplaced(View view, std::uintptr_t bytes) {
  using Pointer = decltype(view.data);
  view.data = reinterpret_cast<Pointer>(reinterpret_cast<std::uintptr_t>(view.data) + bytes);
  return view;
}
/// What a text says before it says what was expected.
std::string before_past(const std::string& text) { return text.substr(0, text.find(" past")); }

}  // namespace

TEST_CASE("a good call is no error", "[errors]") { CHECK(Call().error() == "no error"); }

TEST_CASE("shapes that do not fit together", "[errors]") {
  Call call;
  SECTION("batch of k") {
    call.k = OwnTensor(3, 10, 2, 8);
    CHECK(call.error() == "coca: k.shape[0] (batch) is 3, expected 2 (that of q)");
  }
  SECTION("batch of v") {
    call.v = OwnTensor(1, 10, 2, 12);
    CHECK(call.error() == "coca: v.shape[0] (batch) is 1, expected 2 (that of q)");
  }
  SECTION("length of v") {
    call.v = OwnTensor(2, 9, 2, 12);
    CHECK(call.error() == "coca: v.shape[1] (sequence) is 9, expected 10 (that of k)");
  }
  SECTION("heads of v") {
    call.v = OwnTensor(2, 10, 4, 12);
    CHECK(call.error() == "coca: v.shape[2] (heads) is 4, expected 2 (that of k)");
  }
  SECTION("heads of k that do not divide those of q") {
    call.k = OwnTensor(2, 10, 3, 8);
    call.v = OwnTensor(2, 10, 3, 12);
    CHECK(call.error() == "coca: k.shape[2] (heads) is 3, expected a divisor of the 4 heads of q");
  }
  SECTION("no key heads") {
    call.k = OwnTensor(2, 10, 0, 8);
    call.v = OwnTensor(2, 10, 0, 12);
    CHECK(call.error() == "coca: k.shape[2] (heads) is 0, expected a divisor of the 4 heads of q");
  }
  SECTION("width of k") {
    call.k = OwnTensor(2, 10, 2, 6);
    CHECK(call.error() ==
          "coca: k.shape[3] (width of the key operand) is 6, expected 8 (what the scheme takes)");
  }
  SECTION("no width") {
    call.q = OwnTensor(2, 6, 4, 0);
    CHECK(call.error() == "coca: q.shape[3] (head_dim) is 0, expected 1 or more");
  }
  SECTION("no width of values") {
    call.v = OwnTensor(2, 10, 2, 0);
    CHECK(call.error() == "coca: v.shape[3] (head_dim) is 0, expected 1 or more");
  }
  SECTION("shape of out") {
    call.out = OwnTensor(2, 6, 4, 8);
    call.out.setConstant(5.0F);
    CHECK(call.error() ==
          "coca: out is of shape [2, 6, 4, 8], expected [2, 6, 4, 12] = [batch, sequence, heads of "
          "q, "
          "head_dim of v]");
  }
}

TEST_CASE("shapes that do not fit the scheme", "[errors]") {
  Call call;
  const coca::Rope rope({.dim = 16});
  CHECK(call.error(coca::Rotary{rope}) == "coca: head_dim of q is 8, expected 16 (rope.dim)");
  CHECK(call.error(coca::CocaStrict{rope}) == "coca: head_dim of q is 8, expected 16 (rope.dim)");
  CHECK(call.error(coca::CocaSlack{coca::Rope({.dim = 8})}) ==
        "coca: k.shape[3] (width of the key operand) is 8, expected 4 (what the scheme takes)");
}

TEST_CASE("options out of range", "[errors]") {
  Call call;
  std::vector<coca::Position> ids(6);
  Eigen::VectorXf sinks = Eigen::VectorXf::Zero(3);
  Eigen::Tensor<float, 3, Eigen::RowMajor> lse(2, 6, 4);
  SECTION("scale") {
    call.options.scale = std::numeric_limits<double>::infinity();
    CHECK(call.error() == "coca: options.scale is inf, expected finite");
  }
  SECTION("negative soft-cap") {
    call.options.soft_cap = -2.0;
    CHECK(call.error() ==
          "coca: options.soft_cap is -2.000000, expected 0 (none) or positive, and finite");
  }
  SECTION("soft-cap that is no number") {
    call.options.soft_cap = NAN;
    CHECK(call.error() ==
          "coca: options.soft_cap is nan, expected 0 (none) or positive, and finite");
  }
  SECTION("sinks") {
    call.options.sinks = coca::View<const float, 1>(sinks.data(), {3});
    CHECK(call.error() == "coca: options.sinks.shape[0] is 3, expected 4 (heads of q)");
  }
  SECTION("lse") {
    call.options.lse = coca::view(lse);
    CHECK(call.error() ==
          "coca: options.lse is of shape [2, 6, 4], expected [2, 4, 6] = [batch, heads of q, "
          "sequence]");
  }
  SECTION("results and work memory in the memory of what options bring") {
    call.options.sinks = coca::View<const float, 1>(call.out.data() + 5, {4});
    CHECK(call.error() ==
          "coca: out is in the same memory as options.sinks, expected memory of its own");
    lse = Eigen::Tensor<float, 3, Eigen::RowMajor>(2, 4, 6);
    call.options.lse = coca::view(lse);
    call.options.sinks = coca::View<const float, 1>(lse.data() + 44, {4});
    CHECK(call.error() ==
          "coca: options.lse is in the same memory as options.sinks, expected memory of its own");
    call.options.sinks = {};
    call.options.workspace = std::as_writable_bytes(std::span(lse.data(), 48));
    CHECK(call.error() ==
          "coca: options.workspace is in the same memory as options.lse, expected memory of its "
          "own");
    call.options.lse = {};
    call.options.query_ids = {ids.data(), {1, 6}};
    call.options.workspace = std::as_writable_bytes(std::span(ids));
    CHECK(call.error() ==
          "coca: options.workspace is in the same memory as options.query_ids, expected memory of "
          "its own");
  }
  SECTION("query ids") {
    call.options.query_ids = {ids.data(), {1, 5}};
    CHECK(call.error() == "coca: options.query_ids is of shape [1, 5], expected [2 or 1, 6]");
  }
  SECTION("key ids") {
    call.options.key_ids = {ids.data(), {3, 2}};
    CHECK(call.error() == "coca: options.key_ids is of shape [3, 2], expected [2 or 1, 10]");
  }
}

TEST_CASE("memory that cannot be", "[errors]") {
  Call call;
  std::vector<double> lse(49);
  std::vector<coca::Position> ids(11);
  const auto message = [&](auto out, auto q) -> std::string {
    try {
      coca::attention(out, q, call.k, call.v, coca::Dot{});
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "no error";
  };
  const auto out = coca::view(call.out);
  const coca::TensorView<const float> q = coca::view(call.q);
  SECTION("no memory") {
    CHECK(message(out, coca::TensorView<const float>(nullptr, q.shape)) ==
          "coca: q is a null pointer of shape [2, 6, 4, 8], expected memory behind it");
  }
  SECTION("an address that no element may have") {
    CHECK(message(out, misplaced(q, 1)) ==
          "coca: q is at an address 1 past a multiple of 4, expected a multiple of 4, as its "
          "elements are aligned");
    CHECK(message(misplaced(out, 2), q) ==
          "coca: out is at an address 2 past a multiple of 4, expected a multiple of 4, as its "
          "elements are aligned");
    const Eigen::Tensor<bool, 0, Eigen::RowMajor> untouched = (call.out == 5.0F).all();
    CHECK(untouched());

    call.options.sinks = misplaced(coca::View<const float, 1>(call.k.data(), {4}), 3);
    CHECK(before_past(call.error()) == "coca: options.sinks is at an address 3");
    call.options.sinks = {};
    call.options.lse = misplaced(coca::View<double, 3>(lse.data(), {2, 4, 6}), 4);
    CHECK(before_past(call.error()) == "coca: options.lse is at an address 4");
    call.options.lse = {};
    call.options.query_ids = misplaced(coca::View<const coca::Position, 2>(ids.data(), {1, 6}), 1);
    CHECK(before_past(call.error()) == "coca: options.query_ids is at an address 1");
    call.options.query_ids = {};
    const auto bias = misplaced(coca::View<const float, 2>(call.v.data(), {6, 10}), 2);
    CHECK(before_past(call.error(coca::Dot{}, coca::AdditiveBias(bias))) ==
          "coca: bias is at an address 2");
    const auto documents = misplaced(coca::View<const coca::Position, 2>(ids.data(), {1, 10}), 1);
    CHECK(before_past(call.error(coca::Dot{}, coca::Documents(documents))) ==
          "coca: documents.ids is at an address 1");
  }
  SECTION("no elements, at any address") {
    call.k = OwnTensor(2, 0, 2, 8);
    call.v = OwnTensor(2, 0, 2, 12);
    const coca::TensorView<const float> none(reinterpret_cast<const float*>(std::uintptr_t{1}),
                                             {2, 0, 2, 8});
    coca::attention(call.out, call.q, none, call.v, coca::Dot{});
    CHECK(call.out(1, 5, 3, 11) == 0.0F);
  }
  SECTION("a negative extent") {
    CHECK(message(out, coca::TensorView<const float>(q.data, {2, -6, 4, 8})) ==
          "coca: q is of shape [2, -6, 4, 8], expected extents of 0 or more");
  }
  SECTION("an output that overlaps itself") {
    CHECK(message(coca::TensorView<float>(out.data, out.shape, {0, 48, 12, 1}), q) ==
          "coca: out.strides is [0, 48, 12, 1], expected none of 0 in a tensor that is written");
  }
  SECTION("an output that overlaps an input") {
    CHECK(message(coca::TensorView<float>(call.v.data(), out.shape), q) ==
          "coca: out is in the same memory as v, expected memory of its own");
  }
}

TEST_CASE("other calls: an address that no element may have", "[errors]") {
  OwnTensor x(1, 6, 2, 8);
  OwnTensor y(1, 6, 2, 8);
  Eigen::Tensor<float, 3, Eigen::RowMajor> lse(1, 2, 6);
  x.setConstant(5.0F);
  y.setConstant(1.0F);
  lse.setZero();
  const auto error = [](const auto& call) -> std::string {
    try {
      call();
    } catch (const std::invalid_argument& what) {
      return before_past(what.what());
    }
    return "no error";
  };
  const auto bad = misplaced(coca::view(y), 1);
  const auto bad_lse = misplaced(coca::view(lse), 2);
  CHECK(error([&] { coca::merge(x, lse, bad, lse); }) == "coca: out_b is at an address 1");
  CHECK(error([&] { coca::merge(x, bad_lse, y, lse); }) == "coca: lse_a is at an address 2");
  CHECK(error([&] { coca::rotate(x, bad, coca::Rope({.dim = 8})); }) ==
        "coca: x is at an address 1");
  coca::GrowingCache cache({.key_heads = 2, .key_dim = 8, .value_dim = 8});
  const auto id = cache.add();
  const auto tokens = [](auto view) { return coca::View<float, 3>(view.data, {6, 2, 8}); };
  CHECK(error([&] { cache.append(id, tokens(bad), tokens(coca::view(y))); }) ==
        "coca: k is at an address 1");
  CHECK(cache.length(id) == 0);
  const std::array<std::int32_t, 3> starts{0, 6, 6};
  const auto bad_starts = misplaced(coca::View<const std::int32_t, 1>(starts.data(), {2}), 2);
  CHECK(error([&] {
          coca::packed_attention(tokens(coca::view(x)), tokens(coca::view(y)),
                                 tokens(coca::view(y)), tokens(coca::view(y)), bad_starts,
                                 bad_starts, coca::Dot{});
        }) == "coca: query_starts is at an address 2");
  const Eigen::Tensor<bool, 0, Eigen::RowMajor> untouched = (x == 5.0F).all();
  CHECK(untouched());
}

TEST_CASE("in checked mode, a negative t", "[errors]") {
  Call call;
  call.k = OwnTensor(2, 10, 2, 4);
  call.k.setConstant(0.5F);
  call.k(1, 7, 0, 2) = -0.25F;
  call.options.checked = true;
  const coca::Rope rope({.dim = 8});
  CHECK(call.error(coca::CocaSlack{rope}) ==
        "coca: k[1, 7, 0] is negative, expected what its scheme allows: 0 or more");
  call.options.checked = false;
  CHECK(call.error(coca::CocaSlack{rope}) == "no error");
}
