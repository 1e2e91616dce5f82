#define EIGEN_USE_THREADS
#include "layers/checkpoint.hpp"

#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "command_line/require.hpp"
#include "hugging_face/rope_config.hpp"

namespace layers {

namespace {

using hugging_face::Checkpoint;
using hugging_face::FileError;
using nlohmann::json;

/// What a layer has besides the weights of its projections.
struct Extras {
  bool qkv_bias, output_bias;
  bool head_norms;  ///< of q and k
};

Extras extras_of(const json& config) {
  const std::string type = config.at("model_type");
  const bool bias = config.value("attention_bias", false);
  if (type == "llama") return {bias, bias, false};
  if (type == "qwen2") return {true, false, false};
  if (type == "qwen3") return {bias, bias, true};
  throw FileError("model_type is " + type + ", expected llama, qwen2 or qwen3");
}

/// A size that a configuration gives, small enough that no product of two overflows.
Index size_of(const json& config, const char* name) {
  constexpr Index most = Index{1} << 24;
  const Index size = config.at(name).get<Index>();
  if (size >= 1 && size <= most) return size;
  throw FileError(std::string(name) + " is " + std::to_string(size) + ", expected 1 to " +
                  std::to_string(most));
}
Index size_of(const json& config, const char* name, Index otherwise) {
  const auto at = config.find(name);
  return at == config.end() || at->is_null() ? otherwise : size_of(config, name);
}

/// What config.json says of a layer.
struct Layout {
  AttentionConfig sizes;
  Extras extras;
};

Layout layout_of(const json& config, Index layer, Scheme scheme) {
  const Index hidden = size_of(config, "hidden_size");
  const Index heads = size_of(config, "num_attention_heads");
  size_of(config, "head_dim", 1);
  const json types = config.value("layer_types", json());
  const bool full = types.is_array() ? types.at(static_cast<std::size_t>(layer)) == "full_attention"
                                     : !config.value("use_sliding_window", false);
  if (!full) throw FileError("the layer has a sliding window, expected full attention");
  return {{.hidden = hidden,
           .heads = heads,
           .key_heads = size_of(config, "num_key_value_heads", heads),
           .rope = hugging_face::rope_from_config(config),
           .scheme = scheme,
           .norm_epsilon = config.value("rms_norm_eps", 1e-6F)},
          extras_of(config)};
}

/// Runs a step that reads config.json, and adds to its complaint where it comes from.
template <class Step>
auto of_config(const Checkpoint& checkpoint, const Step& step) {
  try {
    return step(checkpoint.config());
  } catch (const std::exception& error) {
    throw FileError(checkpoint.folder() + "/config.json: " + error.what());
  }
}

/// Reads tensors by the part of their names that follows that of their layer.
class Reader {
 public:
  Reader(const Checkpoint& checkpoint, Index layer)
      : checkpoint_(checkpoint), prefix_("model.layers." + std::to_string(layer) + ".self_attn.") {}

  bool contains(const std::string& name) const { return checkpoint_.contains(prefix_ + name); }

  Vector vector(const std::string& name, Index size) const {
    const std::vector<float> values = checkpoint_.read(prefix_ + name, {size});
    return Eigen::Map<const Vector>(values.data(), size);
  }
  Linear linear(const std::string& name, Index in, Index out, bool bias) const {
    const std::vector<float> values = checkpoint_.read(prefix_ + name + ".weight", {out, in});
    return {Eigen::Map<const Matrix>(values.data(), out, in),
            bias ? vector(name + ".bias", out) : Vector()};
  }

 private:
  const Checkpoint& checkpoint_;
  std::string prefix_;
};

}  // namespace

AttentionLayer load_attention(const Checkpoint& checkpoint, Index layer, Scheme scheme) {
  const Index layers = of_config(
      checkpoint, [](const json& config) { return size_of(config, "num_hidden_layers"); });
  command_line::require(layer >= 0 && layer < layers, "layer", layer,
                        "0 to " + std::to_string(layers - 1));
  const Layout layout =
      of_config(checkpoint, [&](const json& config) { return layout_of(config, layer, scheme); });

  const Reader read(checkpoint, layer);
  const bool t_proj = scheme != Scheme::rotary && read.contains("t_proj.weight");
  const Index hidden = layout.sizes.hidden;
  const Index dim = layout.sizes.head_dim();
  const Index queries = layout.sizes.heads * dim;
  const Index keys = layout.sizes.key_heads * dim;
  const auto [qkv_bias, output_bias, head_norms] = layout.extras;
  AttentionWeights weights{read.linear("q_proj", hidden, queries, qkv_bias),
                           read.linear(t_proj ? "t_proj" : "k_proj", hidden, keys, qkv_bias),
                           read.linear("v_proj", hidden, keys, qkv_bias),
                           read.linear("o_proj", queries, hidden, output_bias)};
  if (head_norms) {
    weights.q_norm = read.vector("q_norm.weight", dim);
    weights.k_norm = read.vector("k_norm.weight", dim);
  }
  return {layout.sizes, std::move(weights)};
}

}  // namespace layers
