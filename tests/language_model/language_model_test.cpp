#define EIGEN_USE_THREADS
#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>

#include "language_model/checkpoint.hpp"
#include "language_model/corpus.hpp"
#include "language_model/evaluate.hpp"
#include "language_model/generate.hpp"
#include "language_model/gradient.hpp"
#include "language_model/train.hpp"
#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

/// The example that trains: its gradients, that it can be stopped and goes on as if it had not been, and
/// that reading by caches is what was trained.
namespace {

using namespace language_model;

const std::vector<std::string> kSchemes{"rotary", "coca-constrained", "coca-strict", "coca-slack"};

Config small(const std::string& scheme) {
  Config config;
  config.scheme = scheme;
  config.layers = 2;
  config.heads = 2;
  config.head_dim = 8;
  config.hidden = 24;
  config.trained_length = 96;
  return config;
}

Text random_text(std::size_t count) {
  std::mt19937 engine(5);
  Text text(count);
  for (Byte& byte : text) byte = static_cast<Byte>('a' + engine() % 26);
  return text;
}

Batch random_batch(Index sequences, Index length) {
  const Text text = random_text(static_cast<std::size_t>(sequences * length) + 1);
  return {length, Text(text.begin(), text.end() - 1), Text(text.begin() + 1, text.end())};
}

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

Training short_training(const test::TemporaryFolder& folder, const std::string& out) {
  Training training;
  training.config = small("coca-slack");
  training.text = (folder.path / "text").string();
  training.out = (folder.path / out).string();
  training.steps = 6;
  training.sequences = 9;
  training.save_every = 2;
  return training;
}

}  // namespace

TEST_CASE("the gradient is the slope of the loss", "[language_model]") {
  for (const std::string& scheme : kSchemes) {
    Model model = random_model(small(scheme), 3);
    const Batch batch = random_batch(3, 20);
    Parameters gradient(model.config);
    add_gradient(model, batch, 0.5, gradient);
    // Along the gradient of one kind of weight at a time, the loss rises by its squared norm.
    const auto weights = model.parameters.named();
    const auto slopes = gradient.named();
    for (std::size_t i = 0; i < weights.size(); ++i) {
      INFO(scheme << ", " << weights[i].first);
      const auto norm = static_cast<double>(slopes[i].second->norm());
      REQUIRE(norm > 0.0);
      const Matrix before = *weights[i].second;
      const Matrix direction = *slopes[i].second / static_cast<float>(norm);
      const double step = 2e-3 * static_cast<double>(before.norm());
      const auto loss_at = [&](double distance) {
        *weights[i].second = before + static_cast<float>(distance) * direction;
        Parameters ignored(model.config);
        return add_gradient(model, batch, 0.5, ignored);
      };
      // Two central differences, from which the cubic term goes.
      const double near = (loss_at(step) - loss_at(-step)) / (2.0 * step);
      const double far = (loss_at(2.0 * step) - loss_at(-2.0 * step)) / (4.0 * step);
      *weights[i].second = before;
      // A loss is a sum of float products, off by some 1e-6.
      CHECK((4.0 * near - far) / 3.0 == Approx(norm).epsilon(0.01).margin(4e-6 / step));
    }
  }
}

TEST_CASE("reading by caches gives what was trained", "[language_model]") {
  for (const std::string& scheme : kSchemes) {
    INFO(scheme);
    const Model model = random_model(small(scheme), 3);
    const Batch batch = random_batch(1, 90);
    Parameters ignored(model.config);
    const double trained = add_gradient(model, batch, 1.0, ignored);
    const auto loss = [&](const Reading& reading) {
      const Matrix logits = Reader(model, reading).read(batch.inputs, batch.length);
      double sum = 0.0;
      for (Index n = 0; n < batch.length; ++n) {
        const auto row = logits.row(n);
        const double most = static_cast<double>(row.maxCoeff());
        sum += most + std::log((row.cast<double>().array() - most).exp().sum()) -
               static_cast<double>(row[batch.targets[static_cast<std::size_t>(n)]]);
      }
      return sum / static_cast<double>(batch.length);
    };
    CHECK(loss({}) == Approx(trained).epsilon(1e-5));
    // Within the trained length nothing is scaled, dropped or too far.
    CHECK(loss({.scaling = "dynamic-ntk", .mask = "streaming"}) == Approx(trained).epsilon(1e-5));
    if (scheme == "coca-slack") {
      CHECK_THROWS_AS(loss({.mask = "lambda"}), std::invalid_argument);
    } else {
      CHECK(loss({.mask = "lambda"}) == Approx(trained).epsilon(1e-5));
    }
    CHECK_THROWS_AS(loss({.scaling = "no such"}), std::invalid_argument);
    CHECK_THROWS_AS(loss({.mask = "no such"}), std::invalid_argument);
  }
}

