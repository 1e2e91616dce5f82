#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <string>

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

/// A text that tells a pass key of five digits, goes on with prose and ends with the question for it
/// (Mohtashami & Jaggi 2023): `depth` of the prose, from 0 to 1, comes before the key.
struct Passkey {
  static constexpr std::size_t digits = 5;

  Text text;  ///< as long as asked for, the key at its end

  /// Prose is taken from a random place. Throws std::invalid_argument for a length in which the key and
  /// the question have no room.
  Passkey(std::span<const Byte> prose, std::size_t length, double depth, std::mt19937_64& engine);
};

/// A batch for training: sequences from random places of the prose, a share of them with pass keys at
/// random depths. The same for the same step and seed.
Batch make_batch(std::span<const Byte> prose, Index sequences, Index length, double passkey_share,
                 std::uint64_t seed, std::uint64_t step);

}  // namespace language_model
