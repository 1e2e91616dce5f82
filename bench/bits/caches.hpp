#pragma once

#include <span>
#include <vector>

#include "call.hpp"
#include "forward.hpp"

/// Caches, and calls of decode and packed_decode.
namespace bits {

/// Some sequences in a cache that has been used for a while.
template <class Cache, class Number>
class Sequences {
 public:
  [[gnu::noinline]] Sequences(Cache& cache, const coca::CacheOptions& options, bool negative_keys,
                              Random& choose)
      : cache_(cache), options_(options), negative_keys_(negative_keys), choose_(choose) {
    const Index count = choose.integer(1, 3);
    const bool is_long = choose.one_in(80);
    for (Index i = 0; i < count; ++i) {
      const coca::SequenceId id = cache.add();
      append(id, choose.integer(1, 150));
      if (is_long && i == 0) append(id, 4200);
      ids_.push_back(id);
    }
    if (choose.one_in(2)) {
      const coca::SequenceId fork = cache.fork(ids_.front());
      append(fork, choose.integer(0, 40));
      ids_.push_back(fork);
    }
    if (choose.one_in(2)) {
      const coca::SequenceId last = ids_.back();
      cache.truncate(last, choose.integer(0, cache.length(last)));
      append(last, choose.integer(1, 30));
    }
    if (choose.one_in(3)) {
      cache.drop(ids_.front());
      ids_.erase(ids_.begin());
      ids_.push_back(cache.add());
      append(ids_.back(), choose.integer(1, 60));
    }
  }

  std::span<const coca::SequenceId> ids() const { return ids_; }
  Index count() const { return static_cast<Index>(ids_.size()); }
  Index length(Index i) const { return cache_.length(ids_[static_cast<std::size_t>(i)]); }
  Index shortest() const {
    Index result = length(0);
    for (Index i = 1; i < count(); ++i) result = std::min(result, length(i));
    return result;
  }
  Index longest() const {
    Index result = 0;
    for (Index i = 0; i < count(); ++i) result = std::max(result, length(i));
    return result;
  }
  /// What is stored, as it is read back.
  [[gnu::noinline]] void add_to(Hash& hash) {
    for (const coca::SequenceId id : ids_) {
      const Index tokens = cache_.length(id);
      Tensor<Number> k({1, tokens, options_.key_heads, options_.key_dim}, choose_, false);
      Tensor<Number> v({1, tokens, options_.key_heads, options_.value_dim}, choose_, false);
      cache_.read(id, k.packed(), v.packed());
      k.add_to(hash);
      v.add_to(hash);
    }
  }

 private:
  void append(coca::SequenceId id, Index tokens) {
    const bool any_layout = choose_.one_in(2);
    Tensor<Number> k({1, tokens, options_.key_heads, options_.key_dim}, choose_, any_layout);
    Tensor<Number> v({1, tokens, options_.key_heads, options_.value_dim}, choose_, any_layout);
    k.fill(choose_, 1.0F, negative_keys_);
    v.fill(choose_, 1.0F);
    if (choose_.one_in(40)) v.poison(choose_);
    cache_.append(id, k.packed(), v.packed());
  }

  Cache& cache_;
  coca::CacheOptions options_;
  bool negative_keys_;
  Random& choose_;
  std::vector<coca::SequenceId> ids_;
};

/// Calls use(cache) with a cache of some kind.
template <class Use>
void with_cache(Random& choose, const coca::CacheOptions& options, const Use& use) {
  switch (choose.integer(0, 2)) {
    case 0: {
      coca::GrowingCache cache(options);
      // As what it is made from, so that calls are compiled for two types of caches only.
      return use(static_cast<coca::PagedCache&>(cache));
    }
    case 1: {
      coca::PageOptions pages;
      pages.page_tokens = choose.pick<Index>({16, 48, 128});
      coca::PagedCache cache(options, pages);
      return use(cache);
    }
    default: {
      coca::RollingOptions rolling;
      rolling.sinks = choose.integer(0, 20);
      rolling.window = choose.integer(1, 200);
      coca::RollingCache cache(options, rolling);
      return use(cache);
    }
  }
}

/// Q: the type of queries; Out: of results; `stored`: of keys and values.
template <class S, class M, class Q, class Out, bool Packed>
void decode(Call& call, coca::ElementType stored) {
  Random& choose = call.choose;
  Sizes sizes(choose);
  using Number = std::conditional_t<std::is_same_v<Q, double>, double, float>;
  const bool few = !choose.one_in(5);
  // Only positions by MultiRope depend on the number of sequences, and of those there is none here.
  const auto made = Maker<S>::make(choose, sizes.dim, 1);
  coca::CacheOptions options;
  options.key_heads = sizes.key_heads;
  options.key_dim = made.key_dim;
  options.value_dim = sizes.value_dim;
  options.type = stored;
  with_cache(choose, options, [&](auto& cache) {
    Sequences<std::remove_cvref_t<decltype(cache)>, Number> sequences(
        cache, options, made.key_dim >= sizes.dim, choose);
    std::vector<Index> queries;
    const Index most = few ? choose.pick<Index>({1, 1, 4}) : choose.integer(10, 80);
    Index longest = Packed ? 0 : std::min(sequences.shortest(), choose.integer(1, most));
    for (Index i = 0; Packed && i < sequences.count(); ++i) {
      queries.push_back(std::min(sequences.length(i), choose.integer(0, most)));
      longest = std::max(longest, queries.back());
    }
    const auto starts = starts_of<std::int64_t>(queries);
    sizes.batch = Packed ? 1 : sequences.count();
    sizes.queries = Packed ? starts.back() : longest;
    MaskMaker masks(choose, {sequences.count(), sizes.heads(), longest, sequences.longest()});
    const M mask = masks.template make<M>();
    Options more(choose);
    if (!Packed) more.choose_places();
    more.choose_sinks(sizes.heads());
    more.choose_lse(sizes.batch, sizes.heads(), sizes.queries);
    const bool any_layout = choose.one_in(2);
    Tensor<Q> q({sizes.batch, sizes.queries, sizes.heads(), sizes.dim}, choose, any_layout);
    Tensor<Out> out({sizes.batch, sizes.queries, sizes.heads(), sizes.value_dim}, choose,
                    any_layout);
    q.fill(choose, choose.pick({1.0F, 4.0F}));
    if (choose.one_in(12)) q.poison(choose);
    call.run([&] {
      if constexpr (Packed) {
        coca::packed_decode(out.packed(), q.packed(), starts, cache, sequences.ids(), made.scheme,
                            mask, more.options, more.device());
      } else {
        coca::decode(out.view(), q.view(), cache, sequences.ids(), made.scheme, mask, more.options,
                     more.device());
      }
    });
    out.add_to(call.hash);
    more.add_to(call.hash);
    sequences.add_to(call.hash);
  });
}

}  // namespace bits
