#include "language_model/corpus.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "command_line/file.hpp"

namespace language_model {
namespace {

/// `count` bytes of prose from a random place on.
std::span<const Byte> passage(std::span<const Byte> prose, std::size_t count,
                              std::mt19937_64& engine) {
  std::uniform_int_distribution<std::size_t> place(0, prose.size() - count);
  return prose.subspan(place(engine), count);
}

void append(Text& text, std::span<const Byte> more) {
  text.insert(text.end(), more.begin(), more.end());
}
void append(Text& text, const std::string& more) {
  text.insert(text.end(), more.begin(), more.end());
}

}  // namespace

Corpus::Corpus(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw command_line::FileError(path + ": cannot be read");
  text_.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  if (text_.size() < 10000) {
    throw command_line::FileError(path + ": has " + std::to_string(text_.size()) +
                                  " bytes, expected 10000 or more");
  }
  training_bytes_ = text_.size() / 10 * 9;
}

Passkey::Passkey(std::span<const Byte> prose, std::size_t length, double depth,
                 std::mt19937_64& engine) {
  std::string key;
  std::uniform_int_distribution<int> digit('0', '9');
  for (std::size_t i = 0; i < digits; ++i) key.push_back(static_cast<char>(digit(engine)));
  const std::string told = " The pass key is " + key + ". Remember it. ";
  const std::string question = " What is the pass key? The pass key is " + key;
  if (length < told.size() + question.size()) {
    throw std::invalid_argument("length: was " + std::to_string(length) + ", expected " +
                                std::to_string(told.size() + question.size()) + " or more");
  }
  const auto filler = passage(prose, length - told.size() - question.size(), engine);
  const auto before = static_cast<std::size_t>(depth * static_cast<double>(filler.size()));
  append(text, filler.first(before));
  append(text, told);
  append(text, filler.subspan(before));
  append(text, question);
}

Batch make_batch(std::span<const Byte> prose, Index sequences, Index length, double passkey_share,
                 std::uint64_t seed, std::uint64_t step) {
  std::seed_seq mixed{seed, step};
  std::mt19937_64 engine(mixed);
  std::uniform_real_distribution<double> uniform(0.0, 1.0);
  const auto bytes = static_cast<std::size_t>(length) + 1;
  Batch batch;
  batch.length = length;
  for (Index i = 0; i < sequences; ++i) {
    Text text;
    if (uniform(engine) < passkey_share) {
      text = Passkey(prose, bytes, uniform(engine), engine).text;
    } else {
      append(text, passage(prose, bytes, engine));
    }
    append(batch.inputs, std::span<const Byte>(text).first(bytes - 1));
    append(batch.targets, std::span<const Byte>(text).last(bytes - 1));
  }
  return batch;
}

}  // namespace language_model
