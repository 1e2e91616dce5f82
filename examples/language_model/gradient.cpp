#include "language_model/gradient.hpp"

#include <cmath>

namespace language_model {
namespace {

/// What the way back needs of an RMS norm.
struct Norm {
  Matrix x;
  Eigen::VectorXf factors;  ///< 1 / sqrt(mean of x^2 + epsilon), a row
  Matrix y;
};

Norm norm(const Matrix& x, const Matrix& gain) {
  const Eigen::VectorXf mean_squares = x.rowwise().squaredNorm() / static_cast<float>(x.cols());
  Norm norm{x, (mean_squares.array() + kNormEpsilon).rsqrt(), {}};
  norm.y = norm.factors.asDiagonal() * x * gain.row(0).asDiagonal();
  return norm;
}

/// dx of a norm, and its gain's gradient.
Matrix norm_backward(const Norm& norm, const Matrix& gain, const Matrix& dy, Matrix& dgain) {
  const Matrix normal = norm.factors.asDiagonal() * norm.x;
  dgain += dy.cwiseProduct(normal).colwise().sum();
  const Matrix dnormal = dy * gain.row(0).asDiagonal();
  const Eigen::VectorXf means =
      dnormal.cwiseProduct(normal).rowwise().sum() / static_cast<float>(dy.cols());
  return norm.factors.asDiagonal() * (dnormal - means.asDiagonal() * normal);
}

/// dx of y = x W^T, and the gradient of W.
Matrix linear_backward(const Matrix& x, const Matrix& weight, const Matrix& dy, Matrix& dweight) {
  dweight.noalias() += dy.transpose() * x;
  return dy * weight;
}

Matrix collinear_key_backward(const Matrix& x, const Matrix& dt, Index heads) {
  const Index half = x.cols() / heads / 2;
  Matrix dx(x.rows(), x.cols());
  for (Index h = 0; h < heads; ++h) {
    const auto first = x.middleCols(2 * h * half, half);
    const auto second = x.middleCols((2 * h + 1) * half, half);
    const Matrix d =
        ((first + second).array() > 0.0F).select(dt.middleCols(h * half, half) / 2.0F, 0.0F);
    dx.middleCols(2 * h * half, half) = d;
    dx.middleCols((2 * h + 1) * half, half) = d;
  }
  return dx;
}

/// What the way back needs of a block.
struct Trace {
  Norm attention_norm, feed_forward_norm;
  Matrix query, raw_key, key, value, attended;
  Eigen::Tensor<float, 3, Eigen::RowMajor> lse;  ///< [sequences, heads, length]
  Matrix gate, up, product;
};

/// Forward and back through a batch.
class Pass {
 public:
  Pass(const Model& model, const Batch& batch, Parameters& gradient)
      : config_(model.config),
        parameters_(model.parameters),
        batch_(batch),
        gradient_(gradient),
        scheme_(make_scheme(config_.scheme,
                            coca::Rope({.dim = config_.head_dim, .base = config_.base}))) {}

  double run(double weight) {
    Matrix x(static_cast<Index>(batch_.inputs.size()), config_.width());
    for (Index n = 0; n < x.rows(); n += batch_.length) {
      x.middleRows(n, batch_.length) = embed(parameters_, sequence(n));
    }
    std::vector<Trace> traces;
    for (const Block& block : parameters_.blocks) traces.push_back(forward(block, x));
    const Norm last = norm(x, parameters_.norm);
    Matrix logits = last.y * parameters_.embedding.transpose();
    const double loss = weight * cross_entropy(logits, static_cast<float>(weight));

    // `logits` holds its gradient now.
    Matrix dx =
        norm_backward(last, parameters_.norm,
                      linear_backward(last.y, parameters_.embedding, logits, gradient_.embedding),
                      gradient_.norm);
    for (std::size_t i = traces.size(); i-- > 0;) {
      backward(parameters_.blocks[i], traces[i], gradient_.blocks[i], dx);
    }
    for (Index n = 0; n < dx.rows(); n += batch_.length) add_embedding_gradient(n, dx);
    return loss;
  }

 private:
  /// The inputs of the sequence whose first is `n`.
  std::span<const Byte> sequence(Index n) const {
    return std::span(batch_.inputs)
        .subspan(static_cast<std::size_t>(n), static_cast<std::size_t>(batch_.length));
  }
  void add_embedding_gradient(Index n, const Matrix& dx) {
    Byte before = kBeforeText;
    for (const Byte byte : sequence(n)) {
      gradient_.embedding.row(byte) += dx.row(n);
      gradient_.previous.row(before) += dx.row(n);
      before = byte;
      ++n;
    }
  }

