#include "language_model/show.hpp"

#include <cmath>
#include <cstdio>
#include <random>

#include "command_line/progress_bar.hpp"
#include "language_model/checkpoint.hpp"
#include "language_model/corpus.hpp"
#include "language_model/evaluate.hpp"
#include "language_model/generate.hpp"

namespace language_model {
namespace {

constexpr Index kWindows = 16;
constexpr Index kCounted = 64;
constexpr Index kCases = 20;
constexpr double kDepth = 0.1;

/// A line with the name of each model, and one number for each length.
template <class Number>
void print_table(const std::vector<Model>& models, const std::vector<Index>& lengths,
                 const char* what, const char* format, const Number& number) {
  std::printf("%-24s", what);
  for (const Index length : lengths) std::printf("%9ld", static_cast<long>(length));
  std::printf("\n");
  for (const Model& model : models) {
    std::vector<double> numbers;
    {
      command_line::ProgressBar bar(static_cast<long>(lengths.size()));
      for (const Index length : lengths) {
        numbers.push_back(number(model, length));
        bar.show(static_cast<long>(numbers.size()), model.config.scheme);
      }
    }
    std::printf("%-24s", ("  " + model.config.scheme).c_str());
    for (const double x : numbers) std::printf(format, x);
    std::printf("\n");
    std::fflush(stdout);
  }
}

std::string printable(std::span<const Byte> text) {
  std::string result;
  for (const Byte byte : text) result.push_back(byte < ' ' ? ' ' : static_cast<char>(byte));
  return result;
}

/// One text that tells a pass key, and what each model answers.
void ask_for_a_key(const std::vector<Model>& models, const Reading& reading,
                   std::span<const Byte> prose, Index length, std::uint64_t seed) {
  std::mt19937_64 engine(seed);
  const Text text = Passkey(prose, static_cast<std::size_t>(length), {kDepth}, engine).text;
  const auto question = std::span<const Byte>(text).first(text.size() - Passkey::symbols);
  // Its end is shown without the space that it begins with.
  std::printf("\n%ld bytes that end with \"%s\"; it was told %ld bytes before: %s\n",
              static_cast<long>(length),
              printable(question.last(Passkey::question.size() - 1)).c_str(),
              std::lround((1.0 - kDepth) * static_cast<double>(length)),
              printable(std::span<const Byte>(text).last(Passkey::symbols)).c_str());
  for (const Model& model : models) {
    Reader reader(model, reading);
    const Text answer = generated(reader, question, Passkey::symbols, 0.0, seed);
    std::printf("  %-22s answers %s\n", model.config.scheme.c_str(), printable(answer).c_str());
  }
}

}  // namespace

void show(const Showing& showing) {
  std::vector<Model> models;
  for (const std::string& folder : showing.models) models.push_back(load(folder));
  const Corpus corpus(showing.text);
  Eigen::ThreadPool pool(showing.threads);
  Reading reading{.scaling = showing.scaling};
  std::printf(
      "Trained on texts of %ld bytes; longer ones are read with %s scaling of the rope.\n\n",
      static_cast<long>(models.front().config.trained_length), showing.scaling.c_str());
  print_table(models, showing.lengths, "perplexity at", "%9.2f",
              [&](const Model& model, Index length) {
                return std::exp(mean_loss(model, reading, corpus.held_out(), length, kWindows,
                                          kCounted, pool, [](long) {}));
              });
  std::printf("\n");
  print_table(models, showing.lengths, "pass keys found at", "%8.0f%%",
              [&](const Model& model, Index length) {
                const Found found = passkeys_found(model, reading, corpus.held_out(), length,
                                                   kDepth, kCases, showing.seed, pool, [](long) {});
                return 100.0 / kCases * static_cast<double>(found.keys);
              });
  reading.length = showing.asked;
  ask_for_a_key(models, reading, corpus.held_out(), showing.asked, showing.seed);

  constexpr Index written = 240;
  reading.length = showing.read + written;
  const auto before = corpus.held_out().first(static_cast<std::size_t>(showing.read));
  Reader reader(models.back(), reading);
  const Text more = generated(reader, before, written, 0.4, showing.seed);
  std::printf("\n%s, after %ld bytes of the book that end with \"%s\":\n%s\n",
              models.back().config.scheme.c_str(), static_cast<long>(showing.read),
              printable(before.last(60)).c_str(), printable(more).c_str());
}

}  // namespace language_model
