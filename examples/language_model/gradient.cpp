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

/// dx of y = x W, and the gradient of W.
Matrix linear_backward(const Matrix& x, const Linear& linear, const Matrix& dy, Linear& gradient) {
  gradient.weight.noalias() += x.transpose() * dy;
  return dy * linear.weight.transpose();
}

/// dk of t = relu of the mean of every pair of k: half of dt to both of a pair, where t is not 0.
Matrix collinear_backward(const Matrix& t, const Matrix& dt, const coca::Rope& rope) {
  const Index pairs = rope.dim() / 2;
  const Index rows = t.size() / pairs;
  const Eigen::Map<const Matrix> from(t.data(), rows, pairs), slopes(dt.data(), rows, pairs);
  Matrix dk(t.rows(), 2 * t.cols());
  Eigen::Map<Matrix> to(dk.data(), rows, rope.dim());
  for (Index j = 0; j < pairs; ++j) {
    const std::pair<Index, Index> pair = rope.pair(j);
    to.col(pair.first) = (from.col(j).array() > 0.0F).select(slopes.col(j) / 2.0F, 0.0F);
    to.col(pair.second) = to.col(pair.first);
  }
  return dk;
}

/// What the way back needs of a block.
struct Trace {
  Norm attention_norm, feed_forward_norm;
  layers::AttentionOperands operands;
  Matrix attended;
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
        attention_(config_.attention()),
        scheme_(make_scheme(attention_.scheme, attention_.rope)) {}

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
    gradient_.embedding.noalias() += logits.transpose() * last.y;
    Matrix dx =
        norm_backward(last, parameters_.norm, logits * parameters_.embedding, gradient_.norm);
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
    trace.operands = layers::project(attention_, block.attention, trace.attention_norm.y);
    trace.attended.resize(x.rows(), x.cols());
    trace.lse.resize(batch_.sequences(), config_.heads, batch_.length);
    const auto& [q, key, v] = trace.operands;
    coca::attention(heads_of(trace.attended), heads_of(q), heads_of(key), heads_of(v), scheme_,
                    coca::Causal{}, {.lse = coca::view(trace.lse)});
    x += block.attention.o_proj(trace.attended);

    trace.feed_forward_norm = norm(x, block.feed_forward_norm);
    trace.gate = block.gate(trace.feed_forward_norm.y);
    trace.up = block.up(trace.feed_forward_norm.y);
    trace.product = layers::swiglu(trace.gate, trace.up);
    x += block.down(trace.product);
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
    dx += norm_backward(trace.attention_norm, block.attention_norm,
                        attention_backward(block.attention, trace, dx, gradient.attention),
                        gradient.attention_norm);
  }

  /// dx of a block's attention with its projections.
  Matrix attention_backward(const layers::AttentionWeights& weights, const Trace& trace,
                            const Matrix& dy, layers::AttentionWeights& gradient) const {
    const Matrix dattended = linear_backward(trace.attended, weights.o_proj, dy, gradient.o_proj);
    const auto& [q, key, v] = trace.operands;
    Matrix dq(q.rows(), q.cols()), dkey(key.rows(), key.cols()), dv(v.rows(), v.cols());
    coca::attention_backward(heads_of(dq), heads_of(dkey), heads_of(dv), heads_of(dattended),
                             heads_of(q), heads_of(key), heads_of(v), heads_of(trace.attended),
                             coca::view(trace.lse), scheme_, coca::Causal{});
    if (attention_.scheme != layers::Scheme::rotary) {
      dkey = collinear_backward(key, dkey, attention_.rope);
    }
    const Matrix& x = trace.attention_norm.y;
    return linear_backward(x, weights.q_proj, dq, gradient.q_proj) +
           linear_backward(x, weights.k_proj, dkey, gradient.k_proj) +
           linear_backward(x, weights.v_proj, dv, gradient.v_proj);
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
  layers::AttentionConfig attention_;
  Scheme scheme_;
};

}  // namespace

double add_gradient(const Model& model, const Batch& batch, double weight, Parameters& gradient) {
  return Pass(model, batch, gradient).run(weight);
}

}  // namespace language_model
