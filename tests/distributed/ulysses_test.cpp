#include "coca/distributed/ulysses.hpp"

#include "coca/cache/paged_cache.hpp"
#include "coca/distributed/ulysses_decode.hpp"
#include "distributed/sequence.hpp"

namespace {

using namespace test;
using coca::distributed::HeadRange;
using coca::distributed::HeadShares;
using coca::distributed::Traffic;

/// Sizes with a head for every rank: whole groups, or, where `split`, one key head for several ranks.
SequenceSizes sizes_for_ranks(Random& random, bool split) {
  SequenceSizes sizes = random_sequence_sizes(random, {0, 1, 3, 7, 19, 64, 101, 131});
  const Index ranks = world().size();
  sizes.key_heads = split ? 1 : ranks + random.integer(0, 2);
  if (split) sizes.group = ranks + random.integer(0, 2);
  return sizes;
}

}  // namespace

TEST_CASE("heads are shared out once, whole groups while there are enough", "[ulysses]") {
  const std::vector<std::array<int, 3>> cases{{8, 8, 4}, {8, 2, 4}, {12, 3, 2},
                                              {6, 2, 3}, {8, 2, 3}, {5, 5, 4}};
  for (const auto& [heads, key_heads, ranks] : cases) {
    const HeadShares shares(heads, key_heads, ranks);
    Index before = 0;
    Index keys = 0;
    for (int rank = 0; rank < ranks; ++rank) {
      const HeadRange own = shares.queries(rank);
      CHECK(own.begin == before);
      CHECK(own.size() > 0);
      before = own.end;
      const Index group = heads / key_heads;
      const HeadRange own_keys = shares.keys(rank);
      keys += own_keys.size();
      CHECK(own_keys.begin == own.begin / group);
      CHECK(own_keys.end == (own.end + group - 1) / group);
      CHECK(own.size() % own_keys.size() == 0);
    }
    CHECK(before == heads);
    CHECK(keys == shares.held_keys());
  }
  CHECK_THROWS_WITH(HeadShares(4, 2, 5),
                    "coca: ranks is 5, expected at most 4 (heads of q), 2 for each key head");
}

TEST_CASE("Ulysses is the attention of one process", "[ulysses]") {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    Random random(300 + seed);
    const bool split = seed % 2 == 1;
    const SequenceSizes sizes = sizes_for_ranks(random, split);
    const int rank = world().rank();
    const Shards shards = seed % 4 < 2 ? Shards::contiguous(sizes.tokens, world().size())
                                       : Shards::zig_zag(sizes.tokens, world().size());
    for_every_form(coca::Rope({.dim = sizes.dim, .base = 500.0}), [&](const auto& form) {
      INFO("seed " << seed << ", " << form.name << ", batch " << sizes.batch << ", tokens "
                   << sizes.tokens << ", key heads " << sizes.key_heads << ", group " << sizes.group
                   << ", dim " << sizes.dim << ", value dim " << sizes.value_dim);
      const WholeSequence<float> whole(sizes, form.half_width, random);
      const CountedMask mask = counted(random_place_mask(random));
      AttentionOptions options = whole.options(random);
      const auto q = tokens_in(whole.q, shards.ranges(rank), random);
      const auto k = tokens_in(whole.k, shards.ranges(rank), random);
      const auto v = tokens_in(whole.v, shards.ranges(rank), random);
      const Index tokens = shards.tokens(rank);
      Tensor<float> out({sizes.batch, tokens, sizes.heads(), sizes.value_dim}, random);
      std::vector<float> lse(static_cast<std::size_t>(sizes.batch * sizes.heads() * tokens));
      const Answers<float> answers(whole, form, mask, options, shards.ranges(rank), 0);
      options.lse = coca::View<float, 3>(lse.data(), {sizes.batch, sizes.heads(), tokens});
      const Traffic traffic = coca::distributed::ulysses_attention(
          out.view(), q.view(), k.view(), v.view(), shards, world(), form.scheme, mask, options);
      answers.check(out, lse);
      if (!split) {
        // No sum is made elsewhere than in one process: the same bits.
        CHECK(largest_difference(out, widened(answers.out)) == 0.0);
      }

      // There: the others' heads of own tokens. Back: own heads of the others' tokens.
      const HeadShares shares(sizes.heads(), sizes.key_heads, world().size());
      const Index own_heads = shares.queries(rank).size();
      const Index key_width = k.view().shape[3] + sizes.value_dim;
      const Index there = (sizes.heads() - own_heads) * sizes.dim +
                          (shares.held_keys() - shares.keys(rank).size()) * key_width;
      const Index back = own_heads * (sizes.value_dim + 1);
      CHECK(traffic.bytes == 4 * sizes.batch * (tokens * there + (sizes.tokens - tokens) * back));
    });
  }
}

