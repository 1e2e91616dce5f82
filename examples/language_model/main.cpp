#define EIGEN_USE_THREADS
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "command_line/cli.hpp"
#include "command_line/program.hpp"
#include "command_line/progress_bar.hpp"
#include "language_model/checkpoint.hpp"
#include "language_model/corpus.hpp"
#include "language_model/evaluate.hpp"
#include "language_model/generate.hpp"
#include "language_model/show.hpp"
#include "language_model/train.hpp"

/// Trains small language models that differ in nothing but how a query and a key make a score, and
/// asks how they read texts longer than those they were trained on.
namespace language_model {
namespace {

struct Question {
  std::string model, text;
  Reading reading;
  std::vector<Index> lengths{256, 512, 1024, 2048};
  std::vector<double> depths{0.1, 0.3, 0.5, 0.7, 0.9};
  Index windows = 32;
  Index counted = 128;
  Index cases = 20;
  std::uint64_t seed = 1;
  std::string prompt = "Well, Prince, ";
  Index bytes = 200;
  double temperature = 0.8;
  int threads = 1;
};

/// What a line of results begins with.
void print_row(const Model& model, const Question& question, Index length) {
  std::printf("%s,%s,%s,%ld", model.config.scheme.c_str(), question.reading.scaling.c_str(),
              question.reading.mask.c_str(), static_cast<long>(length));
}

void evaluate(const Question& question) {
  const Model model = load(question.model);
  const Corpus corpus(question.text);
  Eigen::ThreadPool pool(question.threads);
  std::printf("scheme,scaling,mask,length,loss,perplexity\n");
  for (const Index length : question.lengths) {
    double loss = 0.0;
    {
      command_line::ProgressBar bar(question.windows);
      loss = mean_loss(model, question.reading, corpus.held_out(), length, question.windows,
                       std::min(question.counted, length), pool,
                       [&](long done) { bar.show(done, "windows"); });
    }
    print_row(model, question, length);
    std::printf(",%.4f,%.3f\n", loss, std::exp(loss));
    std::fflush(stdout);
  }
}

void find_passkeys(const Question& question) {
  const Model model = load(question.model);
  const Corpus corpus(question.text);
  Eigen::ThreadPool pool(question.threads);
  std::printf("scheme,scaling,mask,length,depth,cases,found,symbols\n");
  for (const Index length : question.lengths) {
    for (const double depth : question.depths) {
      Found found;
      {
        command_line::ProgressBar bar(question.cases);
        found = passkeys_found(model, question.reading, corpus.held_out(), length, depth,
                               question.cases, question.seed, pool,
                               [&](long done) { bar.show(done, "pass keys"); });
      }
      print_row(model, question, length);
      std::printf(",%.2f,%ld,%ld,%ld\n", depth, static_cast<long>(question.cases),
                  static_cast<long>(found.keys), static_cast<long>(found.symbols));
      std::fflush(stdout);
    }
  }
}

void generate(const Question& question) {
  const Model model = load(question.model);
  Reader reader(model, question.reading);
  std::printf("%s", question.prompt.c_str());
  const Text prompt(question.prompt.begin(), question.prompt.end());
  generated(reader, prompt, question.bytes, question.temperature, question.seed, [](Byte byte) {
    std::putchar(byte);
    std::fflush(stdout);
  });
  std::printf("\n");
}

void add_model(CLI::App& command, Question& q) {
  command.add_option("--model", q.model, "folder of a trained model")->required();
  command.add_option("--scaling", q.reading.scaling, "of the rope, to the length of the text")
      ->check(CLI::IsMember({"none", "linear", "ntk", "dynamic-ntk"}))
      ->capture_default_str();
  command.add_option("--factor", q.reading.factor, "of ntk and dynamic-ntk")
      ->check(CLI::Range(1.0, 1e6))
      ->capture_default_str();
  command
      .add_option("--mask", q.reading.mask,
                  "StreamingLLM's cache, or LM-Infinite's mask and ceiling")
      ->check(CLI::IsMember({"causal", "streaming", "lambda"}))
      ->capture_default_str();
  command.add_option("--sinks", q.reading.sinks, "first tokens that these keep")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  command.add_option("--threads", q.threads, "threads")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command.add_option("--seed", q.seed, "of what is drawn")->capture_default_str();
}
void add_lengths(CLI::App& command, Question& q) {
  command.add_option("--text", q.text, "whose last tenth is read")->required();
  command.add_option("--lengths", q.lengths, "of texts, in bytes")
      ->delimiter(',')
      ->check(CLI::Range(Index{128}, Index{1} << 24))
      ->capture_default_str();
}

}  // namespace
}  // namespace language_model

