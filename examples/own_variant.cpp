#include <algorithm>
#include <cmath>
#include <coca/coca.hpp>
#include <cstdio>

// An attention of one's own: each part is a struct that hides the hooks it changes. The library
// compiles them into its kernel; nothing of it is touched.

/// Cosine attention (Swin Transformer V2, Liu et al. 2022): queries and keys of length 1.
struct Cosine : coca::SchemeDefaults {
  template <class T>
  static void normalise(std::span<const T> x, std::span<T> y) {
    T squares = 0;
    for (const T value : x) squares += value * value;
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] / std::sqrt(squares);
  }
  template <class T>
  void map_query(std::span<const T> q, const coca::Token&, std::span<T> phi) const {
    normalise(q, phi);
  }
  template <class T>
  void map_key(std::span<const T> k, const coca::Token&, std::span<T> psi) const {
    normalise(k, psi);
  }
};

/// A query sees every `step`-th key before it.
struct Strided : coca::MaskDefaults {
  coca::Position step;
  explicit Strided(coca::Position tokens) : step(tokens) {}
  bool visible(const coca::Site& at) const { return (at.query() - at.key()) % step == 0; }
};

/// Scores fall with the logarithm of the distance.
struct LogDecay {
  template <class T>
  T operator()(T score, const coca::Site& at) const {
    return score - std::log1p(std::abs(static_cast<T>(at.query() - at.key())));
  }
};

int main() {
  const Eigen::MatrixXf q = Eigen::MatrixXf::Random(200, 16);
  const Eigen::MatrixXf k = Eigen::MatrixXf::Random(200, 16);
  const Eigen::MatrixXf v = Eigen::MatrixXf::Random(200, 16);
  Eigen::MatrixXf out(200, 16);
  coca::attention(out, q, k, v, coca::WithLogits(Cosine{}, LogDecay{}), coca::Causal{} & Strided(3),
                  {.scale = 10.0});

  // The same, written out.
  float error = 0.0F;
  for (Eigen::Index m = 0; m < 200; ++m) {
    Eigen::RowVectorXf sum = Eigen::RowVectorXf::Zero(16);
    float total = 0.0F;
    for (Eigen::Index n = m % 3; n <= m; n += 3) {
      const float cosine = q.row(m).normalized().dot(k.row(n).normalized());
      const float weight = std::exp(10.0F * cosine - std::log1p(static_cast<float>(m - n)));
      sum += weight * v.row(n);
      total += weight;
    }
    error = std::max(error, (sum / total - out.row(m)).cwiseAbs().maxCoeff());
  }
  std::printf("largest difference from the plain loops: %.1e\n", static_cast<double>(error));
  return error < 1e-5F ? 0 : 1;
}
