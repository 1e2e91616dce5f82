#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include "language_model/model.hpp"

namespace language_model {

struct Training {
  Config config;
  std::string text;  ///< a file
  std::string out;   ///< a folder: model, log.csv, and state.safetensors until the end
  Index steps = 2000;
  Index sequences = 32;         ///< of a batch
  double rate = 2e-3;           ///< at its highest
  double passkey_share = 0.25;  ///< of sequences
  Index passkeys_first =
      0;  ///< steps in which all have one: looking up is learned sooner by itself
  std::uint64_t seed = 1;
  int threads = 1;
  Index save_every = 100;                                ///< steps
  Index stop_after = std::numeric_limits<Index>::max();  ///< so many steps of this run
};

/// Trains a model, or goes on from what a run that was stopped has left in the folder. The result is
/// the same on any number of threads. Throws command_line::FileError for files.
void train(const Training& training);

}  // namespace language_model
