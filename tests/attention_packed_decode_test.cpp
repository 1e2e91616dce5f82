#include <algorithm>
#include <cstring>
#include <numeric>

#include "coca/coca.hpp"
#include "support/catch.hpp"
#include "support/forms.hpp"
#include "support/tokens.hpp"

/// Sequences with different numbers of new tokens, in one call.
namespace {

using namespace test;
using coca::ElementType;
using coca::SequenceId;

/// Five sequences of a cache: one that has nothing new, one of one token, one of some, one of so many
/// that the kernel is another one, and one so long that its keys are cut into parts.
struct Batch {
  static constexpr Index kHeads = 4, kKeyHeads = 2, kDim = 16, kValueDim = 12;
  coca::PagedCache cache;
  std::vector<SequenceId> ids;
  std::vector<Index> lengths{150, 33, 70, 200, 1400};
  std::vector<Index> queries{0, 1, 12, 75, 3};
  std::vector<Index> starts{0};
  Tensor<float> q, out;
  std::vector<float> lse;

  Batch(Index key_dim, ElementType type, Random& random)
      : cache({.key_heads = kKeyHeads, .key_dim = key_dim, .value_dim = kValueDim, .type = type}),
        q({1, total(), kHeads, kDim}),
        out({1, total(), kHeads, kValueDim}),
        lse(static_cast<std::size_t>(kHeads * total())) {
    for (std::size_t s = 0; s < lengths.size(); ++s) {
      ids.push_back(cache.add());
      const Tokens tokens = Tokens{kKeyHeads, key_dim, kValueDim}.add(lengths[s], random);
      cache.append(ids[s], tokens.k(), tokens.v());
      starts.push_back(starts[s] + queries[s]);
    }
    q.fill([&] { return random.uniform(); });
  }

  Index total() const { return std::accumulate(queries.begin(), queries.end(), Index{0}); }
  coca::View<float, 3> packed(Tensor<float>& x, Index width) const {
    return {x.storage().data(), {total(), kHeads, width}};
  }
  /// The queries, or outputs, of one sequence.
  coca::TensorView<float> own(Tensor<float>& x, std::size_t s, Index width) const {
    return {x.storage().data() + starts[s] * kHeads * width, {1, queries[s], kHeads, width}};
  }

  template <class S, class M>
  void run(const S& scheme, const M& mask, const Eigen::ThreadPoolDevice& device) {
    coca::packed_decode(packed(out, kValueDim), packed(q, kDim), starts, cache, ids, scheme, mask,
                        {.lse = coca::View<float, 3>(lse.data(), {1, kHeads, total()})}, device);
  }
  /// Whether sequence s has the bits that coca::decode gives it alone.
  template <class S, class M>
  bool as_alone(std::size_t s, const S& scheme, const M& mask) {
    Tensor<float> alone({1, queries[s], kHeads, kValueDim});
    std::vector<float> alone_lse(static_cast<std::size_t>(kHeads * queries[s]));
    coca::decode(alone.view(), own(q, s, kDim), cache, std::span(&ids[s], 1), scheme, mask,
                 {.lse = coca::View<float, 3>(alone_lse.data(), {1, kHeads, queries[s]})});
    const float* first = own(out, s, kValueDim).data;
    bool same = std::equal(first, first + alone.view().size(), alone.storage().begin());
    for (Index h = 0; h < kHeads; ++h) {
      same &=
          std::equal(alone_lse.begin() + h * queries[s], alone_lse.begin() + (h + 1) * queries[s],
                     lse.begin() + h * total() + starts[s]);
    }
    return same;
  }
};

}  // namespace

TEST_CASE("packed sequences of a cache: each as if alone", "[decode]") {
  Random random(60);
  const coca::Rope rope({.dim = Batch::kDim});
  Eigen::ThreadPool pool(3);
  for_each_any_form(rope, [&](const auto& form) {
    for (const ElementType type : {ElementType::float32, ElementType::int8}) {
      Batch batch(form.half_width ? Batch::kDim / 2 : Batch::kDim, type, random);
      for (const int threads : {1, 3}) {
        batch.out.fill([] { return 7.0F; });
        batch.run(form.scheme, coca::Causal{}, Eigen::ThreadPoolDevice(&pool, threads));
        for (std::size_t s = 0; s < batch.ids.size(); ++s) {
          INFO(form.name << ", threads " << threads << ", sequence " << s);
          CHECK(batch.as_alone(s, form.scheme, coca::Causal{}));
        }
      }
    }
  });
}

