#!/usr/bin/env bash
# Runs clang-tidy over the headers, through one file that uses all of them.
set -euo pipefail
cd "$(dirname "$0")/.."
# An installed package with the flags of any build: the headers need no more than Eigen.
clang-tidy --quiet tests/linking/second_test.cpp examples/quickstart.cpp -- \
  -std=c++20 -Iinclude -Itests -isystem /usr/include/eigen3
