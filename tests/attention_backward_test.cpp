#include <algorithm>
#include <cmath>
#include <functional>

#include "coca/coca.hpp"
#include "support/catch.hpp"
#include "support/effort.hpp"
#include "support/forms.hpp"
#include "support/isolation.hpp"
#include "support/random.hpp"

/// The gradients' front door: threads, layouts, what stays with whom, errors.
namespace {

using namespace test;
using coca::AttentionOptions;

struct GradientSizes {
  Index batch = 2, queries = 70, keys = 130, heads = 4, key_heads = 2, dim = 16, key_dim = 8,
        value_dim = 10;
};

/// A call, its result, and its gradients.
struct GradientCall {
  Tensor<float> q, k, v, dout, out, dq, dk, dv;
  Eigen::Tensor<float, 3, Eigen::RowMajor> lse;

  explicit GradientCall(const GradientSizes& s = {}, std::uint64_t seed = 1)
      : q({s.batch, s.queries, s.heads, s.dim}),
        k({s.batch, s.keys, s.key_heads, s.key_dim}),
        v({s.batch, s.keys, s.key_heads, s.value_dim}),
        dout({s.batch, s.queries, s.heads, s.value_dim}),
        out(dout.view().shape),
        dq(q.view().shape),
        dk(k.view().shape),
        dv(v.view().shape),
        lse(s.batch, s.heads, s.queries) {
    Random random(seed);
    for (auto* x : {&q, &v, &dout}) x->fill([&] { return random.uniform(); });
    k.fill([&] { return std::fabs(random.uniform()); });
  }
  template <class S, class M, class D = Eigen::DefaultDevice>
  void run(const S& scheme, const M& mask, AttentionOptions options = {},
           const coca::MoreGradients& more = {}, const D& device = {}) {
    options.lse = coca::view(lse);
    coca::attention(out.view(), q.view(), k.view(), v.view(), scheme, mask, options);
    backward(scheme, mask, options, more, device);
  }
  template <class S, class M, class D = Eigen::DefaultDevice>
  void backward(const S& scheme, const M& mask, const AttentionOptions& options = {},
                const coca::MoreGradients& more = {}, const D& device = {}) {
    coca::attention_backward(dq.view(), dk.view(), dv.view(), dout.view(), q.view(), k.view(),
                             v.view(), out.view(), lse, scheme, mask, options, more, device);
  }
};

}  // namespace

TEST_CASE("gradients are the same bits on any number of threads", "[backward]") {
  const coca::CocaSlack scheme{coca::Rope({.dim = 16})};
  Eigen::ThreadPool pool(4);
  // Five items, which do not divide among threads, over sequences of one block and of several; and one,
  // which is cut for any number of them.
  for (const GradientSizes& sizes :
       {GradientSizes{5, 70, 130, 2, 1, 16, 8, 10}, GradientSizes{1, 1400, 1700, 2, 1, 16, 8, 24},
        GradientSizes{3, 1100, 1100, 1, 1, 16, 8, 8}}) {
    INFO("batch " << sizes.batch << ", queries " << sizes.queries);
    GradientCall one(sizes);
    std::vector<float> sinks(static_cast<std::size_t>(sizes.heads), 0.5F), dsinks(sinks.size());
    const AttentionOptions options{.sinks =
                                       coca::View<const float, 1>(sinks.data(), {sizes.heads})};
    const coca::MoreGradients more{.sinks = coca::View<float, 1>(dsinks.data(), {sizes.heads})};
    one.run(scheme, coca::Causal{}, options, more);
    const std::vector<float> one_dsinks = dsinks;
    for (int threads = kEmulated ? 3 : 1; threads <= (kEmulated ? 3 : 4); ++threads) {
      GradientCall many(sizes);
      many.run(scheme, coca::Causal{}, options, more, Eigen::ThreadPoolDevice(&pool, threads));
      CHECK(many.dq.storage() == one.dq.storage());
      CHECK(many.dk.storage() == one.dk.storage());
      CHECK(many.dv.storage() == one.dv.storage());
      CHECK(dsinks == one_dsinks);
    }
  }
}

