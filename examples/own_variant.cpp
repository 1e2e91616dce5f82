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

  // For training, what coca::attention_backward asks for: from the gradient of y = x / |x|,
  // dx = (dy - (y . dy) y) / |x|.
  template <class T>
  static void normalise_adjoint(std::span<const T> x, std::span<T> dy, std::span<T> dx) {
    T squares = 0, along = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      squares += x[i] * x[i];
      along += x[i] * dy[i];
    }
    const T length = std::sqrt(squares);
    for (std::size_t i = 0; i < x.size(); ++i) dx[i] = (dy[i] - along / squares * x[i]) / length;
  }
  template <class T>
  void map_query_adjoint(std::span<const T> q, const coca::Token&, std::span<T> dphi,
                         std::span<T> dq) const {
    normalise_adjoint(q, dphi, dq);
  }
  template <class T>
  void map_key_adjoint(std::span<const T> k, const coca::Token&, std::span<T> dpsi,
                       std::span<T> dk) const {
    normalise_adjoint(k, dpsi, dk);
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
  template <class T>
  T derivative(T /*score*/, const coca::Site&) const {
    return T(1);
  }
};

using Matrix = Eigen::MatrixXf;

/// The largest difference from the same in plain loops.
float error_of(const Matrix& out, const Matrix& q, const Matrix& k, const Matrix& v) {
  float error = 0.0F;
  for (Eigen::Index m = 0; m < q.rows(); ++m) {
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
  return error;
}

int main() {
  const Matrix q = Matrix::Random(200, 16), k = Matrix::Random(200, 16),
               v = Matrix::Random(200, 16);
  Matrix out(200, 16);
  Eigen::Tensor<float, 3> lse(1, 1, 200);
  const coca::WithLogits scheme(Cosine{}, LogDecay{});
  const auto mask = coca::Causal{} & Strided(3);
  coca::attention(out, q, k, v, scheme, mask, {.scale = 10.0, .lse = coca::view(lse)});
  const float error = error_of(out, q, k, v);
  std::printf("largest difference from the plain loops: %.1e\n", static_cast<double>(error));

  // A loss of sum(out o dout), and its slope along a random direction: by the gradient, and by the
  // loss on both sides.
  const Matrix dout = Matrix::Random(200, 16), along = Matrix::Random(200, 16);
  Matrix dq(200, 16), dk(200, 16), dv(200, 16);
  coca::attention_backward(dq, dk, dv, dout, q, k, v, out, lse, scheme, mask, {.scale = 10.0});
  const auto loss = [&](float step) {
    const Matrix moved = k + step * along;
    coca::attention(out, q, moved, v, scheme, mask, {.scale = 10.0});
    return out.cast<double>().cwiseProduct(dout.cast<double>()).sum();
  };
  const double slope = dk.cast<double>().cwiseProduct(along.cast<double>()).sum();
  const double measured = (loss(0.01F) - loss(-0.01F)) / 0.02;
  std::printf("slope along a direction of k: %.4f by the gradient, %.4f measured\n", slope,
              measured);
  return error < 1e-5F && std::abs(slope - measured) < 0.01 * std::abs(slope) ? 0 : 1;
}