int main(int argc, char** argv) {
  using namespace language_model;
  CLI::App app("A small language model whose attention may be any of the library's schemes.",
               "language_model");
  app.require_subcommand(1);
  app.set_version_flag("--version", command_line::version());

  Training training;
  Config& config = training.config;
  CLI::App& train_command = *app.add_subcommand("train", "train a model, or go on with it");
  train_command.add_option("--text", training.text, "to learn from, but for its last tenth")
      ->required();
  train_command.add_option("--out", training.out, "folder for the model and its log")->required();
  train_command.add_option("--scheme", config.scheme, "how a query and a key make a score")
      ->check(CLI::IsMember({"rotary", "coca-constrained", "coca-strict", "coca-slack"}))
      ->capture_default_str();
  const auto size = [&](const char* name, Index& value, const char* what) {
    train_command.add_option(name, value, what)->check(CLI::PositiveNumber)->capture_default_str();
  };
  size("--layers", config.layers, "blocks");
  size("--heads", config.heads, "heads of each");
  size("--head-dim", config.head_dim, "numbers of a head");
  size("--hidden", config.hidden, "numbers between the products of SwiGLU");
  size("--length", config.trained_length, "bytes of a sequence");
  size("--steps", training.steps, "steps");
  size("--sequences", training.sequences, "sequences of a step");
  size("--save-every", training.save_every, "steps between two saves of the state");
  size("--stop-after", training.stop_after, "steps of this run; another one goes on");
  train_command.add_option("--base", config.base, "of the rope")
      ->check(CLI::Range(1.0, 1e12))
      ->capture_default_str();
  train_command.add_option("--rate", training.rate, "highest learning rate")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  train_command
      .add_option("--passkey-share", training.passkey_share, "of sequences with a pass key")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  train_command
      .add_option("--passkeys-first", training.passkeys_first,
                  "steps in which all sequences have one")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  train_command.add_option("--seed", training.seed, "of weights and batches")
      ->capture_default_str();
  train_command.add_option("--threads", training.threads, "threads")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();

  Question question;
  CLI::App& eval_command = *app.add_subcommand("eval", "perplexity at several lengths, as CSV");
  add_model(eval_command, question);
  add_lengths(eval_command, question);
  eval_command.add_option("--windows", question.windows, "texts of each length")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  eval_command.add_option("--counted", question.counted, "last bytes of each that count")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();

  CLI::App& passkey_command = *app.add_subcommand("passkey", "pass keys found, as CSV");
  add_model(passkey_command, question);
  add_lengths(passkey_command, question);
  passkey_command.add_option("--depths", question.depths, "share of the prose before the key")
      ->delimiter(',')
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  passkey_command.add_option("--cases", question.cases, "for each length and depth")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();

  CLI::App& generate_command = *app.add_subcommand("generate", "go on with a text");
  add_model(generate_command, question);
  generate_command.add_option("--prompt", question.prompt, "text to go on from")
      ->check([](const std::string& text) { return text.empty() ? "is empty" : ""; })
      ->capture_default_str();
  generate_command.add_option("--bytes", question.bytes, "to write")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  generate_command
      .add_option("--temperature", question.temperature, "0: always the most likely byte")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();

  Showing showing;
  CLI::App& show_command = *app.add_subcommand("show", "models side by side, on long texts");
  show_command.add_option("--models", showing.models, "folders of trained models")
      ->delimiter(',')
      ->required();
  show_command.add_option("--text", showing.text, "whose last tenth is read")->required();
  show_command.add_option("--scaling", showing.scaling, "of the rope, to the length of a text")
      ->check(CLI::IsMember({"none", "linear", "ntk", "dynamic-ntk"}))
      ->capture_default_str();
  show_command.add_option("--lengths", showing.lengths, "of texts, in bytes, rising")
      ->delimiter(',')
      ->check(CLI::Range(Index{128}, Index{1} << 24))
      ->capture_default_str();
  const auto bytes = [&](const char* name, Index& value, const char* what) {
    show_command.add_option(name, value, what)
        ->check(CLI::Range(Index{128}, Index{1} << 20))
        ->capture_default_str();
  };
  bytes("--asked", showing.asked, "bytes of the text with a pass key that is printed");
  bytes("--read", showing.read, "bytes of the book that are gone on with");
  show_command.add_option("--seed", showing.seed, "of what is drawn")->capture_default_str();
  show_command.add_option("--threads", showing.threads, "threads")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  return command_line::run_program("language_model", [&] {
    if (train_command) train(training);
    if (eval_command) evaluate(question);
    if (passkey_command) find_passkeys(question);
    if (generate_command) generate(question);
    if (show_command) show(showing);
  });
}
