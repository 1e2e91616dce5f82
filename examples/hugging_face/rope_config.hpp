#pragma once

#include <coca/position/rope.hpp>
#include <nlohmann/json_fwd.hpp>

/// What a Hugging Face config.json says of positions.
namespace hugging_face {

/// The rope of a model by its config.json: rope_theta, head_dim (or hidden_size and
/// num_attention_heads), partial_rotary_factor, max_position_embeddings and rope_scaling, which newer
/// files call rope_parameters, of the types default, linear, dynamic, yarn, llama3 and longrope. Pairs
/// are laid out half-split, as these models have them. `length`, in tokens, is that of the sequence at
/// hand, for the types that follow it.
/// Throws std::invalid_argument for another type and for sizes that cannot be, and nlohmann's exceptions for what is missing.
coca::Rope rope_from_config(const nlohmann::json& config, coca::Index length = 0);

}  // namespace hugging_face