TEST_CASE("packed sequences of a cache under a ceiling on the distance", "[decode]") {
  Random random(61);
  const coca::DistanceCeiling scheme(coca::Rotary{coca::Rope({.dim = Batch::kDim})}, 50);
  Eigen::ThreadPool pool(2);
  Batch batch(Batch::kDim, ElementType::float32, random);
  batch.run(scheme, coca::Causal{}, Eigen::ThreadPoolDevice(&pool, 2));
  for (std::size_t s = 0; s < batch.ids.size(); ++s) {
    INFO("sequence " << s);
    Tensor<float> alone({1, batch.queries[s], Batch::kHeads, Batch::kValueDim});
    coca::decode(alone.view(), batch.own(batch.q, s, Batch::kDim), batch.cache,
                 std::span(&batch.ids[s], 1), scheme);
    const float* first = batch.own(batch.out, s, Batch::kValueDim).data;
    CHECK(std::equal(first, first + alone.view().size(), alone.storage().begin()));
  }
}

TEST_CASE("the mask of a packed decode is told the number of the sequence", "[decode]") {
  Random random(62);
  Batch batch(Batch::kDim, ElementType::float32, random);
  // The last two sequences see nothing.
  Eigen::Tensor<bool, 4, Eigen::RowMajor> visible(5, 1, 1, 1);
  for (Index s = 0; s < 5; ++s) visible(s, 0, 0, 0) = s < 3;
  Eigen::ThreadPool pool(2);
  batch.run(coca::Dot{}, coca::BooleanMask(visible), Eigen::ThreadPoolDevice(&pool, 2));
  CHECK(batch.as_alone(2, coca::Dot{}, coca::Full{}));
  for (const std::size_t s : {std::size_t{3}, std::size_t{4}}) {
    const auto own = batch.own(batch.out, s, Batch::kValueDim);
    CHECK(std::all_of(own.data, own.data + own.size(), [](float x) { return x == 0.0F; }));
  }
}

TEST_CASE("the caller may bring the work memory of a packed decode", "[memory]") {
  Random random(63);
  Batch batch(Batch::kDim, ElementType::float32, random);
  const coca::Rotary scheme{coca::Rope({.dim = Batch::kDim})};
  Eigen::ThreadPool pool(2);
  const Eigen::ThreadPoolDevice device(&pool, 2);
  batch.run(scheme, coca::Causal{}, device);
  const std::vector<float> expected = batch.out.storage();
  const std::size_t bytes = coca::packed_decode_workspace_bytes(
      batch.packed(batch.q, Batch::kDim), batch.starts, batch.cache, batch.ids, scheme, device);
  std::vector<std::byte> memory(bytes + 2, std::byte{42});
  batch.out.fill([] { return 7.0F; });
  coca::packed_decode(batch.packed(batch.out, Batch::kValueDim), batch.packed(batch.q, Batch::kDim),
                      batch.starts, batch.cache, batch.ids, scheme, coca::Causal{},
                      {.workspace = std::span(memory).subspan(1, bytes)}, device);
  CHECK(batch.out.storage() == expected);
  CHECK(memory.front() == std::byte{42});
  CHECK(memory.back() == std::byte{42});
}

TEST_CASE("packed decode says what is wrong before it writes", "[errors]") {
  Random random(64);
  Batch batch(Batch::kDim, ElementType::float32, random);
  batch.out.fill([] { return 7.0F; });
  coca::AttentionOptions options;
  const auto error = [&]() -> std::string {
    try {
      coca::packed_decode(batch.packed(batch.out, Batch::kValueDim),
                          batch.packed(batch.q, Batch::kDim), batch.starts, batch.cache, batch.ids,
                          coca::Dot{}, coca::Causal{}, options);
    } catch (const std::invalid_argument& wrong) {
      const auto& out = batch.out.storage();
      const bool untouched = std::all_of(out.begin(), out.end(), [](float x) { return x == 7.0F; });
      return untouched ? wrong.what() : "the output was touched";
    }
    return "no error";
  };
  SECTION("none") { CHECK(error() == "no error"); }
  SECTION("starts that fall") {
    batch.starts[3] = 0;
    CHECK(error() == "coca: query_starts[3] is 0, expected 1 or more");
    batch.starts[3] = 89;
    CHECK(error() == "coca: query_starts[4] is 88, expected 89 or more");
  }
  SECTION("starts that end elsewhere") {
    batch.starts[5] = 92;
    CHECK(error() == "coca: query_starts[5] is 92, expected 91 (tokens)");
  }
  SECTION("starts of other sequences") {
    batch.ids.pop_back();
    CHECK(error() ==
          "coca: query_starts.size() is 6, expected 5 (one more than there are sequences)");
  }
  SECTION("a place for the first query") {
    options.first_query = 3;
    CHECK(
        error() ==
        "coca: options.first_query is given, expected none: a packed sequence's last query stands "
        "where its last key does");
  }
  SECTION("a sequence that is not there") {
    batch.ids[1] = 77;
    CHECK(error() == "coca: sequence is 77, expected one that was added, and not dropped");
  }
}
