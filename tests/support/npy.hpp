#pragma once

#include <string>
#include <vector>

#include "coca/core/view.hpp"

/// Reading .npy files, apart from the tests because the reader is slow to compile.
namespace test {

struct Npy {
  std::vector<coca::Index> shape;
  std::vector<double> values;  ///< row-major
};

/// A file of float32 or float64. Throws std::runtime_error otherwise.
Npy read_npy(const std::string& path);

/// A row-major float32 file.
void write_npy(const std::string& path, const std::vector<coca::Index>& shape,
               const std::vector<float>& values);

}  // namespace test
