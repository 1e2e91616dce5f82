#include "hugging_face/checkpoint.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <utility>

namespace hugging_face {

namespace {

using nlohmann::json;

/// The files that an index names, each once.
std::set<std::string> indexed_files(const std::string& path) {
  const json index = read_json(path);
  std::set<std::string> names;
  try {
    for (const json& name : index.at("weight_map")) names.insert(name.get<std::string>());
  } catch (const json::exception& error) {
    throw FileError(path + ": " + error.what());
  }
  for (const std::string& name : names) {
    if (std::filesystem::path(name).filename() == name) continue;
    throw FileError(path + " names the file " + name + ", expected one of its folder");
  }
  return names;
}

}  // namespace

json read_json(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw FileError(path + " cannot be opened");
  try {
    return json::parse(file);
  } catch (const json::exception& error) {
    throw FileError(path + ": " + error.what());
  }
}

Checkpoint::Checkpoint(std::string folder)
    : folder_(std::move(folder)), config_(read_json(folder_ + "/config.json")) {
  const std::string index = folder_ + "/model.safetensors.index.json";
  std::set<std::string> names{"model.safetensors"};
  if (!std::filesystem::exists(folder_ + "/model.safetensors") && std::filesystem::exists(index)) {
    names = indexed_files(index);
  }
  for (const std::string& name : names) files_.emplace_back(folder_ + "/" + name);
}

const SafetensorsFile* Checkpoint::find(const std::string& name) const {
  const auto at = std::ranges::find_if(
      files_, [&](const SafetensorsFile& file) { return file.tensors().contains(name); });
  return at == files_.end() ? nullptr : &*at;
}

bool Checkpoint::contains(const std::string& name) const { return find(name) != nullptr; }

std::vector<float> Checkpoint::read(const std::string& name, const Shape& shape) const {
  const SafetensorsFile* file = find(name);
  if (file == nullptr) throw FileError(folder_ + " has no tensor " + name);
  return file->read<float>(name, shape);
}

}  // namespace hugging_face
