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
SequenceSizes sizes_for_ranks(SequenceSizes sizes, bool split, Index more) {
  const Index ranks = world().size();
  sizes.key_heads = split ? 1 : ranks + more;
  if (split) sizes.group = ranks + more;
  return sizes;
}
SequenceSizes random_sizes_for_ranks(Random& random, bool split) {
  const SequenceSizes sizes = random_sequence_sizes(random, {0, 1, 3, 7, 19, 64, 101, 131});
  return sizes_for_ranks(sizes, split, random.integer(0, 2));
}

template <class T>
void compare_with_one_process(std::uint64_t first_seed, std::uint64_t seeds) {
  constexpr auto kBytes = static_cast<Index>(sizeof(T));
  for (std::uint64_t seed = 0; seed < share_of(seeds); ++seed) {
    Random random(first_seed + seed);
    const bool split = seed % 2 == 1;
    const SequenceSizes sizes = random_sizes_for_ranks(random, split);
    const int rank = world().rank();
    const Shards shards = seed % 4 < 2 ? Shards::contiguous(sizes.tokens, world().size())
                                       : Shards::zig_zag(sizes.tokens, world().size());
    for_every_form(coca::Rope({.dim = sizes.dim, .base = 500.0}), [&](const auto& form) {
      INFO("seed " << seed << ", " << form.name << ", batch " << sizes.batch << ", tokens "
                   << sizes.tokens << ", key heads " << sizes.key_heads << ", group " << sizes.group
                   << ", dim " << sizes.dim << ", value dim " << sizes.value_dim);
      const WholeSequence<T> whole(sizes, form.half_width, random);
      const CountedMask mask = counted(random_place_mask(random));
      AttentionOptions options = whole.options(random);
      const auto q = tokens_in(whole.q, shards.ranges(rank), random);
      const auto k = tokens_in(whole.k, shards.ranges(rank), random);
      const auto v = tokens_in(whole.v, shards.ranges(rank), random);
      const Index tokens = shards.tokens(rank);
      Tensor<T> out({sizes.batch, tokens, sizes.heads(), sizes.value_dim}, random);
      std::vector<float> lse(static_cast<std::size_t>(sizes.batch * sizes.heads() * tokens));
      const Answers<T> answers(whole, form, mask, options, shards.ranges(rank), 0);
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
      const Index back = own_heads * (kBytes * sizes.value_dim + 4);
      CHECK(traffic.bytes ==
            sizes.batch * (tokens * kBytes * there + (sizes.tokens - tokens) * back));
    });
  }
}

/// Of a cache with this rank's heads of all tokens.
template <class Cache, class T>
void compare_decode_with_one_process(coca::ElementType type, std::uint64_t first_seed,
                                     std::uint64_t seeds) {
  for (std::uint64_t seed = 0; seed < share_of(seeds); ++seed) {
    Random random(first_seed + seed);
    SequenceSizes sizes = random_sizes_for_ranks(random, seed % 2 == 1);
    sizes.tokens = random.integer(3, 400);
    const Index queries = random.integer(1, 3);
    for_every_form(coca::Rope({.dim = sizes.dim, .base = 500.0}), [&](const auto& form) {
      INFO("seed " << seed << ", " << form.name << ", tokens " << sizes.tokens << ", key heads "
                   << sizes.key_heads << ", group " << sizes.group);
      const WholeSequence<T> whole(sizes, form.half_width, random);
      const CountedMask mask = counted(random_place_mask(random));
      AttentionOptions options = whole.options(random);
      const std::array last{TokenRange{sizes.tokens - queries, sizes.tokens}};
      const Answers<T> answers(whole, form, mask, options, last, 0);

      const HeadShares shares(sizes.heads(), sizes.key_heads, world().size());
      const HeadRange own = shares.keys(world().rank());
      const Index key_dim = whole.k.view().shape[3];
      Cache cache({own.size(), key_dim, sizes.value_dim, type});
      std::vector<coca::SequenceId> ids;
      for (Index b = 0; b < sizes.batch; ++b) ids.push_back(cache.add());
      cache.append(ids, coca::detail::heads_of(whole.k.view(), own.begin, own.end),
                   coca::detail::heads_of(whole.v.view(), own.begin, own.end));

      const auto q = tokens_in(whole.q, last, random);
      Tensor<T> out({sizes.batch, queries, sizes.heads(), sizes.value_dim});
      std::vector<float> lse(static_cast<std::size_t>(sizes.batch * sizes.heads() * queries));
      options.lse = coca::View<float, 3>(lse.data(), {sizes.batch, sizes.heads(), queries});
      const Traffic traffic = coca::distributed::ulysses_decode(
          out.view(), q.view(), cache, ids, sizes.key_heads, world(), form.scheme, mask, options);
      answers.check(out, lse);
      CHECK(same_on_all_ranks(out.storage()));
      CHECK(same_on_all_ranks(lse));
      const Index row_bytes = static_cast<Index>(sizeof(T)) * sizes.value_dim + 4;
      CHECK(traffic.bytes == sizes.batch * queries * shares.queries(world().rank()).size() *
                                 row_bytes * (world().size() - 1));
    });
  }
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
  compare_with_one_process<float>(300, 8);
}