TEST_CASE("decoding by heads is decoding by one process, to the bit on all ranks", "[ulysses]") {
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    Random random(400 + seed);
    SequenceSizes sizes = sizes_for_ranks(random, seed % 2 == 1);
    sizes.tokens = random.integer(3, 400);
    const Index queries = random.integer(1, 3);
    for_every_form(coca::Rope({.dim = sizes.dim, .base = 500.0}), [&](const auto& form) {
      INFO("seed " << seed << ", " << form.name << ", tokens " << sizes.tokens << ", key heads "
                   << sizes.key_heads << ", group " << sizes.group);
      const WholeSequence<float> whole(sizes, form.half_width, random);
      const CountedMask mask = counted(random_place_mask(random));
      AttentionOptions options = whole.options(random);
      const std::array last{TokenRange{sizes.tokens - queries, sizes.tokens}};
      const Answers<float> answers(whole, form, mask, options, last, 0);

      const HeadShares shares(sizes.heads(), sizes.key_heads, world().size());
      const HeadRange own = shares.keys(world().rank());
      const Index key_dim = whole.k.view().shape[3];
      coca::PagedCache cache({own.size(), key_dim, sizes.value_dim});
      std::vector<coca::SequenceId> ids;
      for (Index b = 0; b < sizes.batch; ++b) ids.push_back(cache.add());
      cache.append(ids, coca::detail::heads_of(whole.k.view(), own.begin, own.end),
                   coca::detail::heads_of(whole.v.view(), own.begin, own.end));

      const auto q = tokens_in(whole.q, last, random);
      Tensor<float> out({sizes.batch, queries, sizes.heads(), sizes.value_dim});
      std::vector<float> lse(static_cast<std::size_t>(sizes.batch * sizes.heads() * queries));
      options.lse = coca::View<float, 3>(lse.data(), {sizes.batch, sizes.heads(), queries});
      const Traffic traffic = coca::distributed::ulysses_decode(
          out.view(), q.view(), cache, ids, sizes.key_heads, world(), form.scheme, mask, options);
      answers.check(out, lse);
      CHECK(same_on_all_ranks(out.storage()));
      CHECK(same_on_all_ranks(lse));
      CHECK(traffic.bytes == 4 * sizes.batch * queries * shares.queries(world().rank()).size() *
                                 (sizes.value_dim + 1) * (world().size() - 1));
    });
  }
}

TEST_CASE("masks that depend on the head are refused where heads are divided", "[ulysses]") {
  if (world().size() == 1) return;
  Random random(5);
  const WholeSequence<float> whole({1, 16, 4, 1, 4, 4}, false, random);
  const Shards shards = Shards::contiguous(16, world().size());
  const auto ranges = shards.ranges(world().rank());
  const auto q = tokens_in(whole.q, ranges, random);
  Tensor<float> out(q.view().shape);
  CHECK_THROWS_WITH(coca::distributed::ulysses_attention(out.view(), q.view(), q.view(), q.view(),
                                                         shards, world(), EveryScheme(coca::Dot{}),
                                                         counted(AnyHiding(coca::Alibi{4}))),
                    contains("coca: alibi.slopes.size is 4, expected"));
}
