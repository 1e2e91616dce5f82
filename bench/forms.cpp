#define EIGEN_USE_THREADS
#include <benchmark/benchmark.h>

#include "paired.hpp"
#include "plain.hpp"
#include "problem.hpp"
#include "program.hpp"

/// What memory and time do the forms take as the sequence grows: strict by definition, strict
/// factored, slack, and standard attention in plain steps and fused. One head, no mask, one thread.
namespace {

using bench::Index;
using bench::Shape;

// Above this a form is not run; its bytes are still told.
double most_bytes() { return bench::quick ? 0.3e9 : 2.2e9; }

/// Counters "bytes", of work memory, and "run", whether there is also a time. "difference" is the
/// largest one to what the library computes, where a form has its own way to the same result.
template <class Call>
void measure(benchmark::State& state, double bytes, const Call& call) {
  state.counters["bytes"] = bytes;
  const bool run = bytes <= most_bytes();
  state.counters["run"] = run;
  if (run) {
    bench::measure_alone(state, call);
  } else {
    for (auto _ : state) state.SetIterationTime(0.0);
  }
}

template <class S>
void fused(benchmark::State& state, const Shape& shape, const S& scheme) {
  const bench::Threads one(1);
  bench::Problem<float> p(shape, scheme.key_dim(shape.dim));
  const auto bytes = coca::workspace_bytes(p.q, p.k, p.v, scheme, one.device());
  measure(state, static_cast<double>(bytes), [&] { p.attend(scheme, one.device()); });
}

template <class S, class Plain>
void in_plain_steps(benchmark::State& state, const Shape& shape, const S& scheme, double bytes,
                    const Plain& plain) {
  const bench::Threads one(1);
  bench::Problem<float> p(shape, scheme.key_dim(shape.dim));
  measure(state, bytes, [&] { plain(p); });
  if (bytes > most_bytes()) return;
  const bench::Tensor<float> result = p.out;
  p.attend(scheme, one.device());
  const Eigen::Tensor<float, 0, Eigen::RowMajor> difference = (result - p.out).abs().maximum();
  state.counters["difference"] = static_cast<double>(difference());
}

void add_length(Index length) {
  const Shape shape{length, 64, 1, 1, false};
  const auto add = [&](const std::string& form, const auto& run) {
    bench::add("forms/form:" + form + "/" + shape.name(), run);
  };
  const auto rope = [=] { return coca::Rope({.dim = shape.dim}); };
  add("strict_by_definition", [=](benchmark::State& state) {
    in_plain_steps(state, shape, coca::CocaStrict{rope()},
                   bench::plain::StrictByDefinition::bytes(shape),
                   bench::plain::StrictByDefinition(rope(), length));
  });
  add("standard_in_plain_steps", [=](benchmark::State& state) {
    in_plain_steps(state, shape, coca::Dot{}, bench::plain::standard_bytes(shape),
                   bench::plain::standard);
  });
  add("strict", [=](benchmark::State& state) { fused(state, shape, coca::CocaStrict{rope()}); });
  add("slack", [=](benchmark::State& state) { fused(state, shape, coca::CocaSlack{rope()}); });
  add("standard", [=](benchmark::State& state) { fused(state, shape, coca::Dot{}); });
}

void add_rows() {
  for (Index length = 128; length <= (bench::quick ? 4096 : 32768); length *= 2) add_length(length);
}

}  // namespace

int main(int argc, char** argv) { return bench::run(argc, argv, add_rows); }
