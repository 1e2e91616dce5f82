#!/usr/bin/env bash
# Runs clang-tidy over the headers, through the files that use all of them, and over the examples.
set -euo pipefail
cd "$(dirname "$0")/.."

# Configured only, for the flags of each file.
cmake --preset clang -D COCA_BUILD_EXAMPLES=ON -D COCA_TEST_ALL=ON -D CMAKE_DISABLE_PRECOMPILE_HEADERS=ON -B build/tidy >/dev/null
{
  for file in tests/linking/second_test.cpp examples/*.cpp; do echo "$file"; done
  # This file includes its header twice, to show that one may.
  echo --checks=-readability-duplicate-include build/tidy/tests/headers/coca_reference_attention.hpp.cpp
} | xargs -P "$(nproc)" -L 1 clang-tidy --quiet -p build/tidy
