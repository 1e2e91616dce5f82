#include "language_model/model.hpp"

#include <cmath>
#include <map>
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
    add("self_attn.q_proj", block.attention.q_proj.weight);
    add("self_attn.k_proj", block.attention.k_proj.weight);
    add("self_attn.v_proj", block.attention.v_proj.weight);
    add("self_attn.o_proj", block.attention.o_proj.weight);
    add("post_attention_layernorm", block.feed_forward_norm);
    add("mlp.gate_proj", block.gate.weight);
    add("mlp.up_proj", block.up.weight);
    add("mlp.down_proj", block.down.weight);
  }
  all.emplace_back("model.norm.weight", &parameters.norm);
  return all;
}

}  // namespace

layers::AttentionConfig Config::attention() const {
  const std::map<std::string, layers::Scheme> schemes{
      {"rotary", layers::Scheme::rotary},
      {"coca-constrained", layers::Scheme::coca_constrained},
      {"coca-strict", layers::Scheme::coca_strict},
      {"coca-slack", layers::Scheme::coca_slack}};
  const auto meant = schemes.find(scheme);
  if (meant == schemes.end()) {
    throw std::invalid_argument("scheme: was '" + scheme +
                                "', expected rotary, coca-constrained, coca-strict or coca-slack");
  }
  return {.hidden = width(),
          .heads = heads,
          .key_heads = heads,
          .rope = rope(),
          .scheme = meant->second};
}

Scheme make_scheme(layers::Scheme scheme, coca::Rope rope) {
  switch (scheme) {
    case layers::Scheme::coca_constrained:
      return coca::CocaConstrained<>(std::move(rope));
    case layers::Scheme::coca_strict:
      return coca::CocaStrict<>(std::move(rope));
    case layers::Scheme::coca_slack:
      return coca::CocaSlack<>(std::move(rope));
    default:
      return coca::Rotary(std::move(rope));
  }
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
    layers::AttentionWeights& attention = block.attention;
    for (Linear* square :
         {&attention.q_proj, &attention.k_proj, &attention.v_proj, &attention.o_proj}) {
      square->weight = Matrix::Zero(width, width);
    }
    block.gate.weight = block.up.weight = Matrix::Zero(width, config.hidden);
    block.down.weight = Matrix::Zero(config.hidden, width);
  }
}

std::vector<std::pair<std::string, Matrix*>> Parameters::named() {
  return list<Parameters, Matrix>(*this);
}
std::vector<std::pair<std::string, const Matrix*>> Parameters::named() const {
  return list<const Parameters, const Matrix>(*this);
}

Matrix turned(const std::string& name, const Matrix& matrix) {
  if (!name.ends_with("_proj.weight")) return matrix;
  return matrix.transpose();
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
    // In the order of the checkpoint.
    const Matrix there = turned(name, *matrix);
    *matrix = turned(
        name, Matrix::NullaryExpr(there.rows(), there.cols(), [&] { return normal(engine); }));
    if (into_sum) *matrix *= residual;
  }
  return model;
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
