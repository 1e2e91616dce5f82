#include <numeric>
#include <vector>

#include "coca/coca.hpp"
#include "support/catch.hpp"
#include "support/forms.hpp"
#include "support/random.hpp"

/// Packed sequences: each gives the bits it gives alone.
namespace {

using namespace test;
using coca::View;

template <class Start>
std::vector<Start> starts_of(const std::vector<Index>& lengths) {
  std::vector<Start> starts{0};
  for (const Index length : lengths) starts.push_back(starts.back() + static_cast<Start>(length));
  return starts;
}

/// [tokens, heads, dim] of random numbers.
struct Packed {
  Index tokens, heads, dim;
  std::vector<float> values;

  Packed(Index n, Index h, Index d, Random& random)
      : tokens(n), heads(h), dim(d), values(static_cast<std::size_t>(n * h * d)) {
    for (float& x : values) x = static_cast<float>(random.uniform());
  }
  View<const float, 3> view() const { return {values.data(), {tokens, heads, dim}}; }
  View<float, 3> view() { return {values.data(), {tokens, heads, dim}}; }
  /// One sequence of it.
  coca::TensorView<float> part(Index begin, Index length) {
    return {values.data() + begin * heads * dim, {1, length, heads, dim}};
  }
};

const std::vector<Index> kQueryLengths{5, 0, 130, 1, 64, 3, 200};
const std::vector<Index> kKeyLengths{5, 7, 300, 1, 64, 0, 129};

}  // namespace

TEST_CASE("a packed sequence is what it is alone, bit for bit", "[packed]") {
  Random random(1);
  const auto query_starts = starts_of<std::int32_t>(kQueryLengths);
  const auto key_starts = starts_of<std::int64_t>(kKeyLengths);
  Eigen::ThreadPool pool(3);
  const coca::Rope rope({.dim = 24});
  for_each_any_form(rope, [&](const auto& form) {
    INFO(form.name);
    const Index key_dim = form.half_width ? 12 : 24;
    Packed q(query_starts.back(), 6, 24, random), out(query_starts.back(), 6, 17, random);
    Packed k(key_starts.back(), 2, key_dim, random), v(key_starts.back(), 2, 17, random);
    Packed alone = out;
    std::vector<float> lse(static_cast<std::size_t>(6 * q.tokens), 9.0F);
    const auto whole_lse = View<float, 3>(lse.data(), {1, 6, q.tokens});
    const std::vector<float> sinks{0.5F, -1.0F, 0.0F, 2.0F, 1.0F, -3.0F};
    const auto sink_view = View<const float, 1>(sinks.data(), {6});
    for (const int threads : {1, 3}) {
      const Eigen::ThreadPoolDevice device(&pool, threads);
      std::fill(out.values.begin(), out.values.end(), 9.0F);
      coca::packed_attention(out.view(), q.view(), k.view(), v.view(), query_starts, key_starts,
                             form.scheme, coca::Causal{} & coca::SlidingWindow(150, 0),
                             {.sinks = sink_view, .lse = whole_lse}, device);
      for (std::size_t s = 0; s < kQueryLengths.size(); ++s) {
        const Index query = query_starts[s];
        const auto key = static_cast<Index>(key_starts[s]);
        std::vector<float> own_lse(static_cast<std::size_t>(6 * kQueryLengths[s]), 8.0F);
        const View<float, 3> own(own_lse.data(), {1, 6, kQueryLengths[s]});
        coca::attention(alone.part(query, kQueryLengths[s]), q.part(query, kQueryLengths[s]),
                        k.part(key, kKeyLengths[s]), v.part(key, kKeyLengths[s]), form.scheme,
                        coca::Causal{} & coca::SlidingWindow(150, 0),
                        {.sinks = sink_view, .lse = own});
        for (Index h = 0; h < 6; ++h) {
          for (Index n = 0; n < kQueryLengths[s]; ++n) {
            CHECK(whole_lse(0, h, query + n) == own(0, h, n));
          }
        }
      }
      CHECK(out.values == alone.values);
    }
  });
}

TEST_CASE("packed position ids are those of the tokens", "[packed]") {
  Random random(2);
  const auto starts = starts_of<std::int64_t>({40, 70});
  Packed q(110, 2, 16, random), t(110, 1, 8, random), v(110, 1, 16, random), out = q, shifted = q;
  std::vector<coca::Position> ids(110);
  std::iota(ids.begin(), ids.begin() + 40, 0);
  std::iota(ids.begin() + 40, ids.end(), 0);
  const coca::CocaSlack scheme{coca::Rope({.dim = 16})};
  const auto run = [&](Packed& to, const coca::AttentionOptions& options) {
    coca::packed_attention(to.view(), q.view(), t.view(), v.view(), starts, starts, scheme,
                           coca::Causal{}, options);
  };
  const View<const coca::Position, 2> view(ids.data(), {1, 110});
  run(out, {});
  run(shifted, {.query_ids = view, .key_ids = view});
  CHECK(out.values == shifted.values);
  ids[45] += 3;  // of the second sequence
  run(shifted, {.query_ids = view, .key_ids = view});
  const auto first_of_second = out.values.begin() + 40 * 2 * 16;
  CHECK(std::equal(out.values.begin(), first_of_second, shifted.values.begin()));
  CHECK(out.values != shifted.values);
}

