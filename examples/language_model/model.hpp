#pragma once

#include <coca/coca.hpp>
#include <string>
#include <utility>
#include <vector>

#include "layers/attention_operands.hpp"

/// A small language model over bytes, of LLaMA's blocks (Touvron et al. 2023), whose attention may be
/// any of the library's schemes, over embeddings of a byte and of the one before it.
namespace language_model {

using layers::Index;
using layers::Linear;
using layers::Matrix;
using Byte = unsigned char;
using Text = std::vector<Byte>;

inline constexpr Index kVocabulary = 256;

/// The schemes a model may have, one kernel for all of them.
using Scheme =
    coca::OneOf<coca::Rotary<>, coca::CocaConstrained<>, coca::CocaStrict<>, coca::CocaSlack<>>;

/// The sizes of a model, and what makes its scores.
struct Config {
  std::string scheme = "coca-slack";  ///< or rotary, coca-strict, coca-constrained
  Index layers = 4;
  Index heads = 4;
  Index head_dim = 32;
  Index hidden = 352;          ///< between the products of SwiGLU
  double base = 10000.0;       ///< of the rope
  Index trained_length = 256;  ///< tokens of a sequence in training

  Index width() const { return heads * head_dim; }
  coca::Rope rope(coca::RopeScaling scaling = {}) const {
    return coca::Rope({.dim = head_dim, .base = base, .scaling = std::move(scaling)});
  }
  /// Of every block, with the rope as it was in training. Throws std::invalid_argument for a scheme that
  /// is none.
  layers::AttentionConfig attention() const;
};

/// The scheme that is meant, with this rope.
Scheme make_scheme(layers::Scheme scheme, coca::Rope rope);

/// The weights of a block; of norms, a row. The attention's are the same for every scheme: models differ
/// in nothing but what is made of k_proj.
struct Block {
  Matrix attention_norm;
  layers::AttentionWeights attention;
  Matrix feed_forward_norm;
  Linear gate, up, down;
};

/// All numbers that are trained. Gradients, and the optimizer's moments, are of the same type.
struct Parameters {
  Matrix embedding;  ///< [bytes, width], for logits too
  Matrix previous;   ///< [bytes, width], of the byte before
  std::vector<Block> blocks;
  Matrix norm;

  /// Zeros.
  explicit Parameters(const Config& config);

  /// All of them under the names that a LLaMA checkpoint of Hugging Face has for those it has, in the
  /// same order for every model of these sizes.
  std::vector<std::pair<std::string, Matrix*>> named();
  std::vector<std::pair<std::string, const Matrix*>> named() const;
};

/// From a matrix of named() to that of a checkpoint, which has the weights of a Linear as [outputs, inputs],
/// and back.
Matrix turned(const std::string& name, const Matrix& matrix);

struct Model {
  Config config;
  Parameters parameters;

  explicit Model(const Config& c) : config(c), parameters(c) {}
};

/// A model before its first step: normal numbers of deviation 1 / sqrt(width), less before a sum over
/// blocks (Radford et al. 2019), norms of 1. With scores as small as a deviation of 0.02 makes them,
/// looking up a pass key is not learned in thousands of steps.
Model random_model(const Config& config, std::uint64_t seed);

inline constexpr float kNormEpsilon = 1e-5F;

/// What stands before a text.
inline constexpr Byte kBeforeText = 0;

/// The embedding of each byte of a text, plus what the byte before it adds: so that already the first
/// block knows what came after a byte, and looking up what followed it earlier is learned soon.
Matrix embed(const Parameters& parameters, std::span<const Byte> text, Byte before = kBeforeText);

}  // namespace language_model