TEST_CASE("the gradient of a bias that is shared is the same bits on any number of threads",
          "[backward]") {
  Eigen::ThreadPool pool(3);
  const GradientSizes sizes{2, 1050, 1100, 2, 1, 8, 8, 8};
  for (const std::array<Index, 4>& shape : {std::array<Index, 4>{2, 2, 1050, 1100},
                                            {1, 2, 1050, 1100},
                                            {2, 1, 1, 1100},
                                            {1, 1, 1, 1}}) {
    std::vector<std::vector<float>> results;
    for (const int threads : {1, 2, 3}) {
      GradientCall operands(sizes);
      std::vector<float> dbias(static_cast<std::size_t>(shape[0] * shape[1] * shape[2] * shape[3]));
      operands.run(coca::Dot{}, coca::Causal{}, {},
                   {.bias = coca::View<float, 4>(dbias.data(), shape)},
                   Eigen::ThreadPoolDevice(&pool, threads));
      results.push_back(dbias);
    }
    CHECK(results[0] == results[1]);
    CHECK(results[0] == results[2]);
  }
}

TEST_CASE("what one row holds stays in the gradients of those it meets", "[backward]") {
  const coca::CocaSlack scheme{coca::Rope({.dim = 16})};
  const coca::Causal mask;
  const double soft_cap = GENERATE(0.0, 5.0);
  CAPTURE(soft_cap);
  const AttentionOptions options{.soft_cap = soft_cap, .first_query = 60};
  GradientCall clean;
  clean.run(scheme, mask, options);
  for (const float bad : {kNan, kInf, 0.75F}) {
    INFO("value " << bad);
    GradientCall spoilt;
    // Query n stands at 60 + n and sees keys up to there; heads 2 and 3 share key head 1.
    SECTION("a query, and its gradient") {
      for (auto* x : {&spoilt.q, &spoilt.dout}) {
        for (Index i = 0; i < 10; ++i) x->view()(1, 33, 2, i) = bad;
        spoilt.run(scheme, mask, options);
        CHECK(differ_exactly(clean.dq, spoilt.dq, [](Index b, Index n, Index h) {
          return b == 1 && n == 33 && h == 2;
        }));
        const auto seen = [](Index b, Index n, Index h) { return b == 1 && n <= 93 && h == 1; };
        CHECK(differ_exactly(clean.dk, spoilt.dk, seen));
        CHECK(differ_exactly(clean.dv, spoilt.dv, seen));
        spoilt = GradientCall();
      }
    }
    const auto sees_key = [](Index b, Index n, Index h) { return b == 0 && n >= 40 && h >= 2; };
    // All keys that those queries see.
    const auto all = [](Index b, Index, Index h) { return b == 0 && h == 1; };
    SECTION("a key") {
      for (Index i = 0; i < 8; ++i) spoilt.k.view()(0, 100, 1, i) = bad;
      spoilt.run(scheme, mask, options);
      CHECK(differ_exactly(clean.dq, spoilt.dq, sees_key));
      CHECK(differ_exactly(clean.dk, spoilt.dk, all));
      CHECK(differ_exactly(clean.dv, spoilt.dv, all));
    }
    SECTION("a value") {
      for (Index i = 0; i < 10; ++i) spoilt.v.view()(0, 100, 1, i) = bad;
      spoilt.run(scheme, mask, options);
      CHECK(differ_exactly(clean.dq, spoilt.dq, sees_key));
      CHECK(differ_exactly(clean.dk, spoilt.dk, all));
      CHECK(differ_exactly(clean.dv, spoilt.dv, [](Index, Index, Index) { return false; }));
    }
  }
}

TEST_CASE("an infinite gradient of one column stays in it", "[backward]") {
  GradientCall operands({1, 70, 70, 1, 1, 8, 8, 10});
  operands.dout.view()(0, 20, 0, 3) = kInf;
  operands.run(coca::Dot{}, coca::Causal{});
  for (Index n = 0; n < 70; ++n) {
    for (Index i = 0; i < 10; ++i) {
      CHECK(std::isfinite(operands.dv.view()(0, n, 0, i)) == (n > 20 || i != 3));
    }
  }
}

TEST_CASE("queries that see nothing, and keys that are not seen, have gradients of 0",
          "[backward]") {
  GradientCall operands({1, 5, 3, 1, 1, 4, 4, 4});
  operands.run(coca::Dot{}, coca::Causal{});  // queries 0 and 1 see nothing
  for (Index i = 0; i < 4; ++i) {
    CHECK(operands.dq.view()(0, 0, 0, i) == 0.0F);
    CHECK(operands.dq.view()(0, 1, 0, i) == 0.0F);
    CHECK(operands.dq.view()(0, 4, 0, i) != 0.0F);
  }
  GradientCall hidden({1, 3, 5, 1, 1, 4, 4, 4});
  hidden.run(coca::Dot{}, coca::Causal{}, {.first_query = 0});  // keys 3 and 4 are not seen
  for (Index i = 0; i < 4; ++i) {
    CHECK(hidden.dk.view()(0, 4, 0, i) == 0.0F);
    CHECK(hidden.dv.view()(0, 3, 0, i) == 0.0F);
    CHECK(hidden.dv.view()(0, 2, 0, i) != 0.0F);
  }
}

