#include "layers/checkpoint.hpp"

#include <filesystem>
#include <fstream>
#include <string>

#include "layers/support.hpp"
#include "support/catch.hpp"
#include "support/program_folder.hpp"
#include "support/temporary_folder.hpp"

/// Checkpoints, whole and broken, and the program that runs a layer of one.
namespace {

using namespace test;
using command_line::FileError;
using hugging_face::Checkpoint;
using hugging_face::SafetensorsFile;
using hugging_face::SafetensorsWriter;
using layers::AttentionLayer;
using layers::Scheme;
using nlohmann::json;

const std::string kPrefix = "model.layers.0.self_attn.";

/// A golden checkpoint to change.
struct Copy : TemporaryFolder {
  json config;
  std::map<std::string, std::vector<float>> values;
  std::map<std::string, hugging_face::Shape> shapes;

  explicit Copy(const std::string& name)
      : config(hugging_face::read_json(golden_folder(name) + "/config.json")) {
    const SafetensorsFile file(golden_folder(name) + "/model.safetensors");
    for (const auto& entry : file.tensors()) {
      values[entry.first] = file.read<float>(entry.first);
      shapes[entry.first] = entry.second.shape;
    }
  }

  std::string file(const std::string& name) const { return (path / name).string(); }

  /// Writes the tensors whose names `which` likes.
  template <class Which>
  void write(const std::string& name, const Which& which) const {
    SafetensorsWriter writer;
    for (const auto& entry : values) {
      if (!which(entry.first)) continue;
      writer.add<float>(entry.first, shapes.at(entry.first), entry.second,
                        coca::ElementType::float32);
    }
    writer.write(file(name));
  }
  void put(const std::string& name, const std::string& text) const {
    std::ofstream(file(name)) << text;
  }

  AttentionLayer load(Scheme scheme = Scheme::rotary, coca::Index layer = 0) const {
    put("config.json", config.dump());
    write("model.safetensors", [](const std::string&) { return true; });
    return load_attention(Checkpoint(path.string()), layer, scheme);
  }
};

}  // namespace

TEST_CASE("a checkpoint may be divided among files", "[layers]") {
  const Copy copy("qwen2");
  const auto is_key = [](const std::string& name) { return name.find("k_proj") != name.npos; };
  copy.write("a.safetensors", is_key);
  copy.write("b.safetensors", [&](const std::string& name) { return !is_key(name); });
  json index;
  for (const auto& entry : copy.values) {
    index["weight_map"][entry.first] = is_key(entry.first) ? "a.safetensors" : "b.safetensors";
  }
  copy.put("config.json", copy.config.dump());
  copy.put("model.safetensors.index.json", index.dump());
  const AttentionLayer layer = load_attention(Checkpoint(copy.path.string()), 0, Scheme::rotary);
  const AttentionLayer whole =
      load_attention(Checkpoint(golden_folder("qwen2")), 0, Scheme::rotary);
  CHECK(layer.weights().k_proj.weight == whole.weights().k_proj.weight);
  CHECK(layer.weights().q_proj.bias == whole.weights().q_proj.bias);

  index["weight_map"][kPrefix + "k_proj.weight"] = "../a.safetensors";
  copy.put("model.safetensors.index.json", index.dump());
  CHECK_THROWS_WITH(Checkpoint(copy.path.string()), contains("names the file ../a.safetensors"));
  copy.put("model.safetensors.index.json", R"({"weight_map": {"a": 1}})");
  CHECK_THROWS_AS(Checkpoint(copy.path.string()), FileError);
  copy.put("model.safetensors.index.json", R"({"weight_map": {"a": "c.safetensors"}})");
  CHECK_THROWS_WITH(Checkpoint(copy.path.string()), contains("c.safetensors cannot be opened"));
}

