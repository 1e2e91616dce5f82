#define EIGEN_USE_THREADS  // Eigen's own switch for its thread pool device
#include <coca/coca.hpp>
#include <cstdio>

int main() {
  // [batch, sequence, heads, head_dim]; four query heads share each of the two key heads. CoCA's
  // key operand t is half a key: head_dim/2 numbers a token, not negative.
  using Tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;
  const Eigen::Index batch = 1, length = 1024, heads = 8, key_heads = 2, head_dim = 64;
  Tensor q(batch, length, heads, head_dim);
  Tensor t(batch, length, key_heads, head_dim / 2);
  Tensor v(batch, length, key_heads, head_dim);
  Tensor out(batch, length, heads, head_dim);
  q.setRandom<Eigen::internal::NormalRandomGenerator<float>>();
  t.setRandom();
  v.setRandom();

  const coca::Rope rope({.dim = head_dim, .base = 10000.0});
  coca::attention(out, q, t, v, coca::CocaSlack{rope}, coca::Causal{});

  // The same on two threads, with a sliding window and the log-sum-exp of every row.
  Eigen::ThreadPool pool(2);
  Eigen::ThreadPoolDevice device(&pool, 2);
  Eigen::Tensor<float, 3, Eigen::RowMajor> lse(batch, heads, length);
  Tensor local(batch, length, heads, head_dim);
  coca::attention(local, q, t, v, coca::CocaSlack{rope},
                  coca::Causal{} & coca::SlidingWindow(255, 0), {.lse = coca::view(lse)}, device);

  std::printf("last token, head 0: causal %+.6f, within 256 tokens %+.6f (lse %.6f)\n",
              static_cast<double>(out(0, length - 1, 0, 0)),
              static_cast<double>(local(0, length - 1, 0, 0)),
              static_cast<double>(lse(0, 0, length - 1)));
}