TEST_CASE("what sees nothing, and is not seen, has gradients of 0 if it is NaN", "[backward]") {
  const coca::CocaStrict scheme{coca::Rope({.dim = 4}), coca::RawProjection{}};
  for (const double soft_cap : {0.0, 5.0}) {
    GradientCall operands({1, 5, 5, 1, 1, 4, 4, 4});
    for (Index i = 0; i < 4; ++i) {
      operands.q.view()(0, 0, 0, i) = kNan;
      operands.k.view()(0, 4, 0, i) = kNan;
      operands.v.view()(0, 4, 0, i) = kNan;
    }
    // Query 0 sees nothing, and nothing key 4.
    operands.run(scheme, coca::Causal{-1}, {.soft_cap = soft_cap});
    for (Index i = 0; i < 4; ++i) {
      CHECK(operands.dq.view()(0, 0, 0, i) == 0.0F);
      CHECK(operands.dk.view()(0, 4, 0, i) == 0.0F);
      CHECK(operands.dv.view()(0, 4, 0, i) == 0.0F);
      CHECK(std::isfinite(operands.dq.view()(0, 4, 0, i)));
      CHECK(std::isfinite(operands.dk.view()(0, 0, 0, i)));
    }
  }
}

TEST_CASE("a scale of 0: only values have gradients", "[backward]") {
  const coca::CocaSlack scheme{coca::Rope({.dim = 16})};
  for (const double soft_cap : {0.0, 5.0}) {
    GradientCall operands;
    operands.run(scheme, coca::Causal{}, {.scale = 0.0, .soft_cap = soft_cap});
    const auto zero = [](float x) { return x == 0.0F; };
    CHECK(std::ranges::all_of(operands.dq.storage(), zero));
    CHECK(std::ranges::all_of(operands.dk.storage(), zero));
    // Each query has equal weights for what it sees.
    CHECK(std::ranges::none_of(operands.dv.storage(), zero));
  }
}

TEST_CASE("gradients of no queries, no keys, no batch", "[backward]") {
  GradientCall no_queries({2, 0, 3, 2, 2, 4, 4, 4});
  no_queries.run(coca::Dot{}, coca::Full{});
  for (const float value : no_queries.dk.storage()) CHECK(value == 0.0F);
  for (const float value : no_queries.dv.storage()) CHECK(value == 0.0F);
  GradientCall no_keys({2, 3, 0, 2, 2, 4, 4, 4});
  no_keys.run(coca::Dot{}, coca::Full{});
  for (const float value : no_keys.dq.storage()) CHECK(value == 0.0F);
  GradientCall no_batch({0, 3, 3, 2, 2, 4, 4, 4});
  no_batch.run(coca::Dot{}, coca::Full{});
  GradientCall no_heads({2, 3, 3, 0, 0, 4, 4, 4});
  no_heads.run(coca::Dot{}, coca::Full{});
}

TEST_CASE("gradients of narrow operands in float, over any strides", "[backward]") {
  Random random(5);
  const std::array<Index, 4> shape{2, 40, 2, 16};
  Tensor<float> wide(shape), dq(shape), dk(shape), dv(shape), out(shape), dout(shape);
  wide.fill([&] { return static_cast<float>(Eigen::bfloat16(random.uniform())); });
  dout.fill([&] { return static_cast<float>(Eigen::bfloat16(random.uniform())); });
  Eigen::Tensor<float, 3, Eigen::RowMajor> lse(2, 2, 40);
  coca::attention(out.view(), wide.view(), wide.view(), wide.view(), coca::Dot{}, coca::Causal{},
                  {.lse = coca::view(lse)});
  coca::attention_backward(dq.view(), dk.view(), dv.view(), dout.view(), wide.view(), wide.view(),
                           wide.view(), out.view(), lse, coca::Dot{}, coca::Causal{});
  // Exactly the same numbers, as bfloat16 and in another order.
  Tensor<Eigen::bfloat16> narrow(shape, {2, 3, 0, 1}, 2), narrow_dout(shape, {3, 1, 0, 2}, 1);
  std::size_t i = 0, j = 0;
  narrow.fill([&] { return wide.storage()[i++]; });
  narrow_dout.fill([&] { return dout.storage()[j++]; });
  Tensor<float> dq2(shape, {1, 0, 2, 3}, 1), dk2(shape), dv2(shape, {3, 2, 1, 0}, 1);
  coca::attention_backward(dq2.view(), dk2.view(), dv2.view(), narrow_dout.view(), narrow.view(),
                           narrow.view(), narrow.view(), out.view(), lse, coca::Dot{},
                           coca::Causal{});
  const auto never = [](Index, Index, Index) { return false; };
  CHECK(differ_exactly(dq, dq2, never));
  CHECK(differ_exactly(dk, dk2, never));
  CHECK(differ_exactly(dv, dv2, never));
}

