#define EIGEN_USE_THREADS
#include <benchmark/benchmark.h>

#include <array>

#include "coca/kernel/query_rows.hpp"
#include "paired.hpp"
#include "problem.hpp"
#include "program.hpp"

/// Does a sparse mask cost what it leaves; and what do biases, soft-cap and sinks cost.
namespace {

using bench::Index;

/// The share of tiles that a mask leaves, of those that the kernel asks about.
template <class M>
double visited_share(const M& mask, const bench::Shape& shape) {
  const Index rows = coca::detail::kTileRows * shape.key_heads / shape.heads;
  Index visited = 0;
  Index all = 0;
  for (Index query = 0; query < shape.length; query += rows) {
    for (Index key = 0; key < shape.length; key += coca::detail::kTileKeys) {
      const coca::MaskTile tile{.head_end = shape.heads / shape.key_heads,
                                .query_begin = query,
                                .query_end = std::min(query + rows, shape.length),
                                .key_begin = key,
                                .key_end = std::min(key + coca::detail::kTileKeys, shape.length)};
      visited += mask.classify(tile) != coca::Coverage::empty;
      ++all;
    }
  }
  return static_cast<double>(visited) / static_cast<double>(all);
}

/// Counters "ratio", the time under a mask over that of Full, and "share", that of its tiles.
template <class M>
void add_sparse(const std::string& name, const M& mask, const bench::Shape& shape, int threads) {
  const std::string where = shape.name() + "/threads:" + std::to_string(threads);
  bench::add("sparse/pattern:" + name + "/" + where, [=](benchmark::State& state) {
    const bench::Threads pool(threads);
    bench::Problem<float> problem(shape);
    const auto attend = [&](const auto& some) {
      coca::attention(problem.out, problem.q, problem.k, problem.v, coca::Dot{}, some, {},
                      pool.device());
    };
    bench::measure_pair(
        state, [&] { attend(mask); }, [&] { attend(coca::Full{}); });
    state.counters["share"] = visited_share(mask, shape);
  });
}

/// Counter "ratio": the time with something added over that of plain attention.
template <class M>
void add_extra(const std::string& name, const M& mask, const coca::AttentionOptions& options,
               const bench::Shape& shape, int threads) {
  const std::string where = shape.name() + "/threads:" + std::to_string(threads);
  bench::add("extra/what:" + name + "/" + where, [=](benchmark::State& state) {
    const bench::Threads pool(threads);
    bench::Problem<float> problem(shape);
    const std::vector<float> logits(static_cast<std::size_t>(shape.heads), 0.5F);
    coca::AttentionOptions with = options;
    if (name == "sinks") with.sinks = coca::View<const float, 1>(logits.data(), {shape.heads});
    bench::measure_pair(
        state,
        [&] {
          coca::attention(problem.out, problem.q, problem.k, problem.v, coca::Dot{}, mask, with,
                          pool.device());
        },
        [&] { problem.attend(coca::Dot{}, pool.device()); });
  });
}

/// A quarter of the blocks of a causal triangle, the diagonal among them.
coca::BlockSparse quarter_of_blocks(Index length) {
  constexpr Index size = 256;
  std::vector<coca::BlockSparse::Block> blocks;
  for (Index query = 0; query < length / size; ++query) {
    for (Index key = query % 4; key <= query; key += 4) blocks.emplace_back(query, key);
  }
  return {size, std::move(blocks)};
}

void add_rows() {
  const int threads = bench::thread_counts().back();
  const Index length = bench::quick ? 8192 : 32768;
  for (const Index dim : {64, 128}) {
    const bench::Shape shape{length, dim, 1, 1, false};
    using Window = coca::SlidingWindow;
    const coca::Causal causal;
    add_sparse("causal", causal, shape, threads);
    add_sparse("window_1024", causal & Window(1023, 0), shape, threads);
    add_sparse("sinks_and_window_1024", causal & (coca::SinkTokens(4) | Window(1020, 0)), shape,
               threads);
    add_sparse("longformer_512", Window(256, 256) | coca::GlobalTokens({0, 1, 2, 3}), shape,
               threads);
    add_sparse("blocks", quarter_of_blocks(length), shape, threads);
    for (const bool masked : {true, false}) {
      const bench::Shape plain{bench::quick ? 2048 : 4096, dim, 4, 1, masked};
      const auto extra = [&](const std::string& name, const auto& mask,
                             const coca::AttentionOptions& options) {
        add_extra(name, mask, options, plain, threads);
      };
      if (masked) {
        extra("alibi", causal & coca::Alibi(4), {});
        extra("soft_cap", causal, {.soft_cap = 30.0});
        extra("sinks", causal, {});
      } else {
        extra("alibi", coca::Alibi(4), {});
        extra("soft_cap", coca::Full{}, {.soft_cap = 30.0});
        extra("sinks", coca::Full{}, {});
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) { return bench::run(argc, argv, add_rows); }
