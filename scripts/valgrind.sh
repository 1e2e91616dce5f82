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
# they take AVX2. language_model does not ask, and book_demo would take four minutes.
programs=(quickstart own_variant score_decay attend decode generate stream_forever layers)
# OpenMPI loses memory of its own, and says what else of it is no fault.
export openmpi=/usr/share/openmpi/openmpi-valgrind.supp
[ ! -e "$openmpi" ] || programs+=(ring_attention)
cmake --preset release >/dev/null
cmake --build --preset release --parallel "$(nproc)" --target "${programs[@]}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
data=tests/golden/data
export work

# run PROGRAM ARGUMENT...: under valgrind, in a folder of its own.
run() {
  local start=$SECONDS program=$1 folder
  shift
  folder=$(mktemp -d -p "$work")
  set -- "${@//FOLDER/$folder}"
  local leaks=(--leak-check=full --errors-for-leak-kinds=definite,possible)
  [ "$program" != ring_attention ] || leaks=(--suppressions="$openmpi")
  valgrind --quiet "${leaks[@]}" --error-exitcode=99 \
    "build/release/examples/$program" "$@" >"$folder/log" || { cat "$folder/log" && exit 1; }
  printf '%s %s %s: clean, %d s\n' "$program" "${COCA_TARGET:-}" "${*##*/}" $((SECONDS - start))
}
export -f run

# The longest first; as many at once as there are processors.
{
  echo run quickstart
  echo run stream_forever examples/data/war-and-peace-chapters.txt --window 124 --tokens 200
  echo run generate --scheme coca-slack --tokens 4 --layers 1 --threads 2 --check
  for target in avx2 baseline; do
    for case in coca_slack coca_strict rope_half_split; do
      scheme='--scheme rotary'
      case $case in coca_*) scheme="--scheme ${case/_/-} --key-form x" ;; esac
      files="$data/$case.q.npy $data/$case.k.npy $data/$case.v.npy"
      echo "COCA_TARGET=$target run attend $scheme --mask causal -o FOLDER/out.npy $files"
      for type in float32 bfloat16 int8; do
        echo "COCA_TARGET=$target run decode $scheme --type $type --cache paged --prefill 4 -o FOLDER/out.npy $files"
      done
    done
  done
  echo run layers tests/golden/layers/qwen3 0 --coca --prefill 5 --threads 2 -o FOLDER/y.npy \
    --hidden tests/golden/layers/qwen3/hidden.npy
  [ ! -e "$openmpi" ] || echo run ring_attention --length 64
  echo run own_variant
  echo run score_decay FOLDER
} | xargs -d '\n' -n 1 -P "$(nproc)" bash -c
