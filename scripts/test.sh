#!/usr/bin/env bash
# Installs what is missing, builds and runs all tests.
#   scripts/test.sh [preset]     presets: release (default), native, clang, clang-kernels, debug, asan,
#                                ubsan, asan-ubsan, clang-asan-ubsan, tsan, arm64 (emulated); further
#                                arguments go to ctest
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
shift || true

scripts/install_deps.sh build tests examples
case $preset in
  clang*) scripts/install_deps.sh checks ;;
  arm64) scripts/install_deps.sh arm64 ;;
esac

if [ -z "${CMAKE_CXX_COMPILER_LAUNCHER:-}" ] && command -v ccache >/dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache
fi

# The sanitizers of GCC 12 and clang 14 do not start where the kernel randomises addresses by more
# bits than they know of. A container may forbid setarch, so it is tried first.
run=()
case $preset in clang | *san*)
  if setarch "$(uname -m)" -R true 2>/dev/null; then run=(setarch "$(uname -m)" -R); fi ;;
esac

jobs=$(nproc)
cmake --preset "$preset"
cmake --build --preset "$preset" --parallel "$jobs"
"${run[@]}" ctest --preset "$preset" --parallel "$jobs" "$@"
