#pragma once

#include "hugging_face/checkpoint.hpp"
#include "layers/attention_layer.hpp"

namespace layers {

/// The attention of a layer, from 0 on, of a LLaMA, Qwen2 or Qwen3 checkpoint: the tensors
/// model.layers.<layer>.self_attn.*, sizes and rope from config.json. For a CoCA scheme t_proj is taken
/// where there is one, as in the checkpoints of the paper, and k_proj else.
/// Throws command_line::FileError for a model of another type, one whose layer has a sliding window, and
/// where something is missing or of another shape; std::invalid_argument for a layer that is not there.
AttentionLayer load_attention(const hugging_face::Checkpoint& checkpoint, Index layer,
                              Scheme scheme);

}  // namespace layers
