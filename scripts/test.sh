#!/usr/bin/env bash
# Installs what is missing, builds and runs all tests.
#   scripts/test.sh [preset]     presets: release (default), native, clang, debug, asan, ubsan,
#                                asan-ubsan, tsan; further arguments go to ctest
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
shift || true

scripts/install_deps.sh build tests examples
case $preset in clang*) scripts/install_deps.sh checks ;; esac

jobs=$(nproc)
cmake --preset "$preset"
cmake --build --preset "$preset" --parallel "$jobs"
ctest --preset "$preset" --parallel "$jobs" "$@"
