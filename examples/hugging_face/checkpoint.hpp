#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "hugging_face/safetensors.hpp"

/// Models as the Hugging Face library saves them.
namespace hugging_face {

/// Throws FileError for a file that cannot be read or is not JSON.
nlohmann::json read_json(const std::string& path);

/// A model's folder: config.json, and model.safetensors or the files that
/// model.safetensors.index.json divides the tensors among.
class Checkpoint {
 public:
  /// Throws FileError where one of these cannot be read or is not what it should be.
  explicit Checkpoint(std::string folder);

  const std::string& folder() const { return folder_; }
  const nlohmann::json& config() const { return config_; }

  bool contains(const std::string& name) const;

  /// The numbers of a tensor, row-major. Throws FileError for one that is not there, is of another
  /// shape, or holds no floating-point numbers.
  std::vector<float> read(const std::string& name, const Shape& shape) const;

 private:
  const SafetensorsFile* find(const std::string& name) const;

  std::string folder_;
  nlohmann::json config_;
  std::vector<SafetensorsFile> files_;
};

}  // namespace hugging_face
