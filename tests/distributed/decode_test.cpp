#include "coca/distributed/decode.hpp"

#include "coca/cache/paged_cache.hpp"
#include "distributed/sequence.hpp"

namespace {

using namespace test;
using coca::Position;
using coca::distributed::CachedRun;
using coca::distributed::Traffic;

/// Runs of any length, on any rank: all ranks draw the same ones, and keep their own in a cache.
template <class Cache, class T>
std::vector<CachedRun> random_runs(const WholeSequence<T>& whole, Cache& cache, Index& parts,
                                   Random& random) {
  std::vector<CachedRun> runs;
  for (Index b = 0; b < whole.sizes.batch; ++b) {
    for (Index n = 0; n < whole.sizes.tokens; ++parts) {
      const Index count = std::min(random.integer(1, whole.sizes.tokens), whole.sizes.tokens - n);
      if (random.integer(0, world().size() - 1) == world().rank()) {
        const coca::SequenceId id = cache.add();
        const auto part = [&](const Tensor<T>& x) {
          return coca::detail::tokens_of(coca::detail::part_of(x.view(), 0, b, 1), n, count);
        };
        cache.append(std::span(&id, 1), part(whole.k), part(whole.v));
        runs.push_back({b, id, n});
      }
      n += count;
    }
  }
  return runs;
}

template <class Cache, class T>
void compare_with_one_process(coca::ElementType type, std::uint64_t first_seed,
                              std::uint64_t seeds) {
  for (std::uint64_t seed = 0; seed < share_of(seeds); ++seed) {
    Random random(first_seed + seed);
    SequenceSizes sizes = random_sequence_sizes(random, {1, 2, 3, 7, 150, 301, 500, 1000});
    const Index queries = random.integer(1, std::min<Index>(sizes.tokens, 3));
    for_every_form(coca::Rope({.dim = sizes.dim, .base = 500.0}), [&](const auto& form) {
      INFO("seed " << seed << ", " << form.name << ", batch " << sizes.batch << ", tokens "
                   << sizes.tokens << ", queries " << queries << ", key heads " << sizes.key_heads
                   << ", group " << sizes.group << ", dim " << sizes.dim);
      const WholeSequence<T> whole(sizes, form.half_width, random);
      const CountedMask mask = counted(random_place_mask(random, sizes.heads()));
      AttentionOptions options = whole.options(random);

      Cache cache({sizes.key_heads, whole.k.view().shape[3], sizes.value_dim, type});
      Index parts = 0;
      const std::vector<CachedRun> runs = random_runs(whole, cache, parts, random);
      const std::vector<Position> first_queries(static_cast<std::size_t>(sizes.batch),
                                                sizes.tokens - queries);
      const std::array last{TokenRange{sizes.tokens - queries, sizes.tokens}};
      const Answers<T> answers(whole, form, mask, options, last, parts + world().size());
      Random same(seed);  // of all ranks, so that storage can be compared
      const auto q = tokens_in(whole.q, last, same);
      Tensor<T> out({sizes.batch, queries, sizes.heads(), sizes.value_dim});
      std::vector<float> lse(static_cast<std::size_t>(sizes.batch * sizes.heads() * queries));
      options.lse = coca::View<float, 3>(lse.data(), {sizes.batch, sizes.heads(), queries});
      const Traffic traffic = coca::distributed::decode(
          out.view(), q.view(), cache, runs, first_queries, world(), form.scheme, mask, options);
      answers.check(out, lse);
      CHECK(same_on_all_ranks(out.storage()));
      CHECK(same_on_all_ranks(lse));
      // To the parent of the tree, and to each child.
      const int ranks = world().size();
      const int rank = world().rank();
      Index children = 0;
      for (int width = 1; rank % (2 * width) == 0 && rank + width < ranks; width *= 2) ++children;
      CHECK(traffic.messages == children + (rank > 0));
      CHECK(traffic.bytes ==
            traffic.messages * 4 * sizes.batch * queries * sizes.heads() * (sizes.value_dim + 1));
    });
  }
}

}  // namespace

TEST_CASE("decoding by tokens is decoding by one process, to the bit on all ranks", "[decode]") {
  compare_with_one_process<coca::PagedCache, float>(coca::ElementType::float32, 500, 8);
}

TEST_CASE("... in bfloat16 and from a cache of it, too", "[decode]") {
  compare_with_one_process<coca::GrowingCache, Eigen::bfloat16>(coca::ElementType::bfloat16, 520,
                                                                3);
}

TEST_CASE("decoding by tokens: the same bits from call to call, and on any number of threads",
          "[decode]") {
  constexpr Index tokens = 4500;  // of a rank, which are worth two threads
  constexpr Index queries = 2, heads = 6, key_heads = 2, dim = 16;
  Random random(21);
  const int rank = world().rank();
  for_some_forms(coca::Rope({.dim = dim}), [&](const auto& form) {
    INFO(form.name);
    Tensor<float> q({1, queries, heads, dim});
    Tensor<float> k({1, tokens, key_heads, form.half_width ? dim / 2 : dim});
    Tensor<float> v({1, tokens, key_heads, dim});
    for (auto* x : {&q, &k, &v}) x->fill([&] { return std::fabs(random.uniform()); });
    coca::PagedCache cache({key_heads, k.view().shape[3], dim});
    const std::array ids{cache.add()};
    cache.append(ids, k.view(), v.view());
    const std::array runs{CachedRun{0, ids[0], rank * tokens}};
    const std::array<Position, 1> first_queries{world().size() * tokens - queries};
    check_same_bits([&](const auto& device) {
      Tensor<float> out({1, queries, heads, dim});
      std::vector<float> lse(heads * queries);
      AttentionOptions options;
      options.lse = coca::View<float, 3>(lse.data(), {1, heads, queries});
      coca::distributed::decode(out.view(), q.view(), cache, runs, first_queries, world(),
                                form.scheme, counted(AnySloped(coca::Causal{})), options, device);
      return numbers_of(out, lse);
    });
  });
}

TEST_CASE("what does not fit the runs is said before anything is written", "[decode]") {
  coca::PagedCache cache({1, 4, 4});
  const coca::SequenceId id = cache.add();
  Tensor<float> q({2, 1, 1, 4}), out({2, 1, 1, 4});
  q.fill([] { return 1.0; });
  const auto before = out.storage();
  std::vector<CachedRun> runs{{1, id, 0}};
  std::vector<Position> first_queries{0, 0};
  AttentionOptions options;
  const auto run = [&] {
    coca::distributed::decode(out.view(), q.view(), cache, runs, first_queries, world(),
                              EveryScheme(coca::Dot{}), counted(AnySloped(coca::Causal{})),
                              options);
  };
  runs[0].entry = 2;
  CHECK_THROWS_WITH(run(), "coca: runs.entry is 2, expected from 0 to 1, as q has batch entries");
  runs[0] = {0, id + 1, 0};
  CHECK_THROWS_AS(run(), std::invalid_argument);
  runs[0] = {0, id, 0};
  first_queries.pop_back();
  CHECK_THROWS_WITH(run(), "coca: first_queries.size() is 1, expected 2 (batch entries of q)");
  first_queries.push_back(0);
  options.first_query = 5;
  CHECK_THROWS_AS(run(), std::invalid_argument);
  CHECK(out.storage() == before);
  options = {};
  run();
  for (const float x : out.storage()) CHECK(x == 0.0F);  // nothing to see
}
