#pragma once

#include <coca/core/scalar.hpp>
#include <optional>
#include <string>
#include <vector>

#include "command_line/scheme.hpp"

namespace attend {

/// The command line. docs/attend.md describes it.
struct Arguments : command_line::SchemeArguments {
  std::string q, k, v;
  std::string out;
  std::string lse;

  std::vector<std::string> masks;      ///< a query sees what all of them show
  std::vector<std::string> any_masks;  ///< and what one of these shows, if there are any
  coca::Position causal_offset = 0;
  coca::Index window_left = -1;
  coca::Index window_right = -1;
  coca::Position prefix = 0;
  coca::Position sink_tokens = 0;
  coca::Index dilation = 1;
  std::vector<coca::Position> global_tokens;
  std::string documents;
  coca::Index block_size = 0;
  std::string blocks;
  bool alibi = false;
  std::string bool_mask;
  std::string bias;

  std::optional<double> scale;
  double soft_cap = 0.0;
  std::string sinks;
  std::optional<coca::Position> first_query;
  coca::Position first_key = 0;
  std::string query_ids;
  std::string key_ids;
  bool checked = false;

  int threads = 1;
  bool verbose = false;
};

/// Reads the command line into `arguments`. Returns nothing to go on, or the code to exit with: 0
/// after --help, 2 after a message about what is wrong.
std::optional<int> parse(int argc, char** argv, Arguments& arguments);

}  // namespace attend
