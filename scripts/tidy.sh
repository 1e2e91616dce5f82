#!/usr/bin/env bash
# Runs clang-tidy over the headers, through the files that use all of them, and over the examples.
set -euo pipefail
cd "$(dirname "$0")/.."

# Configured only, for the flags of each file.
cmake --preset clang >/dev/null
shopt -s nullglob
clang-tidy --quiet -p build/clang tests/linking/second_test.cpp examples/*.cpp
# This file includes its header twice, to show that one may.
clang-tidy --quiet -p build/clang --checks=-readability-duplicate-include \
  build/clang/tests/headers/coca_reference_attention.hpp.cpp
