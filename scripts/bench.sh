#!/usr/bin/env bash
# Installs what is missing, builds, measures, and writes docs/performance.md with its plots.
#   scripts/bench.sh               everything: about an hour, on a machine that does nothing else
#   scripts/bench.sh --quick       fewer shapes, less time for each: about 11 minutes
#   scripts/bench.sh --only NAMES  these questions alone, separated by commas: machine, prefill,
#                                  schemes, patterns, forms, types, threads, ragged, short,
#                                  instruction_sets, compile, backward, decode (all memory but
#                                  4 GiB), peers
#   scripts/bench.sh --no-peers    without the other libraries, and without installing them
#   scripts/bench.sh --report      the report alone, from the last measurements
# Other libraries are installed into the folder PEERS_VENV (build/peers-venv).
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${PEERS_VENV:-build/peers-venv}
results=build/bench/results
questions=(machine prefill schemes patterns forms types threads ragged short instruction_sets compile backward decode peers)

quick=
while [ $# -gt 0 ]; do
  case $1 in
    --quick) quick=--quick ;;
    --only) IFS=, read -ra questions <<<"${2:?--only needs names}" && shift ;;
    --no-peers) questions=("${questions[@]/#peers/}") ;;
    --report) questions=() ;;
    *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" && exit 2 ;;
  esac
  shift
done

asked() { [[ " ${questions[*]} " == *" $1 "* ]]; }

# The driver of the comparisons and the report need Python packages; without the other libraries,
# matplotlib is enough.
if asked peers; then
  [ -e "$venv.json" ] || bench/peers/install.sh "$venv"
elif [ ! -x "$venv/bin/python" ]; then
  venv=build/report-venv
  [ -x "$venv/bin/python" ] || { python3 -m venv "$venv" && "$venv/bin/python" -m pip install -q matplotlib; }
fi
python=$venv/bin/python

# What the questions need, and no more.
build() {
  local targets=() question
  for question in "${questions[@]}"; do
    case $question in
      '' | compile) ;;
      peers) targets+=(coca_peer) ;;
      *) targets+=("bench_$question") ;;
    esac
  done
  scripts/install_deps.sh build bench
  cmake --preset release -D COCA_BUILD_BENCH=ON -D COCA_BUILD_TESTS=OFF -D COCA_BUILD_EXAMPLES=OFF \
    -B build/bench >/dev/null
  [ ${#targets[@]} -eq 0 ] || cmake --build build/bench --parallel "$(nproc)" --target "${targets[@]}"
}

# measure NAME COMMAND...: COMMAND writes to the file named last; kept only if it comes to its end.
measure() {
  local name=$1 start=$SECONDS
  shift
  printf '\n=== %s\n' "$name"
  if "$@" "$results/$name.part.json"; then
    mv "$results/$name.part.json" "$results/$name.json"
  else
    echo "bench.sh: $name failed" >&2
  fi
  printf -- '--- %s: %d s\n' "$name" $((SECONDS - start))
}

program() {
  # shellcheck disable=SC2086
  build/bench/bench/bench_"$1" $quick --benchmark_context=commit="$(git describe --always --dirty)" \
    --benchmark_out_format=json --benchmark_out="$2"
}

# Where CMake found Eigen.
eigen() {
  sed -nE 's|^Eigen3_DIR:PATH=(.*)/share/eigen3/cmake$|\1/include/eigen3|p' build/bench/CMakeCache.txt
}

compare() {
  "$python" bench/peers/compare.py --library build/bench/bench/peers/libcoca_peer.so "${@:1:$#-1}" \
    --out "${@: -1}"
}

# A comparison takes its time from starting, checking and waiting for idle threads, so these are the
# points that tell most: PyTorch everywhere, the others with one size of groups.
compare_with_peers() {
  local others=unfused_torch,unfused_numpy,onnx_runtime,open_vino,jax_xla,ggml
  local decoders=pytorch,onnx_runtime
  if [ -n "$quick" ]; then
    local brief=(--max-seconds-per-point 3 --groups 4)
    measure peers_prefill compare --set prefill "${brief[@]}" --lengths 512,2048 --peers pytorch --threads 2
    measure peers_others compare --set prefill "${brief[@]}" --lengths 512,2048 --dims 64,128 --peers $others \
      --threads 2
    measure peers_short compare --set short --rounds 5 --lengths 1,8,17,64,128 --dims 40,64,80,100 \
      --peers pytorch --threads 1
    measure peers_types compare --set types "${brief[@]}" --lengths 512 --peers pytorch --threads 1
    measure peers_backward compare --set backward "${brief[@]}" --peers pytorch --threads 2
    measure peers_decode compare --set decode --max-seconds-per-point 3 --lengths 4096,16384 --batches 1 \
      --peers $decoders --threads 2
    return
  fi
  local usual=(--max-seconds-per-point 4)
  measure peers_prefill compare --set prefill "${usual[@]}" --lengths 512,2048,8192 --peers pytorch --threads 2
  measure peers_one_thread compare --set prefill "${usual[@]}" --lengths 512,2048 --groups 4 --peers pytorch --threads 1
  measure peers_long compare --set prefill --rounds 1 --lengths 32768 --groups 1 --peers pytorch --threads 2
  measure peers_others compare --set prefill "${usual[@]}" --lengths 512,2048 --groups 4 --peers $others --threads 2
  measure peers_others_long compare --set prefill "${usual[@]}" --lengths 8192 --dims 128 --groups 4 \
    --peers $others --threads 2
  measure peers_short compare --set short --rounds 5 --peers pytorch --threads 1,2
  measure peers_types compare --set types "${usual[@]}" --peers pytorch --threads 2
  measure peers_backward compare --set backward "${usual[@]}" --peers pytorch --threads 1,2
  # About 15 minutes: eight sequences of 64K are 4 GiB, to be made and checked for every peer.
  measure peers_decode compare --set decode "${usual[@]}" --peers $decoders --threads 2
}

mkdir -p "$results"
begin=$SECONDS
if [ ${#questions[@]} -gt 0 ]; then
  build
  "$python" bench/peers/machine.py >"$results/system.json"
  for question in "${questions[@]}"; do
    case $question in
      '') ;;
      peers) compare_with_peers ;;
      compile) measure compile "$python" bench/compile/measure.py --eigen "$(eigen)" ;;
      *) measure "$question" program "$question" ;;
    esac
  done
  printf '\nMeasured in %d minutes\n' $(((SECONDS - begin + 30) / 60))
fi
"$python" bench/report/report.py "$results" docs
