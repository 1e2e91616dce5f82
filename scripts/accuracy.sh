#!/usr/bin/env bash
# Installs what is missing, builds, measures how far results are from exact ones, beside PyTorch, and writes
# docs/accuracy.md with its plot.
#   scripts/accuracy.sh              everything: about half an hour on two cores
#   scripts/accuracy.sh LENGTH...    measures at these lengths alone
#   scripts/accuracy.sh --report     the page alone, from the last measurements
# Python packages are installed into the folder ACCURACY_VENV (build/accuracy-venv).
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${ACCURACY_VENV:-build/accuracy-venv}
results=build/accuracy/results
lengths=(128 512 2048 8192 32768 131072)

report=yes
case ${1:-} in
  '') ;;
  --report) lengths=() ;;
  [0-9]*) lengths=("$@") report= ;;
  *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" && exit 2 ;;
esac

if ! "$venv/bin/python" -c 'import matplotlib, torch, tqdm' 2>/dev/null; then
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install -q numpy torch tqdm matplotlib
fi
# The call by ctypes is that of the comparison, the plots are those of the report.
export PYTHONPATH=bench/peers:bench/report

if [ ${#lengths[@]} -gt 0 ]; then
  scripts/install_deps.sh build bench
  cmake --preset release -D COCA_BUILD_BENCH=ON -D COCA_BUILD_TESTS=OFF -D COCA_BUILD_EXAMPLES=OFF \
    -B build/bench >/dev/null
  cmake --build build/bench --parallel "$(nproc)" --target coca_accuracy
  mkdir -p "$results"
fi
for length in "${lengths[@]}"; do
  "$venv/bin/python" bench/accuracy/measure.py build/bench/bench/accuracy/libcoca_accuracy.so "$length" \
    "$results/$length.part"
  mv "$results/$length.part" "$results/$length.json"
done
if [ -n "$report" ]; then
  "$venv/bin/python" bench/accuracy/report.py "$results" docs
  echo docs/accuracy.md
fi
