#define EIGEN_USE_THREADS
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "paired.hpp"
#include "problem.hpp"
#include "program.hpp"

/// How fast is a step of generation, one query a sequence: against reading the cache once, against
/// rotary attention, and as the context grows to a million tokens.
namespace {

using bench::Index;
using coca::ElementType;

constexpr Index kDim = 128;
constexpr Index kHeads = 32;
constexpr Index kKeyHeads = 8;
constexpr double kKeptFree = 4.0 * (1 << 30);  ///< of memory, for the system

const std::map<ElementType, std::string> kTypes{{ElementType::float32, "float32"},
                                                {ElementType::bfloat16, "bfloat16"},
                                                {ElementType::int8, "int8"}};

/// Queries and results of one type.
template <class T>
struct Queries {
  bench::Tensor<T> q, out;

  explicit Queries(Index count) : q(count, 1, kHeads, kDim), out(count, 1, kHeads, kDim) {
    bench::fill(q, -1.0F, 3);
  }
  static coca::View<T, 4> of(bench::Tensor<T>& x, Index sequence) {
    return {x.data() + sequence * kHeads * kDim, {1, 1, kHeads, kDim}};
  }
};

/// Some sequences of equal length, and a query for each: of bfloat16 if the cache is such, else of
/// float.
class Sequences {
 public:
  Sequences(ElementType type, Index key_dim, Index count)
      : cache_({.key_heads = kKeyHeads, .key_dim = key_dim, .value_dim = kDim, .type = type}),
        ids_(static_cast<std::size_t>(count)),
        k_(count, kBlock, kKeyHeads, key_dim),
        v_(count, kBlock, kKeyHeads, kDim),
        queries_(count),
        narrow_queries_(count) {
    for (coca::SequenceId& id : ids_) id = cache_.add();
    bench::fill(k_, key_dim < kDim ? 0.0F : -1.0F, 1);
    bench::fill(v_, -1.0F, 2);
  }

  /// So many tokens each, the same ones again and again: no time depends on their values.
  void resize(Index length) {
    while (cache_.length(ids_[0]) < length) cache_.append(ids_, k_, v_);
    for (const coca::SequenceId id : ids_) cache_.truncate(id, length);
  }

  /// All sequences in one call, as of a batch.
  template <class S>
  void decode(const S& scheme, const bench::Device& device) {
    with_queries([&](auto& queries) {
      coca::decode(queries.out, queries.q, cache_, ids_, scheme, coca::Causal{}, {}, device);
    });
  }
  /// One after another, as of the layers of a model.
  template <class S>
  void decode_in_turn(const S& scheme, const bench::Device& device) {
    with_queries([&](auto& queries) {
      for (std::size_t i = 0; i < ids_.size(); ++i) {
        const auto sequence = static_cast<Index>(i);
        coca::decode(queries.of(queries.out, sequence), queries.of(queries.q, sequence), cache_,
                     {&ids_[i], 1}, scheme, coca::Causal{}, {}, device);
      }
    });
  }

  /// Bytes of all tokens: what a step has to read.
  double bytes() const {
    const Index tokens = cache_.length(ids_[0]) * static_cast<Index>(ids_.size());
    return static_cast<double>(tokens * cache_.token_bytes());
  }

 private:
  static constexpr Index kBlock = 1024;

  template <class Use>
  void with_queries(const Use& use) {
    if (cache_.layout().type == ElementType::bfloat16) {
      use(narrow_queries_);
    } else {
      use(queries_);
    }
  }

  coca::PagedCache cache_;
  std::vector<coca::SequenceId> ids_;
  bench::Tensor<float> k_, v_;
  Queries<float> queries_;
  Queries<Eigen::bfloat16> narrow_queries_;
};

/// Sequences from one row to the next: to fill a cache takes longer than to measure it. Rows that
/// follow each other have the type and the number of sequences in common, and grow.
class Kept {
 public:
  Sequences& get(ElementType type, Index key_dim, Index count, Index length) {
    if (type != type_ || count != count_) sequences_.clear();
    type_ = type;
    count_ = count;
    auto& kept = sequences_[key_dim];
    if (!kept) kept = std::make_unique<Sequences>(type, key_dim, count);
    kept->resize(length);
    return *kept;
  }
  /// Forgets those with keys of another width.
  void keep_only(Index key_dim) {
    std::erase_if(sequences_, [&](const auto& each) { return each.first != key_dim; });
  }

