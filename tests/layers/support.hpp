#pragma once

#include <string>

#include "layers/attention_layer.hpp"
#include "support/npy.hpp"

/// The golden checkpoints of make_layers_golden.py.
namespace test {

inline std::string golden_folder(const std::string& name) {
  return std::string(COCA_LAYERS_GOLDEN_DIR) + "/" + name;
}

/// A file [sequences, tokens, hidden] of a checkpoint's folder, rows of one sequence after the other.
inline layers::Matrix golden_states(const std::string& name, const std::string& file) {
  const Npy states = read_npy(golden_folder(name) + "/" + file + ".npy");
  return Eigen::Map<const Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(
             states.values.data(), states.shape[0] * states.shape[1], states.shape[2])
      .cast<float>();
}

inline constexpr coca::Index kGoldenSequences = 2, kGoldenTokens = 24;

/// Largest |a - b|; infinite where one is NaN.
inline double apart(const layers::Matrix& a, const layers::Matrix& b) {
  if (!(a - b).allFinite()) return std::numeric_limits<double>::infinity();
  return static_cast<double>((a - b).cwiseAbs().maxCoeff());
}

}  // namespace test