TEST_CASE("beyond the trained length every way of reading is finite", "[language_model]") {
  const Text text = random_text(400);
  for (const std::string& scheme : kSchemes) {
    const Model model = random_model(small(scheme), 3);
    for (const std::string mask : {"causal", "streaming", "lambda"}) {
      if (mask == "lambda" && scheme == "coca-slack") continue;
      Reader reader(model, {.scaling = "dynamic-ntk", .mask = mask});
      INFO(scheme << ", " << mask);
      CHECK(reader.read(text, 3).allFinite());
    }
  }
}

TEST_CASE("training may stop and go on, on any number of threads", "[language_model]") {
  const test::TemporaryFolder folder;
  {
    const Text text = random_text(20000);
    std::ofstream file((folder.path / "text").string(), std::ios::binary);
    file.write(reinterpret_cast<const char*>(text.data()),
               static_cast<std::streamsize>(text.size()));
  }
  train(short_training(folder, "whole"));
  Training stopped = short_training(folder, "parts");
  stopped.threads = 2;
  stopped.stop_after = 4;
  train(stopped);
  stopped.stop_after = std::numeric_limits<Index>::max();
  train(stopped);
  for (const std::string file : {"model.safetensors", "config.json"}) {
    CHECK(contents((folder.path / ("whole/" + file)).string()) ==
          contents((folder.path / ("parts/" + file)).string()));
  }
  const std::string log = contents((folder.path / ("parts/log.csv")).string());
  CHECK(std::count(log.begin(), log.end(), '\n') == 7);

  const Model model = load((folder.path / ("whole")).string());
  CHECK(model.config.scheme == "coca-slack");
  CHECK(model.config.trained_length == 96);
  const Text held_out = random_text(500);
  Eigen::ThreadPool one(1), two(2);
  const auto loss = [&](Eigen::ThreadPool& pool) {
    return mean_loss(model, {}, held_out, 200, 5, 50, pool, [](long) {});
  };
  CHECK(loss(one) == loss(two));
  // 26 letters that follow no rule.
  CHECK(loss(one) > std::log(26.0) - 0.1);
}

TEST_CASE("pass keys stand where they are asked to", "[language_model]") {
  const Text prose(1000, 'x');
  const std::vector<std::vector<double>> places{{0.0}, {0.5}, {1.0}, {0.2, 0.2, 0.9}};
  for (const auto& depths : places) {
    std::mt19937_64 engine(7);
    const Text text = Passkey(prose, 300, depths, engine).text;
    REQUIRE(text.size() == 300);
    const std::string written(text.begin(), text.end());
    const std::string key = written.substr(300 - Passkey::symbols);
    const auto prose_bytes = static_cast<double>(std::count(text.begin(), text.end(), 'x'));
    std::size_t from = 0;
    for (std::size_t i = 0; i < depths.size(); ++i) {
      const auto told = written.find(" The pass key is #" + key + ". ", from);
      REQUIRE(told != std::string::npos);
      const auto before = static_cast<double>(told - 25 * i);
      CHECK(before == Approx(depths[i] * prose_bytes).margin(1.0));
      from = told + 25;
    }
    CHECK(written.find(" The pass key is #" + key, from) == 300 - 18 - Passkey::symbols);
  }
  std::mt19937_64 engine(7);
  CHECK_THROWS_AS(Passkey(prose, 45, {0.5}, engine), std::invalid_argument);
}

TEST_CASE("what is generated follows from the text and the seed", "[language_model]") {
  const Model model = random_model(small("coca-slack"), 3);
  const Text text = random_text(40);
  const auto more = [&](double temperature, std::uint64_t seed) {
    Reader reader(model, {});
    Text told;
    const Text bytes =
        generated(reader, text, 30, temperature, seed, [&](Byte byte) { told.push_back(byte); });
    CHECK(told == bytes);
    REQUIRE(bytes.size() == 30);
    return bytes;
  };
  CHECK(more(1.0, 1) == more(1.0, 1));
  CHECK(more(1.0, 1) != more(1.0, 2));
  // Always the most likely byte of what was read.
  const Text greedy = more(0.0, 1);
  CHECK(greedy == more(0.0, 2));
  Text all = text;
  all.insert(all.end(), greedy.begin(), greedy.end());
  const Matrix logits = Reader(model, {}).read(std::span<const Byte>(all).first(69), 30);
  for (Index n = 0; n < 30; ++n) {
    Index likely = 0;
    logits.row(n).maxCoeff(&likely);
    CHECK(likely == greedy[static_cast<std::size_t>(n)]);
  }
}
