#include "hugging_face/rope_config.hpp"

#include <cmath>
#include <coca/position/llama3.hpp>
#include <coca/position/long_rope.hpp>
#include <coca/position/ntk.hpp>
#include <coca/position/yarn.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace hugging_face {

namespace {

using coca::Index;
using nlohmann::json;

/// A member that is there and not null.
template <class T>
std::optional<T> find(const json& object, const char* name) {
  const auto at = object.find(name);
  if (at == object.end() || at->is_null()) return std::nullopt;
  return at->get<T>();
}

/// The tokens a model was trained for before its context was extended.
Index trained_length(const json& config, const json& scaling) {
  constexpr const char* name = "original_max_position_embeddings";
  if (const auto length = find<Index>(config, name)) return *length;
  if (const auto length = find<Index>(scaling, name)) return *length;
  return config.at("max_position_embeddings").get<Index>();
}

coca::RopeScaling make_scaling(const json& config, const json& scaling) {
  const std::string type = find<std::string>(scaling, "rope_type")
                               .value_or(find<std::string>(scaling, "type").value_or("default"));
  if (type == "default") return {};

  // Where there is no factor, it is how much longer the model's context became.
  const auto factor = [&] {
    if (const auto given = find<double>(scaling, "factor")) return *given;
    return config.at("max_position_embeddings").get<double>() /
           static_cast<double>(trained_length(config, scaling));
  };
  if (type == "linear") return coca::Linear{.factor = scaling.at("factor")};
  if (type == "dynamic") {
    return coca::DynamicNtk{.factor = scaling.at("factor"),
                            .trained_length = config.at("max_position_embeddings")};
  }
  if (type == "yarn") {
    return coca::Yarn{.factor = factor(),
                      .trained_length = trained_length(config, scaling),
                      .beta_fast = find<double>(scaling, "beta_fast").value_or(32.0),
                      .beta_slow = find<double>(scaling, "beta_slow").value_or(1.0),
                      .attention_factor = find<double>(scaling, "attention_factor"),
                      .mscale = find<double>(scaling, "mscale"),
                      .mscale_all_dim = find<double>(scaling, "mscale_all_dim"),
                      .truncate = find<bool>(scaling, "truncate").value_or(true)};
  }
  if (type == "llama3") {
    return coca::Llama3{.factor = scaling.at("factor"),
                        .low_freq_factor = scaling.at("low_freq_factor"),
                        .high_freq_factor = scaling.at("high_freq_factor"),
                        .trained_length = trained_length(config, scaling)};
  }
  if (type == "longrope") {
    return coca::LongRope{.short_factor = scaling.at("short_factor"),
                          .long_factor = scaling.at("long_factor"),
                          .trained_length = trained_length(config, scaling),
                          .factor = factor(),
                          .attention_factor = find<double>(scaling, "attention_factor")};
  }
  throw std::invalid_argument("hugging_face: rope_type is " + type +
                              ", expected default, linear, dynamic, yarn, llama3 or longrope");
}

}  // namespace

coca::Rope rope_from_config(const json& config, Index length) {
  const json none = json::object();
  const char* name = find<json>(config, "rope_parameters") ? "rope_parameters" : "rope_scaling";
  const json scaling = find<json>(config, name).value_or(none);

  const auto number = [&](const char* key, double otherwise) {
    return find<double>(scaling, key).value_or(find<double>(config, key).value_or(otherwise));
  };
  const Index dim = find<Index>(config, "head_dim").value_or(0);
  const auto dim_of_heads = [&] {
    const Index heads = config.at("num_attention_heads").get<Index>();
    if (heads > 0) return config.at("hidden_size").get<Index>() / heads;
    throw std::invalid_argument("hugging_face: num_attention_heads is " + std::to_string(heads) +
                                ", expected 1 or more");
  };
  const Index head_dim = dim != 0 ? dim : dim_of_heads();
  const double turning = number("partial_rotary_factor", 1.0) * static_cast<double>(head_dim);
  return coca::Rope({.dim = head_dim,
                     .base = number("rope_theta", 10000.0),
                     .rotary_dim = static_cast<Index>(turning),
                     .scaling = make_scaling(config, scaling),
                     .length = length});
}

}  // namespace hugging_face
