#include "coca/kernel/forward_plan.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"

/// How calls are cut into items.
namespace {

using namespace coca::detail;
using coca::AttentionShape;
using coca::Index;
using coca::SequenceStarts;

struct Cut {
  std::vector<Index> order;
  std::vector<ForwardItem> items;
  Index rows_per_block;
  int workers;

  Cut(const Sequences& sequences, const AttentionShape& shape, int threads)
      : rows_per_block(0), workers(0) {
    const ForwardWidths widths(tile_engine<float>(coca::target()), shape, shape.query_dim,
                               shape.query_dim);
    ForwardPlan plan(sequences, shape, widths, ForwardBuffers<float>::most_rows(widths), threads,
                     threads);
    order.resize(static_cast<std::size_t>(plan.order_size()));
    plan.order(order.data());
    for (Index i = 0; i < plan.items(); ++i) items.push_back(plan.item(i));
    rows_per_block = plan.rows_per_block();
    workers = plan.workers();
  }

  /// The longest any worker is busy, as a share of the average, if each takes the next item when it
  /// is done with one, and work is the number of visible pairs.
  double imbalance(bool causal, Index group) const {
    std::vector<double> busy(static_cast<std::size_t>(workers), 0.0);
    for (const ForwardItem& item : items) {
      double pairs = 0.0;
      for (Index row = item.begin; row < item.end; ++row) {
        const Index visible = item.sequence.query_offset + row / group + 1;
        pairs += static_cast<double>(causal ? visible : item.sequence.keys);
      }
      *std::min_element(busy.begin(), busy.end()) += pairs;
    }
    const double all = std::accumulate(busy.begin(), busy.end(), 0.0);
    return *std::max_element(busy.begin(), busy.end()) * static_cast<double>(workers) / all;
  }
};

AttentionShape shape_of(Index query_heads, Index key_heads, Index dim) {
  return {.query_heads = query_heads, .key_heads = key_heads, .query_dim = dim, .value_dim = dim};
}

}  // namespace

TEST_CASE("every row is in one item", "[kernel]") {
  test::Random random(111);
  for (int round = 0; round < 200; ++round) {
    const Index key_heads = random.integer(1, 4);
    const Index group = random.integer(1, 5);
    const Index count = random.integer(1, 6);
    std::vector<std::int64_t> starts{0};
    for (Index s = 0; s < count; ++s) starts.push_back(starts.back() + random.integer(0, 3000));
    const SequenceStarts view(starts);
    const Sequences sequences{.count = count, .query_starts = &view, .key_starts = &view};
    const Cut cut(sequences, shape_of(key_heads * group, key_heads, 2 * random.integer(4, 200)),
                  static_cast<int>(random.integer(1, 5)));
    std::vector<std::vector<int>> seen;
    for (Index s = 0; s < count; ++s) {
      seen.emplace_back(static_cast<std::size_t>(sequences(s).queries * group * key_heads), 0);
    }
    for (const ForwardItem& item : cut.items) {
      REQUIRE(item.end - item.begin <= cut.rows_per_block);
      REQUIRE(item.begin < item.end);
      REQUIRE(item.begin % kRowGroup == 0);  // so that the same rows are a group in any cut
      const Index rows = item.sequence.queries * group;
      for (Index row = item.begin; row < item.end; ++row) {
        ++seen[static_cast<std::size_t>(item.sequence.index)]
              [static_cast<std::size_t>(item.key_head * rows + row)];
      }
    }
    for (const auto& rows : seen) {
      CHECK(std::all_of(rows.begin(), rows.end(), [](int times) { return times == 1; }));
    }
  }
}

TEST_CASE("long calls keep all workers busy to the end", "[kernel]") {
  for (const int threads : {2, 4, 8}) {
    for (const Index group : {1, 4, 8}) {
      for (const Index length : {2048, 8192, 32768}) {
        const Sequences sequences{.count = 1, .queries = length, .keys = length};
        const Cut cut(sequences, shape_of(8, 8 / group, 128), threads);
        INFO(threads << " threads, group " << group << ", length " << length);
        CHECK(cut.workers == threads);
        CHECK(cut.imbalance(false, group) < 1.04);
        CHECK(cut.imbalance(true, group) < 1.04);
      }
    }
  }
}

