#define EIGEN_USE_THREADS
#include <benchmark/benchmark.h>

#include "paired.hpp"
#include "problem.hpp"
#include "program.hpp"

/// How fast is the backward pass, and a whole step of training, in percent of the multiply-adds that the
/// same cores can do.
namespace {

using bench::Index;

/// A call of attention with what training keeps of it, and its gradients.
struct Step {
  bench::Problem<float> problem;
  bench::Tensor<float> dout, dq, dk, dv;
  Eigen::Tensor<float, 3, Eigen::RowMajor> lse;

  explicit Step(const bench::Shape& s)
      : problem(s),
        dout(1, s.length, s.heads, s.dim),
        dq(1, s.length, s.heads, s.dim),
        dk(1, s.length, s.key_heads, s.dim),
        dv(1, s.length, s.key_heads, s.dim),
        lse(1, s.heads, s.length) {
    bench::fill(dout, -1.0F, 4);
  }

  template <class S, class M>
  void forward(const S& scheme, const M& mask, const bench::Device& device) {
    coca::attention(problem.out, problem.q, problem.k, problem.v, scheme, mask,
                    {.lse = coca::view(lse)}, device);
  }
  template <class S, class M>
  void backward(const S& scheme, const M& mask, const bench::Device& device) {
    coca::attention_backward(dq, dk, dv, dout, problem.q, problem.k, problem.v, problem.out, lse,
                             scheme, mask, {}, {}, device);
  }
};

/// The scheme's and mask's types are known when a row is added: one kernel each.
template <class S, class M>
void add_row(const std::string& scheme_name, const S& scheme, const M& mask,
             const bench::Shape& shape, int threads) {
  const auto row = [&](const std::string& work, auto operations, const auto& call) {
    bench::add("backward/work:" + work + "/scheme:" + scheme_name + "/" + shape.name() +
                   "/threads:" + std::to_string(threads),
               [=](benchmark::State& state) {
                 Step step(shape);
                 const bench::Threads pool(threads);
                 step.forward(scheme, mask, pool.device());
                 bench::measure_against_peak<float>(
                     state, [&] { call(step, pool.device()); }, operations, pool.device());
               });
  };
  // Five products where the forward pass has two.
  const double forward = shape.operations();
  row("backward", 2.5 * forward,
      [=](Step& step, const bench::Device& device) { step.backward(scheme, mask, device); });
  row("step", 3.5 * forward, [=](Step& step, const bench::Device& device) {
    step.forward(scheme, mask, device);
    step.backward(scheme, mask, device);
  });
}

void add_rows() {
  const std::vector<Index> lengths =
      bench::quick ? std::vector<Index>{512, 2048} : std::vector<Index>{512, 2048, 8192};
  const std::vector<Index> dims =
      bench::quick ? std::vector<Index>{64, 128} : std::vector<Index>{64, 128, 256};
  for (const int threads : bench::thread_counts()) {
    for (const Index dim : dims) {
      for (const Index group : {1, 4}) {
        for (const Index length : lengths) {
          const Index heads = bench::heads_for(length, group);
          const bench::Shape causal{length, dim, heads, heads / group, true};
          bench::Shape full = causal;
          full.causal = false;
          add_row("dot", coca::Dot{}, coca::Causal{}, causal, threads);
          add_row("dot", coca::Dot{}, coca::Full{}, full, threads);
          if (length != 2048 || group != 1) continue;
          const coca::Rope rope({.dim = dim});
          add_row("rotary", coca::Rotary{rope}, coca::Causal{}, causal, threads);
          add_row("slack", coca::CocaSlack{rope, coca::RawProjection{}}, coca::Causal{}, causal,
                  threads);
          add_row("strict", coca::CocaStrict{rope, coca::RawProjection{}}, coca::Causal{}, causal,
                  threads);
        }
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) { return bench::run(argc, argv, add_rows); }
