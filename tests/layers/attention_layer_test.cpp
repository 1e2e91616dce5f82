#include "layers/attention_layer.hpp"

#include <algorithm>
#include <cmath>
#include <coca/mask/causal.hpp>
#include <coca/position/ntk.hpp>
#include <coca/reference/attention.hpp>
#include <string>
#include <vector>

#include "coca/coca.hpp"
#include "layers/checkpoint.hpp"
#include "layers/support.hpp"
#include "support/bounds.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

/// Attention layers against the Hugging Face library, against the definitions, and step by step.
namespace {

using namespace test;
using layers::AttentionConfig;
using layers::AttentionLayer;
using layers::AttentionOperands;
using layers::AttentionWeights;
using layers::Linear;
using layers::Matrix;
using layers::Scheme;
using layers::Vector;

struct TwoThreads {
  Eigen::ThreadPool pool{2};
  Eigen::ThreadPoolDevice device{&pool, 2};
};

/// A row for each head of each token.
Matrix head_rows(const Matrix& x, Index width) {
  return Eigen::Map<const Matrix>(x.data(), x.size() / width, width);
}
double most(const Matrix& x) { return static_cast<double>(x.cwiseAbs().maxCoeff()); }

/// The heads' rows of a projection, and how far each number may be from the exact one.
struct Rows {
  Matrix values, errors;

  /// Lengths of the pairs of a row, (j, j + dim / 2), and how far those may be off.
  static Matrix pairs(const Matrix& x) {
    const Index half = x.cols() / 2;
    return (x.leftCols(half).array().square() + x.rightCols(half).array().square()).sqrt();
  }
};

Rows rows_of(const Linear& projection, const Matrix& x, Index dim) {
  const Linear sizes{projection.weight.cwiseAbs(), projection.bias.cwiseAbs()};
  const auto error =
      static_cast<float>(sum_error(static_cast<double>(x.cols()) + 1.0, kUnit<float>));
  return {head_rows(projection(x), dim), error * head_rows(sizes(x.cwiseAbs()), dim)};
}

/// The same after a norm, x gain / rms. Both libraries do this in float, in about 8 operations.
Rows normed(const Rows& rows, const Vector& gain, float epsilon) {
  if (gain.size() == 0) return rows;
  const Matrix values = layers::rms_norm(rows.values, gain, epsilon);
  const auto dim = static_cast<float>(gain.size());
  const Vector rms = (rows.values.rowwise().squaredNorm().array() / dim + epsilon).sqrt();
  const Vector rms_errors = rows.errors.rowwise().norm() / std::sqrt(dim);
  const auto u = static_cast<float>(kUnit<float>);
  const Matrix errors =
      rms.cwiseInverse().asDiagonal() * (rows.errors * gain.cwiseAbs().asDiagonal() +
                                         rms_errors.asDiagonal() * values.cwiseAbs()) +
      16.0F * u * values.cwiseAbs();
  return {values, errors};
}

/// How far what the layer makes of x in float may be from what the Hugging Face library makes of it:
/// errors of the projections, of its angles and both softmaxes, which are in float, and of sums of values.
double bound(const AttentionLayer& layer, const Matrix& x, Index tokens) {
  const AttentionConfig& config = layer.config();
  const AttentionWeights& weights = layer.weights();
  const Index dim = config.head_dim();
  const double u = kUnit<float>;
  const float epsilon = config.norm_epsilon;
  const Rows q = normed(rows_of(weights.q_proj, x, dim), weights.q_norm, epsilon);
  const Rows k = normed(rows_of(weights.k_proj, x, dim), weights.k_norm, epsilon);
  const Rows v = rows_of(weights.v_proj, x, dim);

  // A pair of a score is at most |q||k|, or 2 t|q|^2 (tests/support/bounds.hpp).
  Matrix phi = Rows::pairs(q.values), phi_error = Rows::pairs(q.errors);
  Matrix psi = Rows::pairs(k.values);
  const Matrix psi_error = Rows::pairs(k.errors);
  if (config.scheme != Scheme::rotary) {
    phi_error = 4.0F * phi.cwiseProduct(phi_error);
    phi = 2.0F * phi.cwiseAbs2();
    psi = head_rows(project(layer.config(), layer.weights(), x).key, dim / 2);
  }
  const double scale =
      std::pow(config.rope.attention_factor(), 2) / std::sqrt(static_cast<double>(dim));
  const double magnitude = scale * most(phi * psi.transpose());
  double score_error = scale * most(phi_error * psi.transpose() + phi * psi_error.transpose());
  // Their frequencies, 1 at most, are powers in float with up to 8 operations more, their angles those
  // times a position, and a score has two of them.
  score_error += 2.0 * (static_cast<double>(tokens) * (1.0 + 8.0 + 1.0) + 2.0) * u * magnitude;

  const double value = most(v.values);
  const double attended_error =
      2.0 * attention_bounds<float, float>(magnitude, 0.0, value, dim, tokens).out +
      2.0 * score_error * value + most(v.errors);
  const Linear& o = weights.o_proj;
  const double weight_sum = static_cast<double>(o.weight.colwise().lpNorm<1>().maxCoeff());
  const double sum = weight_sum * value + (o.bias.size() == 0 ? 0.0 : most(o.bias));
  const double products = static_cast<double>(o.weight.rows()) + 1.0;
  return weight_sum * attended_error + (sum_error(products, u) + u) * sum;
}

/// Rows `first` to `first + count` - 1 of every sequence.
Matrix steps(const Matrix& x, Index sequences, Index first, Index count) {
  const Index tokens = x.rows() / sequences;
  Matrix some(sequences * count, x.cols());
  for (Index s = 0; s < sequences; ++s) {
    some.middleRows(s * count, count) = x.middleRows(s * tokens + first, count);
  }
  return some;
}

/// The same through a cache: `prefill` tokens in one call, and the others one by one.
Matrix generated(const AttentionLayer& layer, const Matrix& x, Index sequences, Index prefill,
                 const Eigen::ThreadPoolDevice& device) {
  coca::PagedCache cache(layer.cache_options(), {.page_tokens = 16});
  std::vector<coca::SequenceId> ids;
  for (Index s = 0; s < sequences; ++s) ids.push_back(cache.add());
  const Index tokens = x.rows() / sequences;
  Matrix y(x.rows(), x.cols());
  for (Index first = 0; first < tokens;) {
    const Index count = first < prefill ? prefill : 1;
    const Matrix made = layer.forward(steps(x, sequences, first, count), cache, ids, device);
    for (Index s = 0; s < sequences; ++s) {
      y.middleRows(s * tokens + first, count) = made.middleRows(s * count, count);
    }
    first += count;
  }
  return y;
}

Matrix random_matrix(Index rows, Index cols, Random& random) {
  return Matrix::NullaryExpr(rows, cols, [&] { return static_cast<float>(random.uniform()); });
}

/// A layer without biases and norms.
AttentionLayer random_layer(const coca::Rope& rope, Scheme scheme) {
  Random random(11);
  const Index hidden = 20, queries = 4 * rope.dim(), keys = 2 * rope.dim();
  const auto weights = [&](Index in, Index out) {
    return Linear{0.3F * random_matrix(in, out, random)};
  };
  return {{.hidden = hidden, .heads = 4, .key_heads = 2, .rope = rope, .scheme = scheme},
          {weights(hidden, queries), weights(hidden, keys), weights(hidden, keys),
           weights(queries, hidden)}};
}

}  // namespace

