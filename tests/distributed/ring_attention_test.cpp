#include "coca/distributed/ring_attention.hpp"

#include <chrono>
#include <numeric>
#include <thread>

#include "coca/distributed/transfers.hpp"
#include "distributed/sequence.hpp"

namespace {

using namespace test;
using coca::Position;
using coca::distributed::Traffic;

/// One rank's part of a sequence, and what the ring makes of it.
template <class T>
struct Ring {
  Tensor<T> q, k, v, out;
  std::vector<float> lse;

  Ring(const WholeSequence<T>& whole, const Shards& shards, Random& random)
      : q(tokens_in(whole.q, shards.ranges(world().rank()), random)),
        k(tokens_in(whole.k, shards.ranges(world().rank()), random)),
        v(tokens_in(whole.v, shards.ranges(world().rank()), random)),
        out({whole.sizes.batch, q.view().shape[1], whole.sizes.heads(), whole.sizes.value_dim},
            random),
        lse(static_cast<std::size_t>(whole.sizes.batch * whole.sizes.heads() * q.view().shape[1])) {
  }

  template <class D = Eigen::DefaultDevice>
  Traffic run(const Shards& shards, const EveryScheme& scheme, const CountedMask& mask,
              const AttentionOptions& options = {}, const D& device = {}) {
    return coca::distributed::ring_attention(out.view(), q.view(), k.view(), v.view(), shards,
                                             world(), scheme, mask, with_lse(options), device);
  }
  /// The same, with at most so many queries between messages.
  Traffic run_cut(const Shards& shards, const EveryScheme& scheme, const CountedMask& mask,
                  const AttentionOptions& options, Index most_queries) {
    return coca::detail::run_ring<float, T, T, T, T>(
        out.view(), q.view(), k.view(), v.view(), shards, world(), scheme, mask, with_lse(options),
        Eigen::DefaultDevice(), most_queries);
  }

 private:
  AttentionOptions with_lse(AttentionOptions options) {
    const auto [batch, tokens, heads, value_dim] = out.view().shape;
    options.lse = coca::View<float, 3>(lse.data(), {batch, heads, tokens});
    return options;
  }
};

Shards random_shards(Index length, Random& random) {
  return random.integer(0, 1) == 0 ? Shards::contiguous(length, world().size())
                                   : Shards::zig_zag(length, world().size());
}

template <class T>
void compare_with_one_process(std::uint64_t first_seed) {
  for (std::uint64_t seed = 0; seed < share_of(8U); ++seed) {
    Random random(first_seed + seed);
    // With fewer tokens than chunks, and lengths they do not divide.
    const SequenceSizes sizes = random_sequence_sizes(random, {0, 1, 3, 7, 19, 64, 101, 131});
    const coca::Rope rope({.dim = sizes.dim, .base = 500.0});
    const Shards shards = random_shards(sizes.tokens, random);
    for_every_form(rope, [&](const auto& form) {
      INFO("seed " << seed << ", " << form.name << ", batch " << sizes.batch << ", tokens "
                   << sizes.tokens << ", key heads " << sizes.key_heads << ", group " << sizes.group
                   << ", dim " << sizes.dim << ", value dim " << sizes.value_dim);
      const WholeSequence<T> whole(sizes, form.half_width, random);
      const CountedMask mask = counted(random_place_mask(random, sizes.heads()));
      const AttentionOptions options = whole.options(random);
      Ring<T> ring(whole, shards, random);
      if (seed % 2 == 0) {
        ring.run(shards, form.scheme, mask, options);
      } else {
        ring.run_cut(shards, form.scheme, mask, options, 10);
      }
      const Answers<T> answers(whole, form, mask, options, shards.ranges(world().rank()),
                               2 * world().size());
      answers.check(ring.out, ring.lse);
    });
  }
}

/// Causal, and how many pairs of a query and a key the kernel computes in each step of the ring.
struct CausalByStep : coca::MaskDefaults {
  const Shards& shards;
  std::vector<long>& pairs;
  coca::Causal causal{};

  CausalByStep(const Shards& of, std::vector<long>& counts) : shards(of), pairs(counts) {}

  coca::Coverage classify(const coca::MaskTile& tile) const {
    const coca::Coverage coverage = causal.classify(tile);
    const Index keys = tile.key_end - tile.key_begin;
    // More is what the ring asks about, before it attends; and of a mixed tile the kernel asks again,
    // part by part.
    const bool visited = keys < coca::detail::kTileKeys ? coverage != coca::Coverage::empty
                                                        : coverage == coca::Coverage::full;
    if (visited && keys <= coca::detail::kTileKeys) {
      pairs[step_of(tile.first_key())] +=
          keys * (tile.query_end - tile.query_begin) * (tile.head_end - tile.head_begin);
    }
    return coverage;
  }
  bool visible(const coca::Site& site) const { return causal.visible(site); }

 private:
  std::size_t step_of(Position key) const {
    for (int step = 0;; ++step) {
      for (const auto& [begin, end] : shards.ranges(world().next(-step))) {
        if (begin <= key && key < end) return static_cast<std::size_t>(step);
      }
    }
  }
};

}  // namespace

