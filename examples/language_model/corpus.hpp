#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "language_model/gradient.hpp"

/// What models read: prose, and questions for a number that stands somewhere in it.
namespace language_model {

/// A text whose last tenth is held out from training.
class Corpus {
 public:
  /// Reads a file. Throws command_line::FileError if that cannot be done, and for a text shorter than
  /// 10000 bytes.
  explicit Corpus(const std::string& path);

  std::span<const Byte> training() const { return std::span(text_).first(training_bytes_); }
  std::span<const Byte> held_out() const { return std::span(text_).subspan(training_bytes_); }

 private:
  Text text_;
  std::size_t training_bytes_;
};

/// Prose that tells a pass key of letters and digits at some places, and asks for it at the end (after
/// Mohtashami & Jaggi 2023).
struct Passkey {
  static constexpr std::size_t symbols = 5;
  /// What stands before a key. The mark stands nowhere in prose, so what comes behind it is always a
  /// key: "is " alone does not tell a small model that a key is asked for.
  static constexpr std::string_view question = " The pass key is #";

  Text text;  ///< as long as asked for, the key at its end

  /// Prose is taken from a random place. `depths` are the shares of it, from 0 to 1 and rising, that come
  /// before the key is told. Throws std::invalid_argument for a length in which all of that has no room.
  Passkey(std::span<const Byte> prose, std::size_t length, const std::vector<double>& depths,
          std::mt19937_64& engine, std::size_t key_symbols = symbols);

  /// How often a key may be told in a text that asks for it.
  static std::size_t most_told(std::size_t length, std::size_t key_symbols);
};

/// A batch for training: sequences from random places of the prose, a share of them with a pass key
/// of 5 to 16 symbols that is told at one to three random depths. The same for the same step and seed.
Batch make_batch(std::span<const Byte> prose, Index sequences, Index length, double passkey_share,
                 std::uint64_t seed, std::uint64_t step);

}  // namespace language_model