TEST_CASE("decoding by heads is decoding by one process, to the bit on all ranks", "[ulysses]") {
  compare_decode_with_one_process<coca::PagedCache, float>(coca::ElementType::float32, 400, 4);
}

TEST_CASE("... both in bfloat16 too", "[ulysses]") {
  compare_with_one_process<Eigen::bfloat16>(320, 2);
  compare_decode_with_one_process<coca::GrowingCache, Eigen::bfloat16>(coca::ElementType::bfloat16,
                                                                       420, 2);
}

TEST_CASE("Ulysses: the same bits from call to call, and on any number of threads", "[ulysses]") {
  Random random(23);
  const int rank = world().rank();
  const Shards shards = Shards::zig_zag(331, world().size());
  for (const bool split : {false, true}) {
    const SequenceSizes sizes = sizes_for_ranks({1, shards.length(), 1, 2, 16, 16}, split, 1);
    for_some_forms(coca::Rope({.dim = sizes.dim}), [&](const auto& form) {
      INFO(form.name << (split ? ", one key head" : ""));
      const WholeSequence<float> whole(sizes, form.half_width, random);
      const auto q = tokens_in(whole.q, shards.ranges(rank), random);
      const auto k = tokens_in(whole.k, shards.ranges(rank), random);
      const auto v = tokens_in(whole.v, shards.ranges(rank), random);
      check_same_bits([&](const auto& device) {
        Tensor<float> out({1, shards.tokens(rank), sizes.heads(), sizes.value_dim}, random);
        std::vector<float> lse(static_cast<std::size_t>(sizes.heads() * shards.tokens(rank)));
        AttentionOptions options;
        options.lse = coca::View<float, 3>(lse.data(), {1, sizes.heads(), shards.tokens(rank)});
        coca::distributed::ulysses_attention(out.view(), q.view(), k.view(), v.view(), shards,
                                             world(), form.scheme,
                                             counted(AnySloped(coca::Causal{})), options, device);
        return numbers_of(out, lse);
      });
    });
  }
}

TEST_CASE("decoding by heads: the same bits from call to call, and on any number of threads",
          "[ulysses]") {
  constexpr Index queries = 2;
  for (const bool split : {false, true}) {
    const SequenceSizes sizes = sizes_for_ranks({1, 5500, 1, 2, 32, 32}, split, 1);
    const HeadShares shares(sizes.heads(), sizes.key_heads, world().size());
    const Index key_heads = shares.keys(world().rank()).size();
    for_some_forms(coca::Rope({.dim = sizes.dim}), [&](const auto& form) {
      INFO(form.name << (split ? ", one key head" : ""));
      Random random(25);
      Tensor<float> q({1, queries, sizes.heads(), sizes.dim});
      Tensor<float> k({1, sizes.tokens, key_heads, form.half_width ? sizes.dim / 2 : sizes.dim});
      Tensor<float> v({1, sizes.tokens, key_heads, sizes.value_dim});
      for (auto* x : {&q, &k, &v}) x->fill([&] { return std::fabs(random.uniform()); });
      coca::PagedCache cache({key_heads, k.view().shape[3], sizes.value_dim});
      const std::array ids{cache.add()};
      cache.append(ids, k.view(), v.view());
      check_same_bits([&](const auto& device) {
        Tensor<float> out({1, queries, sizes.heads(), sizes.value_dim});
        std::vector<float> lse(static_cast<std::size_t>(sizes.heads() * queries));
        AttentionOptions options;
        options.lse = coca::View<float, 3>(lse.data(), {1, sizes.heads(), queries});
        coca::distributed::ulysses_decode(out.view(), q.view(), cache, ids, sizes.key_heads,
                                          world(), form.scheme, counted(AnySloped(coca::Causal{})),
                                          options, device);
        return numbers_of(out, lse);
      });
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
                                                         counted(AnySloped(coca::Alibi{4}))),
                    contains("coca: alibi.slopes.size is 4, expected"));
}
