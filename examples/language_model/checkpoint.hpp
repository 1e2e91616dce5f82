#pragma once

#include <string>

#include "language_model/model.hpp"
#include "language_model/optimizer.hpp"

/// Models in files: model.safetensors, the weights under their names in LLaMA checkpoints, and
/// config.json, which says so. That of a rotary model is one, and Hugging Face's LlamaForCausalLM reads it.
namespace language_model {

/// Writes both into a folder, which is made; weights as bfloat16.
/// Throws command_line::FileError where that cannot be done.
void save(const Model& model, const std::string& folder);

/// Reads them. Throws command_line::FileError for what is missing, or is no model of this program.
Model load(const std::string& folder);

/// A training run on its way: the model and the optimizer in full precision, and the next step.
struct TrainingState {
  Model model;
  AdamW optimizer;
  Index step = 0;
};
void save(const TrainingState& state, const std::string& path);
/// Into a state of the same sizes.
void load(TrainingState& state, const std::string& path);

}  // namespace language_model