  template <class M>
  auto heads_of(M& x) const {
    return layers::with_heads(x, batch_.sequences(), config_.heads);
  }

  Trace forward(const Block& block, Matrix& x) const {
    Trace trace;
    trace.attention_norm = norm(x, block.attention_norm);
    const Matrix& y = trace.attention_norm.y;
    trace.query = y * block.query.transpose();
    trace.raw_key = y * block.key.transpose();
    trace.key = config_.collinear() ? collinear_key(trace.raw_key, config_.heads) : trace.raw_key;
    trace.value = y * block.value.transpose();
    trace.attended.resize(x.rows(), x.cols());
    trace.lse.resize(batch_.sequences(), config_.heads, batch_.length);
    coca::attention(heads_of(trace.attended), heads_of(trace.query), heads_of(trace.key),
                    heads_of(trace.value), scheme_, coca::Causal{}, {.lse = coca::view(trace.lse)});
    x += trace.attended * block.output.transpose();

    trace.feed_forward_norm = norm(x, block.feed_forward_norm);
    trace.gate = trace.feed_forward_norm.y * block.gate.transpose();
    trace.up = trace.feed_forward_norm.y * block.up.transpose();
    trace.product = swiglu(trace.gate, trace.up);
    x += trace.product * block.down.transpose();
    return trace;
  }

  /// dx by the block's output becomes dx by its input.
  void backward(const Block& block, const Trace& trace, Block& gradient, Matrix& dx) const {
    const Matrix dproduct = linear_backward(trace.product, block.down, dx, gradient.down);
    const Eigen::Array<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> sigmoid =
        (1.0F + (-trace.gate.array()).exp()).inverse();
    const Matrix dup = dproduct.array() * trace.gate.array() * sigmoid;
    const Matrix dgate = dproduct.array() * trace.up.array() * sigmoid *
                         (1.0F + trace.gate.array() * (1.0F - sigmoid));
    const Matrix& y = trace.feed_forward_norm.y;
    const Matrix dy = linear_backward(y, block.gate, dgate, gradient.gate) +
                      linear_backward(y, block.up, dup, gradient.up);
    dx += norm_backward(trace.feed_forward_norm, block.feed_forward_norm, dy,
                        gradient.feed_forward_norm);
    attention_backward(block, trace, gradient, dx);
  }

  void attention_backward(const Block& block, const Trace& trace, Block& gradient,
                          Matrix& dx) const {
    const Matrix dattended = linear_backward(trace.attended, block.output, dx, gradient.output);
    Matrix dquery(trace.query.rows(), trace.query.cols());
    Matrix dkey(trace.key.rows(), trace.key.cols());
    Matrix dvalue(trace.value.rows(), trace.value.cols());
    coca::attention_backward(heads_of(dquery), heads_of(dkey), heads_of(dvalue),
                             heads_of(dattended), heads_of(trace.query), heads_of(trace.key),
                             heads_of(trace.value), heads_of(trace.attended), coca::view(trace.lse),
                             scheme_, coca::Causal{});
    if (config_.collinear()) dkey = collinear_key_backward(trace.raw_key, dkey, config_.heads);
    const Matrix& y = trace.attention_norm.y;
    const Matrix dy = linear_backward(y, block.query, dquery, gradient.query) +
                      linear_backward(y, block.key, dkey, gradient.key) +
                      linear_backward(y, block.value, dvalue, gradient.value);
    dx += norm_backward(trace.attention_norm, block.attention_norm, dy, gradient.attention_norm);
  }

  /// The mean of -log softmax(logits) at the targets; logits become weight times its gradient.
  double cross_entropy(Matrix& logits, float weight) const {
    double sum = 0.0;
    const auto rows = static_cast<float>(logits.rows());
    for (Index n = 0; n < logits.rows(); ++n) {
      auto row = logits.row(n);
      const Index target = batch_.targets[static_cast<std::size_t>(n)];
      const float most = row.maxCoeff();
      const float own = row[target] - most;
      row = (row.array() - most).exp();
      const float total = row.sum();
      sum += std::log(static_cast<double>(total)) - static_cast<double>(own);
      row *= weight / (total * rows);
      row[target] -= weight / rows;
    }
    return sum / static_cast<double>(logits.rows());
  }

  const Config& config_;
  const Parameters& parameters_;
  const Batch& batch_;
  Parameters& gradient_;
  Scheme scheme_;
};

}  // namespace

double add_gradient(const Model& model, const Batch& batch, double weight, Parameters& gradient) {
  return Pass(model, batch, gradient).run(weight);
}

}  // namespace language_model