TEST_CASE("ring attention is the attention of one process", "[ring]") {
  compare_with_one_process<float>(100);
}

TEST_CASE("... in bfloat16 too, with sums in float", "[ring]") {
  compare_with_one_process<Eigen::bfloat16>(200);
}

TEST_CASE("chunks cover the sequence once, and zig-zag ones pair early with late", "[ring]") {
  for (const Index length : {0, 1, 5, 16, 97}) {
    for (int ranks = 1; ranks <= 5; ++ranks) {
      for (const Shards& shards :
           {Shards::contiguous(length, ranks), Shards::zig_zag(length, ranks)}) {
        std::vector<int> owners(static_cast<std::size_t>(length), 0);
        for (int rank = 0; rank < ranks; ++rank) {
          for (const auto& range : shards.ranges(rank)) {
            for (Index n = range.begin; n < range.end; ++n) ++owners[static_cast<std::size_t>(n)];
          }
          CHECK(shards.tokens(rank) <= shards.most_tokens());
        }
        CHECK(owners == std::vector<int>(static_cast<std::size_t>(length), 1));
      }
    }
  }
  const auto middle = Shards::zig_zag(80, 4).ranges(1);
  CHECK(middle[0] == TokenRange{10, 20});
  CHECK(middle[1] == TokenRange{60, 70});
}

TEST_CASE("under a causal mask, zig-zag chunks give every rank the same work in every step",
          "[ring]") {
  constexpr Index chunk = 2 * coca::detail::kTileKeys;
  const int ranks = world().size();
  const Index length = 2 * ranks * chunk;
  const auto pairs_of = [&](const Shards& shards, int rank, int owner) {
    Index pairs = 0;
    for (const auto& queries : shards.ranges(rank)) {
      for (Index m = queries.begin; m < queries.end; ++m) {
        for (const auto& keys : shards.ranges(owner)) {
          pairs += std::clamp<Index>(m + 1 - keys.begin, 0, keys.size());
        }
      }
    }
    return pairs;
  };
  const Shards zig_zag = Shards::zig_zag(length, ranks);
  for (int rank = 0; rank < ranks; ++rank) {
    for (int owner = 0; owner < ranks; ++owner) {
      const Index expected = 2 * chunk * chunk + (owner == rank ? chunk : 0);
      CHECK(pairs_of(zig_zag, rank, owner) == expected);
    }
  }

  // What the kernel computes: all heads' pairs of the tiles that it visits, in each step.
  constexpr Index heads = 2;
  Random random(7);
  const WholeSequence<float> whole({1, length, 1, heads, 8, 8}, true, random);
  const EveryScheme scheme = coca::CocaSlack{coca::Rope({.dim = 8})};
  const auto computed = [&](const Shards& shards) {
    std::vector<long> pairs(static_cast<std::size_t>(ranks), 0);
    Ring<float>(whole, shards, random)
        .run(shards, scheme, counted(AnySloped(CausalByStep{shards, pairs})));
    return pairs;
  };
  const std::vector<long> balanced = computed(zig_zag);
  const std::vector<long> own = of_all_ranks(balanced[0]);
  CHECK(own == std::vector<long>(own.size(), own[0]));
  CHECK(own[0] >= heads * (2 * chunk * chunk + chunk));
  // At the edge, a group of rows and a vector of keys.
  CHECK(own[0] <= heads * (2 * chunk * chunk + 2 * chunk * (coca::detail::kRowGroup + 16)));
  for (std::size_t step = 1; step < balanced.size(); ++step) {
    CHECK(balanced[step] == heads * 2 * chunk * chunk);
  }
  if (ranks > 1) {
    const std::vector<long> others = computed(Shards::contiguous(length, ranks));
    const std::vector<long> all = of_all_ranks(std::accumulate(others.begin(), others.end(), 0L));
    CHECK(all.back() > all.front());
  }
}

TEST_CASE("CoCA sends three quarters of the bytes of standard attention", "[ring]") {
  Random random(11);
  const SequenceSizes sizes{2, 37, 2, 2, 16, 16};
  const coca::Rope rope({.dim = sizes.dim});
  const Shards shards = Shards::zig_zag(sizes.tokens, world().size());
  const auto sent = [&](const EveryScheme& scheme, bool half_width) {
    const WholeSequence<float> whole(sizes, half_width, random);
    return Ring<float>(whole, shards, random)
        .run(shards, scheme, counted(AnySloped(coca::Causal{})));
  };
  const Traffic rotary = sent(coca::Rotary{rope}, false);
  const Traffic slack = sent(coca::CocaSlack{rope}, true);
  const Traffic strict = sent(coca::CocaStrict{rope}, true);

  // The blocks of all ranks go through this one, but that of the next.
  Index tokens = sizes.tokens - shards.tokens(world().next());
  CHECK(rotary.bytes == sizes.batch * tokens * sizes.key_heads * 2 * sizes.dim * 4);
  CHECK(4 * slack.bytes == 3 * rotary.bytes);
  CHECK(4 * strict.bytes == 3 * rotary.bytes);
  CHECK(slack.messages == 2 * (world().size() - 1));
}