 private:
  ElementType type_{};
  Index count_ = 0;
  std::map<Index, std::unique_ptr<Sequences>> sequences_;
};
Kept kept;

struct Place {
  ElementType type;
  Index batch;
  Index length;
  int threads;

  template <class S>
  Sequences& sequences(const S& scheme) const {
    return kept.get(type, scheme.key_dim(kDim), batch, length);
  }
};

coca::Rope rope() { return coca::Rope({.dim = kDim}); }

void add_place(const std::string& kind, const std::string& scheme, const Place& place,
               const std::string& counted, const std::function<void(benchmark::State&)>& measure) {
  bench::add(kind + "/scheme:" + scheme + "/type:" + kTypes.at(place.type) + "/" + counted + ":" +
                 std::to_string(place.batch) + "/length:" + std::to_string(place.length) +
                 "/threads:" + std::to_string(place.threads),
             measure);
}

/// Counter "percent": of reading as many bytes.
template <class S>
void add_decode(const std::string& name, const S& scheme, const Place& place) {
  add_place("decode", name, place, "batch", [=](benchmark::State& state) {
    const bench::Threads pool(place.threads);
    Sequences& mine = place.sequences(scheme);
    bench::measure_against_bandwidth(
        state, [&] { mine.decode(scheme, pool.device()); }, mine.bytes(), pool.device());
  });
}

/// Counter "ratio": the scheme's time over that of Rotary.
template <class S>
void add_ratio(const std::string& name, const S& scheme, const Place& place) {
  add_place("ratio", name, place, "batch", [=](benchmark::State& state) {
    const bench::Threads pool(place.threads);
    const coca::Rotary rotary{rope()};
    Sequences& mine = place.sequences(scheme);
    Sequences& base = place.sequences(rotary);
    bench::measure_pair(
        state, [&] { mine.decode(scheme, pool.device()); },
        [&] { base.decode(rotary, pool.device()); });
  });
}

/// Counter "percent", of a step through all layers.
template <class S>
void add_context(const std::string& name, const S& scheme, const Place& place) {
  add_place("context", name, place, "layers", [=](benchmark::State& state) {
    const bench::Threads pool(place.threads);
    kept.keep_only(scheme.key_dim(kDim));
    Sequences& mine = place.sequences(scheme);
    bench::measure_against_bandwidth(
        state, [&] { mine.decode_in_turn(scheme, pool.device()); }, mine.bytes(), pool.device());
  });
}

/// How many layers of rotary attention there is memory for.
Index layers_for(ElementType type, Index length) {
  const coca::PagedCache cache(
      {.key_heads = kKeyHeads, .key_dim = kDim, .value_dim = kDim, .type = type});
  const double memory =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  return static_cast<Index>((memory - kKeptFree) /
                            static_cast<double>(length * cache.token_bytes()));
}

void add_rows() {
  using Lengths = std::vector<Index>;
  const std::vector<int> counts =
      bench::quick ? std::vector{bench::thread_counts().back()} : bench::thread_counts();
  for (const auto& [type, name] : kTypes) {
    for (const Index batch : bench::quick ? Lengths{1} : Lengths{1, 8}) {
      Lengths lengths = bench::quick ? Lengths{4096, 16384} : Lengths{1024, 4096, 16384, 65536};
      if (!bench::quick && batch == 1) lengths.push_back(262144);
      for (const Index length : lengths) {
        for (const int threads : counts) {
          const Place place{type, batch, length, threads};
          add_decode("rotary", coca::Rotary{rope()}, place);
          add_decode("slack", coca::CocaSlack{rope()}, place);
          add_ratio("slack", coca::CocaSlack{rope()}, place);
          if (bench::quick) continue;
          add_decode("dot", coca::Dot{}, place);
          add_decode("strict", coca::CocaStrict{rope()}, place);
          add_ratio("strict", coca::CocaStrict{rope()}, place);
        }
      }
    }
  }
  if (bench::quick) return;
  constexpr Index longest = 1 << 20;
  const Index layers = layers_for(ElementType::int8, longest);
  const auto add_lengths = [&](const std::string& name, const auto& scheme) {
    for (const Index length : {longest / 16, longest / 4, longest}) {
      add_context(name, scheme, {ElementType::int8, layers, length, counts.back()});
    }
  };
  if (layers > 0) {
    add_lengths("rotary", coca::Rotary{rope()});
    add_lengths("slack", coca::CocaSlack{rope()});
  }
}

}  // namespace

int main(int argc, char** argv) { return bench::run(argc, argv, add_rows); }
