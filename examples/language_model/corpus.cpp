#include "language_model/corpus.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string_view>

#include "command_line/file.hpp"

namespace language_model {
namespace {

// What comes behind a key where it is told.
constexpr std::string_view kBehind = ". ";

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

Passkey::Passkey(std::span<const Byte> prose, std::size_t length, const std::vector<double>& depths,
                 std::mt19937_64& engine, std::size_t key_symbols) {
  constexpr std::string_view alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  std::string asked(question);
  std::uniform_int_distribution<std::size_t> symbol(0, alphabet.size() - 1);
  for (std::size_t i = 0; i < key_symbols; ++i) asked.push_back(alphabet[symbol(engine)]);
  const std::string told = asked + std::string(kBehind);
  const std::size_t least = depths.size() * told.size() + asked.size();
  if (length < least) {
    throw std::invalid_argument("length: was " + std::to_string(length) + ", expected " +
                                std::to_string(least) + " or more");
  }
  const auto filler = passage(prose, length - least, engine);
  std::size_t done = 0;
  for (const double depth : depths) {
    const auto place = static_cast<std::size_t>(depth * static_cast<double>(filler.size()));
    append(text, filler.subspan(done, place - done));
    append(text, told);
    done = place;
  }
  append(text, filler.subspan(done));
  append(text, asked);
}

std::size_t Passkey::most_told(std::size_t length, std::size_t key_symbols) {
  const std::size_t asked = question.size() + key_symbols;
  return (length - std::min(length, asked)) / (asked + kBehind.size());
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
      const auto symbols = std::uniform_int_distribution<std::size_t>(Passkey::symbols, 16)(engine);
      const std::size_t most = std::clamp<std::size_t>(Passkey::most_told(bytes, symbols), 1, 3);
      std::vector<double> depths(std::uniform_int_distribution<std::size_t>(1, most)(engine));
      for (double& depth : depths) depth = uniform(engine);
      std::ranges::sort(depths);
      text = Passkey(prose, bytes, depths, engine, symbols).text;
    } else {
      append(text, passage(prose, bytes, engine));
    }
    append(batch.inputs, std::span<const Byte>(text).first(bytes - 1));
    append(batch.targets, std::span<const Byte>(text).last(bytes - 1));
  }
  return batch;
}

}  // namespace language_model
