#pragma once

#include <coca/core/scalar.hpp>
#include <optional>
#include <string>

#include "command_line/mask.hpp"
#include "command_line/scheme.hpp"

namespace attend {

/// The command line. docs/attend.md describes it.
struct Arguments : command_line::SchemeArguments, command_line::MaskArguments {
  std::string q, k, v;
  std::string out;
  std::string lse;

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