TEST_CASE("bits do not depend on when messages arrive", "[ring]") {
  Random random(13);
  const WholeSequence<float> whole({1, 203, 2, 2, 16, 16}, true, random);
  const EveryScheme scheme = coca::CocaSlack{coca::Rope({.dim = 16})};
  const Shards shards = Shards::zig_zag(203, world().size());
  const auto run = [&](int late) {
    Ring<float> ring(whole, shards, random);
    if (world().rank() == late) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    ring.run(shards, scheme, counted(AnySloped(coca::Causal{})));
    return numbers_of(ring.out, ring.lse);
  };
  const std::vector<float> first = run(-1);
  for (int late = 0; late < world().size(); ++late) CHECK(same_bits(run(late), first));
}

TEST_CASE("the ring: the same bits from call to call, and on any number of threads", "[ring]") {
  Random random(19);
  const Index length = 2 * 160 * world().size() + 3;  // chunks that are worth two threads
  const Shards shards = Shards::zig_zag(length, world().size());
  for_some_forms(coca::Rope({.dim = 16}), [&](const auto& form) {
    INFO(form.name);
    const WholeSequence<float> whole({1, length, 2, 2, 16, 16}, form.half_width, random);
    check_same_bits([&](const auto& device) {
      Ring<float> ring(whole, shards, random);
      ring.run(shards, form.scheme, counted(AnySloped(coca::Causal{})), {}, device);
      return numbers_of(ring.out, ring.lse);
    });
  });
}

TEST_CASE("what does not fit is said on every rank, and nothing is written or sent", "[ring]") {
  Random random(17);
  const WholeSequence<float> whole({1, 24, 2, 1, 8, 8}, false, random);
  const Shards shards = Shards::zig_zag(24, world().size());
  Ring<float> ring(whole, shards, random);
  const auto before = ring.out.storage();
  const auto run = [&](const Shards& some, const EveryScheme& scheme,
                       const AttentionOptions& options = {}) {
    ring.run(some, scheme, counted(AnySloped(coca::Causal{})), options);
  };
  CHECK_THROWS_WITH(
      run(Shards::zig_zag(24, world().size() + 1), coca::Dot{}),
      contains("coca: shards.ranks() is ") && contains("(ranks of the communicator)"));
  CHECK_THROWS_WITH(
      run(Shards::zig_zag(240, world().size()), coca::Dot{}),
      contains("coca: q.shape[1] (sequence) is ") && contains("(this rank's tokens)"));
  CHECK_THROWS_AS(run(shards, coca::CocaSlack{coca::Rope({.dim = 8})}), std::invalid_argument);
  CHECK_THROWS_WITH(run(shards, coca::Dot{}, {.first_key = 3}),
                    contains("none: positions follow from the shards"));
  const Eigen::Matrix<bool, 24, 24> seen = Eigen::Matrix<bool, 24, 24>::Constant(true);
  CHECK_THROWS_WITH(
      ring.run(shards, EveryScheme(coca::Dot{}), counted(AnySloped(coca::BooleanMask(seen)))),
      contains("of shape [1, 1, 24, 24], expected"));
  std::byte small[1];
  CHECK_THROWS_WITH(run(shards, coca::Dot{}, {.workspace = small}),
                    contains("coca: options.workspace.size() is 1, expected"));
  CHECK_THROWS_WITH(Shards::zig_zag(-1, 2), "coca: shards.length is -1, expected 0 or more");
  CHECK_THROWS_WITH(Shards::zig_zag(1, 0), "coca: shards.ranks is 0, expected 1 or more");
  CHECK_THROWS_AS(coca::distributed::Communicator(MPI_COMM_NULL), std::invalid_argument);
  CHECK(ring.out.storage() == before);
  CHECK_NOTHROW(run(shards, coca::Dot{}));
}

TEST_CASE("long messages go in pieces, and errors of MPI are exceptions", "[ring]") {
  Traffic traffic;
  std::vector<int> sent(25), come(25, -1);
  for (int i = 0; i < 25; ++i) sent[static_cast<std::size_t>(i)] = 100 * world().rank() + i;
  {
    coca::detail::Transfers transfers(world(), traffic, 16);
    transfers.receive(come.data(), 25, world().next(-1));
    transfers.send(sent.data(), 25, world().next());
    transfers.progress();
    transfers.wait();
  }
  CHECK(traffic.bytes == 100);
  CHECK(traffic.messages == 7);
  for (int i = 0; i < 25; ++i) {
    CHECK(come[static_cast<std::size_t>(i)] == 100 * world().next(-1) + i);
  }
  coca::detail::Transfers transfers(world(), traffic);
  CHECK_THROWS_AS(transfers.send(sent.data(), 1, world().size()), std::runtime_error);
}
