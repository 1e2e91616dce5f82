#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "language_model/reader.hpp"

namespace language_model {

/// What models are shown doing.
struct Showing {
  std::vector<std::string> models;  ///< folders
  std::string text;                 ///< a file, whose last tenth is read
  std::string scaling = "dynamic-ntk";
  std::vector<Index> lengths{128, 512, 1024, 2048};
  std::uint64_t seed = 1;
  int threads = 1;
};

/// Prints, model beside model: perplexity at growing lengths, the answer to a pass key told at the
/// beginning of the longest text, and a few lines that the last model goes on with.
void show(const Showing& showing);

}  // namespace language_model