TEST_CASE("matrices, one head", "[backward]") {
  const Eigen::MatrixXd q = Eigen::MatrixXd::Random(9, 4), k = Eigen::MatrixXd::Random(9, 4);
  Eigen::MatrixXd out(9, 4), dq(9, 4), dk(9, 4), dv(9, 4);
  Eigen::Tensor<double, 3> lse(1, 1, 9);
  coca::attention(out, q, k, k, coca::Dot{}, coca::Full{}, {.lse = coca::view(lse)});
  coca::attention_backward(dq, dk, dv, out, q, k, k, out, lse, coca::Dot{});
  // A constant added to all values adds itself to the result: values' gradients sum up to dout's.
  CHECK(dv.colwise().sum().isApprox(out.colwise().sum()));
  // As does one added to a score's row nothing.
  CHECK((q.transpose() * dq).trace() == Approx((k.transpose() * dk).trace()));
}

namespace {

/// A good call, to be spoilt.
struct Spoilt : GradientCall {
  AttentionOptions options;
  coca::MoreGradients more;

  Spoilt() : GradientCall({2, 6, 10, 4, 2, 8, 8, 12}) {
    for (auto* x : {&out, &dq, &dk, &dv}) x->fill([] { return 5.0F; });
    lse.setConstant(0.0F);
  }
  template <class S = coca::Dot, class M = coca::Full>
  std::string error(const S& scheme = {}, const M& mask = {}) {
    const auto before = std::array{dq.storage(), dk.storage(), dv.storage()};
    try {
      backward(scheme, mask, options, more);
    } catch (const std::invalid_argument& error) {
      const auto after = std::array{dq.storage(), dk.storage(), dv.storage()};
      return before == after ? error.what() : "an output was touched";
    }
    return "no error";
  }
};

}  // namespace