TEST_CASE("ragged sequences keep all workers busy too", "[kernel]") {
  std::vector<std::int32_t> starts{0};
  for (const std::int32_t length : {17, 900, 33, 4096, 250, 2, 1800, 700}) {
    starts.push_back(starts.back() + length);
  }
  const SequenceStarts view(starts);
  const Sequences sequences{.count = 8, .query_starts = &view, .key_starts = &view};
  for (const int threads : {2, 4}) {
    const Cut cut(sequences, shape_of(8, 2, 64), threads);
    CHECK(cut.imbalance(false, 4) < 1.08);
    CHECK(cut.imbalance(true, 4) < 1.08);
  }
}

TEST_CASE("more than 2^31 rows and items, with the right ones at the ends", "[kernel]") {
  constexpr Index kMany = Index{1} << 33;
  constexpr Index kHeads = 3, kGroup = 2;
  const auto check = [](const Sequences& sequences, const AttentionShape& shape,
                        const auto& check_plan) {
    const ForwardWidths widths(tile_engine<float>(coca::target()), shape, shape.query_dim,
                               shape.query_dim);
    ForwardPlan plan(sequences, shape, widths, ForwardBuffers<float>::most_rows(widths), 4, 4);
    std::vector<Index> order(static_cast<std::size_t>(plan.order_size()));
    plan.order(order.data());
    check_plan(plan);
  };
  const auto check_item = [](const ForwardItem& item, Index sequence, Index key_head, Index begin,
                             Index end) {
    CHECK(item.sequence.index == sequence);
    CHECK(item.key_head == key_head);
    CHECK(item.begin == begin);
    CHECK(item.end == end);
  };
  const AttentionShape grouped = shape_of(kHeads * kGroup, kHeads, 64);

  // One sequence, cut into many blocks, of which the last comes first.
  check({.count = 1, .queries = kMany, .keys = kMany}, grouped, [&](const ForwardPlan& plan) {
    const Index last = plan.items() - 1;
    check_item(plan.item(0), 0, 0, plan.item(kHeads).end, kGroup * kMany);
    check_item(plan.item(last), 0, kHeads - 1, 0, plan.item(last - kHeads).begin);
    for (Index i = 0; i + kHeads <= last; i += last / 100) {
      CHECK(plan.item(i).begin == plan.item(i + kHeads).end);
    }
  });
  // Many sequences of one query, with many heads.
  constexpr Index kSequences = Index{1} << 20, kManyHeads = Index{1} << 12;
  check({.count = kSequences, .queries = 1, .keys = 1}, shape_of(kManyHeads, kManyHeads, 64),
        [&](const ForwardPlan& plan) {
          REQUIRE(plan.items() == kSequences * kManyHeads);
          check_item(plan.item(0), 0, 0, 0, 1);
          check_item(plan.item(Index{1} << 31), kSequences / 2, 0, 0, 1);
          check_item(plan.item(plan.items() - 1), kSequences - 1, kManyHeads - 1, 0, 1);
        });
  // Packed ones, the longest of which comes first.
  const std::vector<std::int64_t> starts{0, 5, 5 + kMany, 5 + kMany + 7};
  const SequenceStarts view(starts);
  check({.count = 3, .query_starts = &view, .key_starts = &view}, grouped,
        [&](const ForwardPlan& plan) {
          const Index last = plan.items() - 1;
          check_item(plan.item(0), 1, 0, plan.item(kHeads).end, kGroup * kMany);
          check_item(plan.item(last - kHeads), 2, kHeads - 1, 0, kGroup * 7);
          CHECK(plan.item(last - kHeads).sequence.first_query == 5 + kMany);
          check_item(plan.item(last), 0, kHeads - 1, 0, kGroup * 5);
        });
}

TEST_CASE("a small call is not worth a second thread", "[kernel]") {
  const AttentionShape shape = shape_of(4, 4, 64);
  CHECK(Cut({.count = 1, .queries = 16, .keys = 16}, shape, 8).workers == 1);
  CHECK(Cut({.count = 1, .queries = 4096, .keys = 4096}, shape, 8).workers == 8);
  CHECK(Cut({.count = 0}, shape, 8).items.empty());
}
