#!/usr/bin/env bash
# Installs the implementations that compare.py compares with, from the Python package index, into a
# virtual environment:
#   bench/peers/install.sh [FOLDER]
# FOLDER is build/peers-venv unless given. Beside it, FOLDER.json says for each which version there
# is now, or why there is none: one that fails does not stop the others.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
venv=${1:-build/peers-venv}
logs=$venv.logs
jobs=${JOBS:-1}
# Low priority: whoever measures on this machine goes first.
as_guest=(nice -n 19)

mkdir -p "$logs" && rm -f "$logs"/*
python3 -m venv "$venv" || exit 1
python=$(realpath "$venv")/bin/python

pip_install() {
  "${as_guest[@]}" "$python" -m pip install --upgrade --progress-bar off "$@"
}

# peer NAME COMMAND...: its output goes to a log whose name ends in .failed if COMMAND did.
peer() {
  local name=$1
  shift
  echo "Installing $name"
  if ! "$@" >"$logs/$name.log" 2>&1; then
    mv "$logs/$name.log" "$logs/$name.failed"
    echo "  failed: see $logs/$name.failed"
  fi
}

# The package carries the sources of ggml. Its CPU part alone is built, for this processor, with the
# options that its project builds with.
install_ggml() {
  local work
  work=$(mktemp -d) || return 1
  # shellcheck disable=SC2064
  trap "rm -rf '$work'" RETURN
  "${as_guest[@]}" "$python" -m pip download --no-deps --no-binary llama-cpp-python \
    --progress-bar off -d "$work" llama-cpp-python || return 1
  tar -xf "$work"/*.tar.gz -C "$work" || return 1
  local sources=("$work"/llama_cpp_python-*/vendor/llama.cpp)
  local options=(-D CMAKE_BUILD_TYPE=Release -D BUILD_SHARED_LIBS=ON -D GGML_NATIVE=ON
    -D LLAMA_BUILD_COMMON=OFF -D LLAMA_BUILD_TESTS=OFF -D LLAMA_BUILD_EXAMPLES=OFF
    -D LLAMA_BUILD_TOOLS=OFF -D LLAMA_BUILD_SERVER=OFF -D LLAMA_CURL=OFF)
  cmake -S "${sources[0]}" -B "$work/build" "${options[@]}" || return 1
  "${as_guest[@]}" cmake --build "$work/build" --parallel "$jobs" --target ggml || return 1
  rm -rf "$venv/ggml" && mkdir "$venv/ggml" && cp -a "$work"/build/bin/*.so* "$venv/ggml" || return 1
  {
    basename "$work"/llama_cpp_python-*.tar.gz .tar.gz
    "$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' "$work/build/CMakeCache.txt")" --version | head -n 1
    grep -E '^(CMAKE_CXX_FLAGS(_RELEASE)?|GGML_(NATIVE|OPENMP|LLAMAFILE|LTO|BLAS)):' "$work/build/CMakeCache.txt"
  } >"$venv/ggml/options.txt"
}

peer driver pip_install numpy ml_dtypes tqdm matplotlib
peer pytorch pip_install torch
peer onnx_runtime pip_install onnxruntime onnx
peer open_vino pip_install openvino
peer jax_xla pip_install jax
peer ggml install_ggml

"$python" - "$venv" <<'PYTHON'
import importlib.metadata
import json
import pathlib
import sys

venv = pathlib.Path(sys.argv[1])
logs = pathlib.Path(f"{venv}.logs")
packages = {
    "driver": ["numpy", "ml_dtypes", "tqdm", "matplotlib"],
    "pytorch": ["torch"],
    "onnx_runtime": ["onnxruntime", "onnx"],
    "open_vino": ["openvino"],
    "jax_xla": ["jax", "jaxlib"],
}
installed = {}
for name in [*packages, "ggml"]:
    failed = logs / f"{name}.failed"
    if failed.exists():
        lines = [line for line in failed.read_text(errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower()]
        installed[name] = {"reason": "not installed: " + (errors or lines or ["no output"])[-1].strip()[:300]}
    elif name == "ggml":
        installed[name] = {"options": (venv / "ggml/options.txt").read_text().splitlines()}
    else:
        installed[name] = {package: importlib.metadata.version(package) for package in packages[name]}
pathlib.Path(f"{venv}.json").write_text(json.dumps(installed, indent=1) + "\n")
print(json.dumps(installed, indent=1))
PYTHON
