#include "language_model/checkpoint.hpp"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "hugging_face/safetensors.hpp"

namespace language_model {
namespace {

using command_line::FileError;
using hugging_face::SafetensorsFile;
using hugging_face::SafetensorsWriter;
using nlohmann::json;

/// Norms are lists there, and matrices of one row here.
hugging_face::Shape shape_of(const Matrix& matrix) {
  if (matrix.rows() == 1) return {matrix.cols()};
  return {matrix.rows(), matrix.cols()};
}

void add(SafetensorsWriter& writer, const Parameters& parameters, const std::string& prefix,
         coca::ElementType type) {
  for (const auto& [name, matrix] : parameters.named()) {
    const Matrix there = turned(name, *matrix);
    writer.add<float>(prefix + name, shape_of(there),
                      {there.data(), static_cast<std::size_t>(there.size())}, type);
  }
}

void read(const SafetensorsFile& file, const std::string& prefix, Parameters& parameters) {
  for (const auto& [name, matrix] : parameters.named()) {
    Matrix there = turned(name, *matrix);
    const std::vector<float> values = file.read<float>(prefix + name, shape_of(there));
    std::copy(values.begin(), values.end(), there.data());
    *matrix = turned(name, there);
  }
}

}  // namespace

void save(const Model& model, const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw FileError(folder + ": " + error.message());
  const Config& config = model.config;
  const json description{{"model_type", "coca-language-model"},
                         {"attention_scheme", config.scheme},
                         {"vocab_size", kVocabulary},
                         {"num_hidden_layers", config.layers},
                         {"hidden_size", config.width()},
                         {"num_attention_heads", config.heads},
                         {"num_key_value_heads", config.heads},
                         {"head_dim", config.head_dim},
                         {"intermediate_size", config.hidden},
                         {"max_position_embeddings", config.trained_length},
                         {"rms_norm_eps", kNormEpsilon},
                         {"rope_theta", config.base},
                         {"hidden_act", "silu"},
                         {"tie_word_embeddings", true}};
  command_line::PendingFile file(folder + "/config.json");
  file.write([&](std::ostream& out) { out << description.dump(2) << '\n'; });
  SafetensorsWriter writer;
  add(writer, model.parameters, "", coca::ElementType::bfloat16);
  writer.write(folder + "/model.safetensors", {{"format", "pt"}});
  file.keep();
}

Model load(const std::string& folder) {
  const std::string path = folder + "/config.json";
  std::ifstream file(path);
  if (!file) throw FileError(path + ": cannot be read");
  Config config;
  try {
    const json description = json::parse(file);
    config.scheme = description.at("attention_scheme");
    config.layers = description.at("num_hidden_layers");
    config.heads = description.at("num_attention_heads");
    config.head_dim = description.at("head_dim");
    config.hidden = description.at("intermediate_size");
    config.base = description.at("rope_theta");
    config.trained_length = description.at("max_position_embeddings");
  } catch (const json::exception& error) {
    throw FileError(path + ": " + error.what());
  }
  Model model(config);
  read(SafetensorsFile(folder + "/model.safetensors"), "", model.parameters);
  return model;
}

void save(const TrainingState& state, const std::string& path) {
  SafetensorsWriter writer;
  constexpr auto type = coca::ElementType::float32;
  add(writer, state.model.parameters, "", type);
  add(writer, state.optimizer.mean, "mean.", type);
  add(writer, state.optimizer.square, "square.", type);
  writer.write(path, {{"step", std::to_string(state.step)}});
}

void load(TrainingState& state, const std::string& path) {
  const SafetensorsFile file(path);
  read(file, "", state.model.parameters);
  read(file, "mean.", state.optimizer.mean);
  read(file, "square.", state.optimizer.square);
  try {
    state.step = std::stol(file.metadata().at("step"));
  } catch (const std::exception&) {
    throw FileError(path + ": its metadata have no step");
  }
}

}  // namespace language_model