TEST_CASE("t_proj is taken where there is one", "[layers]") {
  Copy copy("llama");
  const std::string k = kPrefix + "k_proj.weight", t = kPrefix + "t_proj.weight";
  const layers::Matrix k_weight = copy.load(Scheme::coca_slack).weights().k_proj.weight;
  copy.values[t] = copy.values[k];
  copy.shapes[t] = copy.shapes[k];
  for (float& value : copy.values[t]) value *= 2.0F;
  CHECK(copy.load(Scheme::coca_slack).weights().k_proj.weight == 2.0F * k_weight);
  CHECK(copy.load(Scheme::rotary).weights().k_proj.weight == k_weight);
  copy.values.erase(k);
  CHECK(copy.load(Scheme::coca_strict).weights().k_proj.weight == 2.0F * k_weight);
  CHECK_THROWS_WITH(copy.load(Scheme::rotary), contains("has no tensor " + k));
}

TEST_CASE("what a configuration leaves out has its usual value", "[layers]") {
  Copy copy("qwen3");
  copy.config.erase("num_key_value_heads");
  copy.config.erase("rms_norm_eps");
  CHECK_THROWS_WITH(copy.load(), contains("k_proj.weight is of shape [32, 32], expected [64, 32]"));
  copy.config["num_key_value_heads"] = 2;
  CHECK(copy.load().config().norm_epsilon == 1e-6F);
}

TEST_CASE("checkpoints that are no LLaMA or Qwen, or not whole, are refused", "[layers]") {
  const auto refused = [](const std::string& name, const auto& change, const std::string& text) {
    Copy copy(name);
    change(copy);
    CHECK_THROWS_AS(copy.load(), FileError);
    CHECK_THROWS_WITH(copy.load(), contains(text));
  };
  const auto refused_config = [&](const std::string& field, const json& value,
                                  const std::string& text) {
    refused(
        "qwen2", [&](Copy& copy) { copy.config[field] = value; }, text);
  };
  refused_config("model_type", "gpt_neox",
                 "config.json: model_type is gpt_neox, expected llama, qwen2 or qwen3");
  refused_config("layer_types", json{"sliding_attention"}, "config.json: the layer has a sliding");
  refused_config("layer_types", json::array(), "config.json: ");
  refused_config("hidden_size", 0, "config.json: hidden_size is 0, expected 1 to ");
  refused_config("hidden_size", "32", "config.json: ");
  refused_config("head_dim", 1 << 30, "config.json: head_dim is 1073741824");
  refused_config("head_dim", 7, "config.json: coca: rope.dim is 7");
  refused_config("num_attention_heads", 0, "config.json: num_attention_heads is 0");
  refused_config("rope_parameters", json{{"rope_type", "spiral"}}, "rope_type is spiral");
  refused_config("hidden_size", 64, "q_proj.weight is of shape [32, 32], expected [64, 64]");
  refused(
      "qwen2", [](Copy& copy) { copy.config.erase("num_hidden_layers"); }, "num_hidden_layers");
  refused(
      "qwen2",
      [](Copy& copy) {
        copy.config.erase("layer_types");
        copy.config["use_sliding_window"] = true;
      },
      "the layer has a sliding window");
  // Biases and norms that the type has, and the file not.
  refused(
      "qwen2", [](Copy& copy) { copy.config["model_type"] = "qwen3"; },
      "has no tensor " + kPrefix + "q_norm.weight");
  refused(
      "llama", [](Copy& copy) { copy.config["model_type"] = "qwen2"; },
      "has no tensor " + kPrefix + "q_proj.bias");

  Copy copy("llama");
  CHECK_THROWS_WITH(copy.load(Scheme::rotary, 1), "layer is 1, expected 0 to 0");
  CHECK_THROWS_AS(copy.load(Scheme::rotary, -1), std::invalid_argument);
  copy.put("config.json", "{");
  CHECK_THROWS_WITH(Checkpoint(copy.path.string()), contains("config.json: "));
  std::filesystem::remove(copy.file("config.json"));
  CHECK_THROWS_WITH(Checkpoint(copy.path.string()), contains("config.json cannot be opened"));
}

