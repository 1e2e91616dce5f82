#!/usr/bin/env bash
# Installs what is missing, builds and runs the tests.
#   scripts/test.sh [--all] [preset] [argument of ctest]...
# presets: release (default), native, clang, clang-kernels, debug, asan, ubsan, asan-ubsan, clang-asan-ubsan, tsan,
# arm64 (emulated). With --all, also the tests that take long and rarely fail, and all random calls: otherwise tests
# make a quarter of them, or one of COCA_TEST_SHARE.
set -euo pipefail
cd "$(dirname "$0")/.."
all=OFF
share=4
if [ "${1:-}" = --all ]; then
  all=ON
  share=1
  shift
fi
preset=${1:-release}
shift || true
export COCA_TEST_SHARE=${COCA_TEST_SHARE:-$share}

scripts/install_deps.sh build tests examples
case $preset in
  clang*) scripts/install_deps.sh checks ;;
  arm64) scripts/install_deps.sh arm64 ;;
esac

if [ -z "${CMAKE_CXX_COMPILER_LAUNCHER:-}" ] && command -v ccache >/dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache
  # Precompiled headers depend on what ccache otherwise looks at.
  export CCACHE_SLOPPINESS=${CCACHE_SLOPPINESS:-pch_defines,time_macros}
fi
# Ninja begins to compile files of a program while its libraries are not finished. A folder keeps its generator.
generator=()
if [ -z "${CMAKE_GENERATOR:-}" ] && command -v ninja >/dev/null && [ ! -e "build/$preset/CMakeCache.txt" ]; then
  generator=(-G Ninja)
fi

# The sanitizers of GCC 12 and clang 14 do not start where the kernel randomises addresses by more
# bits than they know of. A container may forbid setarch, so it is tried first.
run=()
case $preset in clang | *san*)
  if setarch "$(uname -m)" -R true 2>/dev/null; then run=(setarch "$(uname -m)" -R); fi ;;
esac

# say TEXT: what comes next, and when it began.
say() { printf '\n[%d:%02d] %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$1"; }

jobs=$(nproc)
say "Configuring build/$preset"
cmake --preset "$preset" "${generator[@]}" -D COCA_TEST_ALL=$all
say "Compiling on $jobs processors"
cmake --build --preset "$preset" --parallel "$jobs"
say "Running the tests"
"${run[@]}" ctest --preset "$preset" --parallel "$jobs" "$@"
