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
  std::vector<Index> lengths{128, 256, 512, 1024, 2048};
  Index asked = 256;  ///< bytes of the one text that asks for a pass key
  Index read = 512;   ///< bytes that are read before some are generated
  std::uint64_t seed = 1;
  int threads = 1;
};

/// Prints, model beside model: perplexity at growing lengths, pass keys found, what each
/// answers to one of them, and a few lines that the last model goes on with.
void show(const Showing& showing);

}  // namespace language_model