TEST_CASE("the program runs a layer both ways", "[layers]") {
  const ProgramFolder folder(COCA_LAYERS);
  const auto run = [&](const std::string& arguments) {
    const auto result = folder.run(arguments);
    INFO(arguments << ": " << result.text);
    REQUIRE(result.code == 0);
    return result.text;
  };
  const std::string qwen3 = "'" + golden_folder("qwen3") + "'";
  const std::string hidden = "--hidden '" + golden_folder("qwen3") + "/hidden.npy' ";
  for (const std::string name : {"out", "coca"}) {
    const std::string text = run(qwen3 + " 0 -o y.npy --prefill 5 --threads 2 " + hidden +
                                 (name == "coca" ? "--coca" : ""));
    CHECK_THAT(text, contains("hidden 32, 4 heads of 16, 2 key heads"));
    CHECK_THAT(text, contains("24 tokens of 2 sequences"));
    CHECK_THAT(text, contains(name == "coca" ? "192 bytes a token" : "256 bytes a token"));
    const Npy y = read_npy(folder.file("y"));
    CHECK(y.shape == std::vector<coca::Index>{2, 24, 32});
    const layers::Matrix expected = golden_states("qwen3", name);
    double most = 0.0;
    for (std::size_t i = 0; i < y.values.size(); ++i) {
      most = worse(most, y.values[i], static_cast<double>(expected.data()[i]));
    }
    // attention_layer_test.cpp has the bound; here it matters what is computed.
    CHECK(most < 1e-3);
  }
  const auto difference = [](const std::string& text) {
    const std::string before = "largest difference ";
    return std::stod(text.substr(text.find(before) + before.size()));
  };
  CHECK(difference(run(qwen3 + " --tokens 40 --seed 3 --coca")) < 1e-4);

  // One sequence without an axis for it.
  write_npy(folder.file("x"), {3, 32}, std::vector<float>(3 * 32, 0.5F));
  run(qwen3 + " --hidden x.npy -o y.npy");
  CHECK(read_npy(folder.file("y")).shape == std::vector<coca::Index>{3, 32});
}

TEST_CASE("the program explains itself and its refusals", "[layers]") {
  const ProgramFolder folder(COCA_LAYERS);
  const auto refused = [&](const std::string& arguments, int code, const std::string& text) {
    INFO(arguments);
    const auto result = folder.run(arguments + " -o out.npy");
    CHECK(result.code == code);
    CHECK_THAT(result.text, contains(text));
    CHECK_FALSE(folder.exists("out"));
  };
  CHECK(folder.run("--help").code == 0);
  CHECK_THAT(folder.run("--help").text, contains("--prefill"));
  CHECK(folder.run("--version").code == 0);
  const std::string llama = "'" + golden_folder("llama") + "'";
  write_npy(folder.file("wide"), {3, 33}, std::vector<float>(3 * 33));
  write_npy(folder.file("none"), {0, 32}, {});
  write_npy(folder.file("flat"), {32}, std::vector<float>(32));
  refused(llama + " 1", 1, "layer is 1, expected 0 to 0");
  refused(llama + " --tokens 9 --prefill 10", 1, "prefill is 10, expected 0 to the 9 tokens");
  refused(llama + " --hidden wide.npy", 1, "wide.npy.shape[-1] is 33, expected 32");
  refused(llama + " --hidden none.npy", 1, "none.npy.size is 0");
  refused("", 2, "folder is required");
  refused(llama + " zero", 2, "zero");
  refused(llama + " --hidden wide.npy --tokens 3", 2, "excludes");
  refused(llama + " --prefill -1", 2, "--prefill");
  refused(llama + " --hidden flat.npy", 3, "flat.npy has 1 axes, expected 2");
  refused("nowhere", 3, "nowhere/config.json cannot be opened");
}
