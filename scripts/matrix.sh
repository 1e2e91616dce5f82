#!/usr/bin/env bash
# Runs every position method and mask with every scheme, and writes into README.md what came of it.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install_deps.sh build tests
cmake --preset release -D COCA_BUILD_EXAMPLES=OFF -B build/matrix
cmake --build build/matrix --target test_matrix
build/matrix/tests/test_matrix
cmake -D MATRIX=build/matrix/tests/matrix.md -D README=README.md -D WRITE=ON -P tests/matrix/readme.cmake
