#!/usr/bin/env bash
# Installs what is missing, builds, and shows CoCA attention at work: on the text of a book, as a
# picture of score against distance, and in a model that reads far beyond the length of its training.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install_deps.sh build examples
cmake --preset release -D COCA_BUILD_TESTS=OFF -D COCA_WERROR=OFF -B build/demo >/dev/null
cmake --build build/demo --parallel "$(nproc)" --target book_demo score_decay language_model

mkdir -p build/demo/out
build/demo/examples/book_demo examples/data/war-and-peace-chapters.txt
build/demo/examples/score_decay build/demo/out

models=examples/language_model/models
printf '\n'
build/demo/examples/language_model show --models "$models/rotary,$models/coca-strict,$models/coca-slack" \
  --text examples/data/war-and-peace.txt --threads "$(nproc)"
