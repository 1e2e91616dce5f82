#define EIGEN_USE_THREADS
#include <benchmark/benchmark.h>

#include "paired.hpp"
#include "problem.hpp"
#include "program.hpp"

/// What does a scheme cost over plain dot products; and does it pay to rotate the tensors oneself.
namespace {

using bench::Index;

/// Counter "ratio": the scheme's time over that of Dot on tensors of the same shape.
template <class S>
void against_dot(benchmark::State& state, const S& scheme, const bench::Shape& shape, int threads) {
  const bench::Threads pool(threads);
  bench::Problem<float> problem(shape, scheme.key_dim(shape.dim)), plain(shape);
  bench::measure_pair(
      state, [&] { problem.attend(scheme, pool.device()); },
      [&] { plain.attend(coca::Dot{}, pool.device()); });
}

/// Counter "ratio": rotating q and k into copies and attending to those, over the scheme Rotary.
void rotate_then_attend(benchmark::State& state, const coca::Rope& rope, const bench::Shape& shape,
                        int threads) {
  const bench::Threads pool(threads);
  bench::Problem<float> problem(shape), turned(shape);
  bench::measure_pair(
      state,
      [&] {
        coca::rotate(turned.q, problem.q, rope, {}, pool.device());
        coca::rotate(turned.k, problem.k, rope, {}, pool.device());
        turned.attend(coca::Dot{}, pool.device());
      },
      [&] { problem.attend(coca::Rotary{rope}, pool.device()); });
}

void add_shape(const bench::Shape& shape, int threads) {
  const auto add = [&](const std::string& scheme, const auto& measure) {
    const std::string where = shape.name() + "/threads:" + std::to_string(threads);
    bench::add("schemes/scheme:" + scheme + "/" + where,
               [=](benchmark::State& state) { measure(state, coca::Rope({.dim = shape.dim})); });
  };
  add("rotary", [=](benchmark::State& state, const coca::Rope& rope) {
    against_dot(state, coca::Rotary{rope}, shape, threads);
  });
  add("strict", [=](benchmark::State& state, const coca::Rope& rope) {
    against_dot(state, coca::CocaStrict{rope}, shape, threads);
  });
  add("slack", [=](benchmark::State& state, const coca::Rope& rope) {
    against_dot(state, coca::CocaSlack{rope}, shape, threads);
  });
  add("constrained", [=](benchmark::State& state, const coca::Rope& rope) {
    against_dot(state, coca::CocaConstrained{rope}, shape, threads);
  });
  add("rotate_then_attend", [=](benchmark::State& state, const coca::Rope& rope) {
    rotate_then_attend(state, rope, shape, threads);
  });
}

void add_rows() {
  using Lengths = std::vector<Index>;
  for (const int threads : bench::thread_counts()) {
    if (bench::quick && threads > 1) continue;
    for (const Index dim : {64, 128}) {
      for (const bool causal : {true, false}) {
        for (const Index length : bench::quick ? Lengths{2048} : Lengths{512, 2048, 8192}) {
          add_shape({length, dim, 4, 1, causal}, threads);
        }
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) { return bench::run(argc, argv, add_rows); }
