#!/usr/bin/env bash
# Does CoCA read beyond its training length? Trains small models that differ in the scheme alone, asks
# them for perplexity and pass keys at growing lengths, and writes docs/experiment.md with its plots.
# May be stopped at any time; the same command goes on where it was. Answers are kept in
# examples/language_model/results, one folder a model: those that are there are not asked for again.
#   scripts/experiment.sh            all of it: some two hours on two cores
#   scripts/experiment.sh --quick    one seed and a tenth of the steps, into build/experiment-quick, no report
#   scripts/experiment.sh --report   the report alone, from what there is
#   scripts/experiment.sh --ship     copies the models of the first seed to examples/language_model/models
# SEEDS and SCHEMES in the environment change the defaults, "1 2 3" and all four; STEPS changes 3000, and
# then answers are kept in build/ too.
set -euo pipefail
cd "$(dirname "$0")/.."
text=examples/data/war-and-peace.txt
out=build/experiment
results=examples/language_model/results
read -ra schemes <<<"${SCHEMES:-rotary coca-slack coca-strict coca-constrained}"
read -ra seeds <<<"${SEEDS:-1 2 3}"
steps=${STEPS:-3000}
if [ "$steps" != 3000 ]; then out=build/experiment-$steps results=$out-results; fi
trained=128
passkey_lengths=128,256,512,1024,2048
lengths=128,256,512,1024,2048,4096

mode=${1:-all}
case $mode in
  all | --report | --ship) ;;
  --quick) seeds=("${seeds[0]}") steps=300 out=build/experiment-quick results=$out-results ;;
  *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" && exit 2 ;;
esac

if [ "$mode" = --ship ]; then
  for scheme in "${schemes[@]}"; do
    mkdir -p "examples/language_model/models/$scheme"
    cp "$out/$scheme-${seeds[0]}/"{model.safetensors,config.json} "examples/language_model/models/$scheme/"
  done
  exit
fi

# ask FILE COMMAND...: the CSV that COMMAND prints, unless FILE is there already.
ask() {
  local file=$1
  shift
  [ -e "$file" ] && return
  build/language_model/examples/language_model "$@" >"$file.part"
  mv "$file.part" "$file"
}

# study SCHEME SEED: trains a model, and asks it.
study() {
  local scheme=$1 seed=$2
  local folder=$out/$scheme-$seed answers=$results/$scheme-$seed
  [ -e "$answers/config.json" ] && return
  mkdir -p "$answers"
  if [ ! -e "$folder/model.safetensors" ]; then
    build/language_model/examples/language_model train --text "$text" --out "$folder" --scheme "$scheme" \
      --heads 2 --head-dim 64 --seed "$seed" --steps "$steps" --passkeys-first $((steps / 2)) \
      --passkey-share 0.3 --length "$trained" --sequences 16 --rate 0.003
  fi
  for way in none:causal linear:causal ntk:causal dynamic-ntk:causal none:lambda none:streaming; do
    local scaling=${way%:*} mask=${way#*:}
    # A ceiling on the distance has no meaning for a score that is no function of it.
    [ "$scheme:$mask" = coca-slack:lambda ] && continue
    local asked=(--model "$folder" --text "$text" --scaling "$scaling" --mask "$mask")
    ask "$answers/eval-$scaling-$mask.csv" eval "${asked[@]}" --lengths "$lengths"
    ask "$answers/passkey-$scaling-$mask.csv" passkey "${asked[@]}" --lengths "$passkey_lengths"
  done
  # The loss, a mean of every fifty steps. The configuration comes last, and says that all is there.
  awk -F, 'NR == 1 { print "step,loss"; next }
           { sum += $2 }
           $1 % 50 == 0 { printf "%d,%.4f\n", $1, sum / 50; sum = 0 }' "$folder/log.csv" >"$answers/loss.csv"
  cp "$folder/config.json" "$answers/"
}

# wait_below COUNT: until fewer models than that are at work; shows meanwhile how far they are.
wait_below() {
  local log model
  while [ "$(jobs -rp | wc -l)" -ge "$1" ]; do
    for log in "$out"/*/log.csv; do
      model=$(basename "${log%/log.csv}")
      [ ! -e "$log" ] || [ -e "$results/$model/config.json" ] ||
        printf '%s: step %s of %s   ' "$model" "$(tail -n 1 "$log" | cut -d, -f1)" "$steps"
    done
    if [ -t 1 ]; then printf '\r'; else printf '\n'; fi
    sleep 10
  done
}

if [ "$mode" != --report ]; then
  scripts/install_deps.sh build examples
  cmake --preset release -D COCA_BUILD_TESTS=OFF -D COCA_WERROR=OFF -B build/language_model >/dev/null
  cmake --build build/language_model --parallel "$(nproc)" --target language_model
  trap 'kill $(jobs -p) 2>/dev/null' EXIT
  for seed in "${seeds[@]}"; do
    for scheme in "${schemes[@]}"; do
      # As many models side by side as there are cores: faster than one model on all of them.
      wait_below "$(nproc)"
      mkdir -p "$out/$scheme-$seed"
      study "$scheme" "$seed" 2>"$out/$scheme-$seed/errors.txt" &
    done
  done
  wait_below 1
  trap - EXIT
  for model in $(for seed in "${seeds[@]}"; do printf "%s-$seed " "${schemes[@]}"; done); do
    [ -e "$results/$model/config.json" ] || { cat "$out/$model/errors.txt" >&2 && exit 1; }
  done
fi

[ "$mode" = --quick ] && exit
venv=build/report-venv
[ -x "$venv/bin/python" ] || { python3 -m venv "$venv" && "$venv/bin/python" -m pip install -q matplotlib; }
"$venv/bin/python" examples/language_model/report.py "$results" docs
