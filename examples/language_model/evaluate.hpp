#pragma once

#define EIGEN_USE_THREADS
#include <functional>
#include <span>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include "language_model/reader.hpp"

namespace language_model {

/// Is told after each piece of work how many are done.
using Progress = std::function<void(long done)>;

/// The mean of -log p of bytes that have about `length` bytes before them: the last `counted` of each of
/// some windows of that length, spread over a text.
double mean_loss(const Model& model, const Reading& reading, std::span<const Byte> text,
                 Index length, Index windows, Index counted, Eigen::ThreadPool& pool,
                 const Progress& progress);

/// Of some pass keys, those of which every symbol is the most likely one, and the symbols that are.
struct Found {
  Index keys = 0;
  Index symbols = 0;
};

/// What a model finds of so many pass keys, at a depth in texts of a length. The same texts for every
/// model.
Found passkeys_found(const Model& model, const Reading& reading, std::span<const Byte> prose,
                     Index length, double depth, Index cases, std::uint64_t seed,
                     Eigen::ThreadPool& pool, const Progress& progress);

}  // namespace language_model
