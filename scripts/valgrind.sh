#!/usr/bin/env bash
# Installs what is missing, builds, and runs the quick examples under valgrind's memcheck. Fails where one
# uses what was never written, reaches outside of its memory, or loses some.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install_deps.sh build tests examples valgrind
if [ -z "${CMAKE_CXX_COMPILER_LAUNCHER:-}" ] && command -v ccache >/dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache
fi

# The build of the tests. Valgrind has no AVX-512, and programs that ask it for the processor are told so:
# they take AVX2.
programs=(quickstart own_variant score_decay attend decode generate stream_forever)
cmake --preset release >/dev/null
cmake --build --preset release --parallel "$(nproc)" --target "${programs[@]}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
data=tests/golden/data

run() {
  local start=$SECONDS program=$1
  shift
  valgrind --quiet --leak-check=full --errors-for-leak-kinds=definite,possible --error-exitcode=99 \
    "build/release/examples/$program" "$@" >"$work/log" || { cat "$work/log" && exit 1; }
  printf '%s %s: clean, %d s\n' "$program" "${*##*/}" $((SECONDS - start))
}

run quickstart
run own_variant
run score_decay "$work"
for target in avx2 baseline; do
  export COCA_TARGET=$target
  for case in coca_slack coca_strict rope_half_split; do
    scheme=(--scheme rotary)
    case $case in coca_*) scheme=(--scheme "${case/_/-}" --key-form x) ;; esac
    files=("$data/$case".{q,k,v}.npy)
    run attend "${scheme[@]}" --mask causal -o "$work/out.npy" "${files[@]}"
    for type in float32 bfloat16 int8; do
      run decode "${scheme[@]}" --type $type --cache paged --prefill 4 -o "$work/out.npy" "${files[@]}"
    done
  done
done
unset COCA_TARGET
run generate --scheme coca-slack --tokens 4 --layers 1 --threads 2 --check
run stream_forever examples/data/war-and-peace-chapters.txt --window 124 --tokens 200