TEST_CASE("a mask is told the number of the packed sequence", "[packed]") {
  Random random(3);
  const auto starts = starts_of<std::int32_t>({3, 5});
  Packed q(8, 1, 4, random), out = q, expected = q;
  Eigen::Tensor<bool, 4, Eigen::RowMajor> allowed(2, 1, 5, 5);
  allowed.setConstant(true);
  for (Index n = 1; n < 5; ++n) allowed(1, 0, 0, n) = false;  // of the second sequence
  coca::packed_attention(out.view(), q.view(), q.view(), q.view(), starts, starts, coca::Dot{},
                         coca::BooleanMask(allowed));
  coca::packed_attention(expected.view(), q.view(), q.view(), q.view(), starts, starts,
                         coca::Dot{});
  CHECK(std::equal(out.values.begin(), out.values.begin() + 12, expected.values.begin()));
  for (std::size_t i = 12; i < 16; ++i) CHECK(out.values[i] == q.values[i]);
  CHECK(std::equal(out.values.begin() + 16, out.values.end(), expected.values.begin() + 16));
}

TEST_CASE("packed calls take the caller's work memory", "[packed]") {
  Random random(4);
  const auto starts = starts_of<std::int32_t>(kQueryLengths);
  Packed q(starts.back(), 4, 16, random), out = q, own = q;
  const coca::Dot dot;
  std::vector<std::byte> memory(
      coca::packed_workspace_bytes(q.view(), q.view(), q.view(), starts, starts, dot));
  coca::packed_attention(own.view(), q.view(), q.view(), q.view(), starts, starts, dot);
  coca::packed_attention(out.view(), q.view(), q.view(), q.view(), starts, starts, dot,
                         coca::Full{}, {.workspace = memory});
  CHECK(out.values == own.values);
}

TEST_CASE("packed calls say what is wrong", "[packed]") {
  Random random(5);
  Packed q(10, 4, 16, random), k(12, 2, 16, random), narrow(12, 2, 8, random), out = q;
  using Starts = std::vector<std::int32_t>;
  const auto error = [&](const Packed& keys, const Starts& query_starts, const Starts& key_starts,
                         const coca::AttentionOptions& options = {}) -> std::string {
    std::fill(out.values.begin(), out.values.end(), 9.0F);
    try {
      coca::packed_attention(out.view(), q.view(), keys.view(), k.view(), query_starts, key_starts,
                             coca::Dot{}, coca::Full{}, options);
    } catch (const std::invalid_argument& caught) {
      CHECK(out.values == std::vector<float>(out.values.size(), 9.0F));
      return caught.what();
    }
    return "nothing";
  };
  CHECK(error(k, {0, 10}, {0, 12}) == "nothing");
  CHECK(error(k, {}, {0, 12}) == "coca: query_starts is empty, expected 0 and more");
  CHECK(error(k, {1, 10}, {0, 12}) == "coca: query_starts[0] is 1, expected 0");
  CHECK(error(k, {0, 10}, {0, 9, 7, 12}) == "coca: key_starts[2] is 7, expected 9 or more");
  CHECK(error(k, {0, 10}, {0, 11}) == "coca: key_starts[1] is 11, expected 12 (tokens)");
  CHECK(error(k, {0, 10}, {0, 5, 12}) ==
        "coca: key_starts.size() is 3, expected 2 (that of query_starts)");
  CHECK(error(k, {0, 10}, {0, 12}, {.first_query = 3}) ==
        "coca: options.first_query is given, expected none: a packed sequence's last query stands "
        "where its last key does");
  CHECK(error(k, {0, 10}, {0, 12}, {.first_key = 3}) ==
        "coca: options.first_key is 3, expected 0: every packed sequence begins there");
  CHECK(error(narrow, {0, 10}, {0, 12}) ==
        "coca: k.shape[2] (width of the key operand) is 8, expected 16 (what the scheme takes)");
  q.heads = 5;
  q.dim = 12;
  CHECK(error(k, {0, 10}, {0, 12}) ==
        "coca: k.shape[1] (heads) is 2, expected a divisor of the 5 heads of q");
}
