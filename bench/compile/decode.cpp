#include HEADER

/// A file with one step of generation.
using Tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;

void generate(Tensor& out, const Tensor& q, const coca::GrowingCache& cache,
              const coca::SequenceId& sequence) {
  coca::decode(out, q, cache, {&sequence, 1}, coca::Dot{}, coca::Causal{});
}
