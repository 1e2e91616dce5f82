#include "language_model/model.hpp"

#include <cmath>
#include <random>
#include <stdexcept>

namespace language_model {
namespace {

/// The same list for parameters that may be written and for those that may not.
template <class P, class M>
std::vector<std::pair<std::string, M*>> list(P& parameters) {
  std::vector<std::pair<std::string, M*>> all{
      {"model.embed_tokens.weight", &parameters.embedding},
      {"model.embed_previous.weight", &parameters.previous}};
  for (std::size_t i = 0; i < parameters.blocks.size(); ++i) {
    auto& block = parameters.blocks[i];
    const auto add = [&](const char* name, M& matrix) {
      all.emplace_back("model.layers." + std::to_string(i) + "." + name + ".weight", &matrix);
    };
    add("input_layernorm", block.attention_norm);
    add("self_attn.q_proj", block.query);
    add("self_attn.k_proj", block.key);
    add("self_attn.v_proj", block.value);
    add("self_attn.o_proj", block.output);
    add("post_attention_layernorm", block.feed_forward_norm);
    add("mlp.gate_proj", block.gate);
    add("mlp.up_proj", block.up);
    add("mlp.down_proj", block.down);
  }
  all.emplace_back("model.norm.weight", &parameters.norm);
  return all;
}

}  // namespace

Scheme make_scheme(const std::string& name, coca::Rope rope) {
  if (name == "rotary") return coca::Rotary(std::move(rope));
  if (name == "coca-constrained") return coca::CocaConstrained<>(std::move(rope));
  if (name == "coca-strict") return coca::CocaStrict<>(std::move(rope));
  if (name == "coca-slack") return coca::CocaSlack<>(std::move(rope));
  throw std::invalid_argument("scheme: was '" + name +
                              "', expected rotary, coca-constrained, coca-strict or coca-slack");
}

Parameters::Parameters(const Config& config)
    : embedding(Matrix::Zero(kVocabulary, config.width())),
      previous(Matrix::Zero(kVocabulary, config.width())),
      blocks(static_cast<std::size_t>(config.layers)),
      norm(Matrix::Zero(1, config.width())) {
  const Index width = config.width();
  for (Block& block : blocks) {
    for (Matrix* row : {&block.attention_norm, &block.feed_forward_norm}) {
      *row = Matrix::Zero(1, width);
    }
    for (Matrix* square : {&block.query, &block.key, &block.value, &block.output}) {
      *square = Matrix::Zero(width, width);
    }
    block.gate = block.up = Matrix::Zero(config.hidden, width);
    block.down = Matrix::Zero(width, config.hidden);
  }
}

std::vector<std::pair<std::string, Matrix*>> Parameters::named() {
  return list<Parameters, Matrix>(*this);
}
std::vector<std::pair<std::string, const Matrix*>> Parameters::named() const {
  return list<const Parameters, const Matrix>(*this);
}

Model random_model(const Config& config, std::uint64_t seed) {
  Model model(config);
  std::mt19937_64 engine(seed);
  std::normal_distribution<float> normal(0.0F,
                                         1.0F / std::sqrt(static_cast<float>(config.width())));
  const float residual = 1.0F / std::sqrt(2.0F * static_cast<float>(config.layers));
  for (const auto& [name, matrix] : model.parameters.named()) {
    if (matrix->rows() == 1) {
      matrix->setOnes();
      continue;
    }
    const bool into_sum = name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight");
    *matrix = Matrix::NullaryExpr(matrix->rows(), matrix->cols(), [&] { return normal(engine); });
    if (into_sum) *matrix *= residual;
  }
  return model;
}

Matrix collinear_key(const Matrix& x, Index heads) {
  const Index half = x.cols() / heads / 2;
  Matrix t(x.rows(), heads * half);
  for (Index h = 0; h < heads; ++h) {
    const auto first = x.middleCols(2 * h * half, half);
    const auto second = x.middleCols((2 * h + 1) * half, half);
    t.middleCols(h * half, half) = ((first + second) / 2.0F).cwiseMax(0.0F);
  }
  return t;
}

Matrix swiglu(const Matrix& gate, const Matrix& up) {
  return gate.array() / (1.0F + (-gate.array()).exp()) * up.array();
}

Matrix embed(const Parameters& parameters, std::span<const Byte> text, Byte before) {
  Matrix x(static_cast<Index>(text.size()), parameters.embedding.cols());
  for (Index n = 0; n < x.rows(); ++n) {
    const Byte byte = text[static_cast<std::size_t>(n)];
    x.row(n) = parameters.embedding.row(byte) + parameters.previous.row(before);
    before = byte;
  }
  return x;
}

}  // namespace language_model