TEST_CASE("LLaMA, Qwen2 and Qwen3 layers of the Hugging Face library, and their CoCA variants",
          "[layers]") {
  const TwoThreads two;
  for (const std::string name : {"llama", "llama3", "qwen2", "qwen3"}) {
    const hugging_face::Checkpoint checkpoint(golden_folder(name));
    const Matrix x = golden_states(name, "hidden");
    for (const bool coca : {false, true}) {
      const AttentionLayer layer = load_attention(checkpoint, name == "llama3" ? 1 : 0,
                                                  coca ? Scheme::coca_slack : Scheme::rotary);
      const Matrix expected = golden_states(name, coca ? "coca" : "out");
      const double allowed = bound(layer, x, kGoldenTokens);
      INFO(name << (coca ? ", CoCA" : "") << ": up to " << most(expected) << ", allowed "
                << allowed);
      // A bound that says something: a slip of any kind is larger.
      CHECK(allowed < 0.01 * most(expected));
      CHECK(apart(layer.forward(x, kGoldenSequences, two.device), expected) <= allowed);
      for (const Index prefill : {0, 7}) {
        CHECK(apart(generated(layer, x, kGoldenSequences, prefill, two.device), expected) <=
              allowed);
      }
    }
  }
}

TEST_CASE("every scheme of a layer is that of its definition", "[layers]") {
  const TwoThreads two;
  const coca::Rope rope({.dim = 8, .base = 100.0});
  Random random(3);
  constexpr Index tokens = 19;
  const Matrix x = random_matrix(2 * tokens, 20, random);
  const auto check = [&](Scheme scheme, const auto& score) {
    const AttentionLayer layer = random_layer(rope, scheme);
    const AttentionOperands made = project(layer.config(), layer.weights(), x);
    const auto wide = [&](const Matrix& matrix, Index heads) {
      Tensor<double> tensor({2, tokens, heads, matrix.cols() / heads});
      const float* next = matrix.data();
      tensor.fill([&] { return static_cast<double>(*next++); });
      return tensor;
    };
    const Tensor<double> q = wide(made.q, 4), key = wide(made.key, 2), v = wide(made.v, 2);
    Tensor<double> attended({2, tokens, 4, 8});
    coca::reference::attention(attended.view(), std::as_const(q).view(), std::as_const(key).view(),
                               std::as_const(v).view(), score, coca::Causal{});
    Matrix rows(2 * tokens, 4 * 8);
    std::transform(attended.storage().begin(), attended.storage().end(), rows.data(),
                   [](double value) { return static_cast<float>(value); });
    const Matrix expected = layer.weights().o_proj(rows);
    const double allowed = bound(layer, x, tokens);
    CHECK(apart(layer.forward(x, 2, two.device), expected) <= allowed);
    CHECK(apart(generated(layer, x, 2, 5, two.device), expected) <= allowed);
  };
  using namespace coca::reference;
  check(Scheme::rotary, RotaryScore{rope});
  check(Scheme::coca_strict, StrictScore{rope});
  check(Scheme::coca_slack, SlackScore{rope});
  check(Scheme::coca_constrained, ConstrainedScore{rope});
}

