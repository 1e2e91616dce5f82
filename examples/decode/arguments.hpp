#pragma once

#include <coca/coca.hpp>
#include <optional>
#include <string>

#include "command_line/mask.hpp"
#include "command_line/scheme.hpp"

namespace decode {

/// The command line. docs/decode.md describes it.
struct Arguments : command_line::SchemeArguments, command_line::MaskArguments {
  std::string q, k, v;
  std::string out;

  coca::Index prefill = 0;
  std::string cache = "growing";
  std::string type;  ///< empty: that of the computation
  coca::PageOptions pages;
  coca::RollingOptions rolling;

  int threads = 1;
  bool verbose = false;
};

/// Reads the command line into `arguments`. Returns nothing to go on, or the code to exit with: 0
/// after --help, 2 after a message about what is wrong.
std::optional<int> parse(int argc, char** argv, Arguments& arguments);

}  // namespace decode