TEST_CASE("errors of the gradients' front door", "[backward]") {
  Spoilt call;
  SECTION("none") { CHECK(call.error() == "no error"); }
  SECTION("dq") {
    call.dq = Tensor<float>({2, 6, 4, 6});
    CHECK(call.error() == "coca: dq is of shape [2, 6, 4, 6], expected [2, 6, 4, 8], that of q");
  }
  SECTION("dk") {
    call.dk = Tensor<float>({2, 10, 4, 8});
    CHECK(call.error() == "coca: dk is of shape [2, 10, 4, 8], expected [2, 10, 2, 8], that of k");
  }
  SECTION("dv") {
    call.dv = Tensor<float>({2, 10, 2, 8});
    CHECK(call.error() == "coca: dv is of shape [2, 10, 2, 8], expected [2, 10, 2, 12], that of v");
  }
  SECTION("dout") {
    call.dout = Tensor<float>({2, 6, 4, 8});
    CHECK(call.error() ==
          "coca: dout is of shape [2, 6, 4, 8], expected [2, 6, 4, 12], that of out");
  }
  SECTION("out") {
    call.out = Tensor<float>({2, 7, 4, 12});
    CHECK(call.error() ==
          "coca: out is of shape [2, 7, 4, 12], expected [2, 6, 4, 12], that of "
          "coca::attention's result");
  }
  SECTION("lse") {
    call.lse = Eigen::Tensor<float, 3, Eigen::RowMajor>(2, 6, 4);
    CHECK(call.error() ==
          "coca: lse is of shape [2, 6, 4], expected [2, 4, 6] = [batch, heads of q, sequence]");
  }
  SECTION("inputs, as of attention") {
    call.k = Tensor<float>({2, 10, 3, 8});
    call.v = Tensor<float>({2, 10, 3, 12});
    CHECK(call.error() == "coca: k.shape[2] (heads) is 3, expected a divisor of the 4 heads of q");
  }
  SECTION("the scheme") {
    CHECK(call.error(coca::CocaSlack{coca::Rope({.dim = 8})}) ==
          "coca: k.shape[3] (width of the key operand) is 8, expected 4 (what the scheme takes)");
  }
  SECTION("options, as of attention") {
    call.options.soft_cap = -1.0;
    CHECK(call.error() ==
          "coca: options.soft_cap is -1.000000, expected 0 (none) or positive, and finite");
  }
  std::vector<float> numbers(2 * 4 * 6 * 10);
  SECTION("the gradient of sinks that there are not") {
    call.more.sinks = coca::View<float, 1>(numbers.data(), {4});
    CHECK(call.error() ==
          "coca: more.sinks is given, expected none, as there are no options.sinks");
  }
  SECTION("the gradient of too many sinks") {
    call.options.sinks = coca::View<const float, 1>(numbers.data(), {4});
    call.more.sinks = coca::View<float, 1>(numbers.data() + 4, {5});
    CHECK(call.error() == "coca: more.sinks.shape[0] is 5, expected 4 (heads of q)");
  }
  SECTION("the gradient of a bias") {
    call.more.bias = coca::View<float, 4>(numbers.data(), {2, 4, 5, 10});
    CHECK(call.error() ==
          "coca: more.bias is of shape [2, 4, 5, 10], expected [2, 4, 6, 10] with 1 where it is "
          "the same for all");
  }
  SECTION("outputs in the memory of others") {
    const auto message = [&](auto dq, auto dk) -> std::string {
      try {
        coca::attention_backward(dq, dk, call.dv.view(), call.dout.view(), call.q.view(),
                                 call.k.view(), call.v.view(), call.out.view(), call.lse,
                                 coca::Dot{});
      } catch (const std::invalid_argument& error) {
        return error.what();
      }
      return "no error";
    };
    CHECK(message(call.q.view(), call.dk.view()) ==
          "coca: dq is in the same memory as q, expected memory of its own");
    CHECK(message(call.dq.view(),
                  coca::TensorView<float>(call.dv.storage().data(), call.dk.view().shape)) ==
          "coca: dk is in the same memory as dv, expected memory of its own");
    CHECK(message(coca::TensorView<float>(call.dq.storage().data(), call.dq.view().shape,
                                          {0, 32, 8, 1}),
                  call.dk.view()) ==
          "coca: dq.strides is [0, 32, 8, 1], expected none of 0 in a tensor that is written");
    CHECK(message(coca::TensorView<float>(nullptr, call.dq.view().shape), call.dk.view()) ==
          "coca: dq is a null pointer of shape [2, 6, 4, 8], expected memory behind it");
  }
  SECTION("what options ask for, in the memory of others") {
    call.options.sinks = coca::View<const float, 1>(numbers.data(), {4});
    call.more.sinks = coca::View<float, 1>(numbers.data() + 3, {4});
    CHECK(call.error() ==
          "coca: more.sinks is in the same memory as options.sinks, expected memory of its own");
    call.more.sinks = coca::View<float, 1>(numbers.data() + 4, {4});
    CHECK(call.error() == "no error");
    call.more.bias = coca::View<float, 4>(numbers.data() + 7, {1, 1, 1, 10});
    CHECK(call.error() ==
          "coca: more.sinks is in the same memory as more.bias, expected memory of its own");
    call.more.bias = coca::View<float, 4>(numbers.data() + 8, {1, 1, 1, 10});
    call.options.workspace = std::as_writable_bytes(std::span(numbers)).subspan(4 * 17);
    CHECK(call.error() ==
          "coca: options.workspace is in the same memory as more.bias, expected memory of its own");
  }
  SECTION("work memory") {
    std::vector<std::byte> memory(1000);
    call.options.workspace = memory;
    CHECK(call.error().substr(0, 55) == "coca: options.workspace.size() is 1000, expected what c");
  }
}

TEST_CASE("the gradients' work memory: the caller's, and as said", "[backward]") {
  Eigen::ThreadPool pool(2);
  const Eigen::ThreadPoolDevice device(&pool, 2);
  for (const GradientSizes& sizes : {GradientSizes{1, 1100, 1100, 1, 1, 16, 8, 16},
                                     GradientSizes{4, 200, 300, 2, 1, 16, 8, 16}}) {
    const coca::CocaSlack scheme{coca::Rope({.dim = 16})};
    GradientCall own(sizes), brought(sizes);
    own.run(scheme, coca::Causal{}, {}, {}, device);
    const std::size_t bytes =
        coca::backward_workspace_bytes(own.q.view(), own.k.view(), own.v.view(), scheme, device);
    std::vector<std::byte> memory(bytes + 2, std::byte{42});
    brought.out = own.out;
    brought.lse = own.lse;
    brought.backward(scheme, coca::Causal{}, {.workspace = std::span(memory).subspan(1, bytes)}, {},
                     device);
    CHECK(brought.dq.storage() == own.dq.storage());
    CHECK(memory.front() == std::byte{42});
    CHECK(memory.back() == std::byte{42});
  }
}