TEST_CASE("a CoCA layer keeps half a key", "[layers]") {
  const coca::Rope rope({.dim = 8});
  CHECK(random_layer(rope, Scheme::rotary).cache_options().key_dim == 8);
  CHECK(random_layer(rope, Scheme::coca_slack).cache_options().key_dim == 4);
}

TEST_CASE("a rope that follows the length does so from step to step", "[layers]") {
  const TwoThreads two;
  const coca::Rope rope({.dim = 8, .base = 100.0, .scaling = coca::DynamicNtk{4.0, 6}});
  Random random(4);
  constexpr Index tokens = 17;
  const Matrix x = random_matrix(tokens, 20, random);
  for (const Scheme scheme : {Scheme::rotary, Scheme::coca_slack}) {
    const AttentionLayer layer = random_layer(rope, scheme);
    const Matrix y = generated(layer, x, 1, 0, two.device);
    const double allowed = bound(layer, x, tokens);
    for (Index n = 0; n < tokens; ++n) {
      const Matrix prefix = layer.forward(x.topRows(n + 1), 1, two.device);
      CHECK(apart(y.row(n), prefix.row(n)) <= allowed);
    }
    // It matters.
    CHECK(apart(y, layer.forward(x, 1, two.device)) > allowed);
  }
}

TEST_CASE("a layer refuses weights and states that do not fit", "[layers]") {
  const TwoThreads two;
  const coca::Rope rope({.dim = 8});
  const AttentionLayer layer = random_layer(rope, Scheme::rotary);
  const auto refused = [&](const auto& change, const std::string& text) {
    AttentionConfig config = layer.config();
    AttentionWeights weights = layer.weights();
    change(config, weights);
    CHECK_THROWS_AS(AttentionLayer(config, weights), std::invalid_argument);
    CHECK_THROWS_WITH(AttentionLayer(config, weights), contains(text));
  };
  using C = AttentionConfig;
  using W = AttentionWeights;
  refused([](C& c, W&) { c.hidden = 0; }, "hidden is 0, expected 1 or more");
  refused([](C& c, W&) { c.key_heads = 3; }, "heads is 4, expected a multiple of key_heads, 3");
  refused([](C& c, W&) { c.key_heads = 0; }, "key_heads is 0, expected 1 or more");
  refused([](C& c, W&) { c.heads = 0; }, "heads is 0");
  refused([](C& c, W&) { c.heads = 6; }, "q_proj.weight.shape is [20, 32], expected [20, 48]");
  refused([](C&, W& w) { w.k_proj.weight.resize(20, 8); }, "k_proj.weight.shape is [20, 8]");
  refused([](C&, W& w) { w.v_proj.weight.resize(21, 16); }, "v_proj.weight.shape is [21, 16]");
  refused([](C&, W& w) { w.o_proj.weight.resize(20, 32); }, "o_proj.weight.shape is [20, 32]");
  refused([](C&, W& w) { w.q_proj.bias = Vector::Zero(3); }, "q_proj.bias.size is 3, expected 32");
  refused([](C&, W& w) { w.k_norm = Vector::Zero(3); }, "k_norm.size is 3, expected 8");

  const Matrix x = Matrix::Zero(6, 20);
  coca::GrowingCache cache(layer.cache_options());
  const std::vector<coca::SequenceId> ids{cache.add(), cache.add()};
  CHECK_THROWS_WITH(project(layer.config(), layer.weights(), Matrix::Zero(6, 19)),
                    contains("x.cols is 19, expected 20"));
  CHECK_THROWS_WITH(layer.forward(x, 0, two.device), contains("sequences is 0"));
  CHECK_THROWS_WITH(layer.forward(x, 4, two.device), contains("x.rows is 6, expected as many"));
  CHECK_THROWS_WITH(layer.forward(x.topRows(5), cache, ids, two.device), contains("x.rows is 5"));
  CHECK_THROWS_WITH(layer.forward(x, cache, {}, two.device), contains("sequences is 0"));
  CHECK(cache.length(ids[0]) == 0);
}
