#!/usr/bin/env bash
# Installs what is missing, builds, and shows CoCA attention at work: on the text of a book, as a
# picture of score against distance, and in a model that reads far beyond the length of its training.
set -euo pipefail
cd "$(dirname "$0")/.."

# say TEXT: what comes next, and when it began.
say() { printf '\n[%d:%02d] %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$1"; }

scripts/install_deps.sh build examples
say "Compiling three programs for this processor, on $(nproc) processors: about a minute on two"
generator=()
if [ -z "${CMAKE_GENERATOR:-}" ] && command -v ninja >/dev/null && [ ! -e build/demo/CMakeCache.txt ]; then
  generator=(-G Ninja)
fi
# For the instruction set of this processor alone, which compiles soonest.
cmake --preset release "${generator[@]}" -D COCA_BUILD_TESTS=OFF -D COCA_WERROR=OFF -D COCA_NATIVE=ON \
  -D CMAKE_CXX_FLAGS=-DCOCA_SINGLE_TARGET -B build/demo >/dev/null
cmake --build build/demo --parallel "$(nproc)" --target book_demo score_decay language_model

say "Attention over the text of a book"
mkdir -p build/demo/out
build/demo/examples/book_demo examples/data/war-and-peace-chapters.txt

say "Scores against distance"
build/demo/examples/score_decay build/demo/out

say "Small trained models read far beyond the length of their training"
models=examples/language_model/models
build/demo/examples/language_model show --models "$models/rotary,$models/coca-strict,$models/coca-slack" \
  --text examples/data/war-and-peace.txt --threads "$(nproc)"
