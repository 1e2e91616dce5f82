#!/usr/bin/env bash
# Installs what the given purposes need, where apt-get is there to do it:
#   install_deps.sh build tests examples checks
# Where it is not, says what to install and goes on: CMake fetches libraries it does not find.
set -euo pipefail

declare -A packages=(
  [build]="g++ cmake make ninja-build libeigen3-dev"
  [tests]="catch2 libxtensor-dev nlohmann-json3-dev pkg-config python3 libopenmpi-dev openmpi-bin"
  [examples]="libcli11-dev libxtensor-dev nlohmann-json3-dev gnuplot-nox libopenmpi-dev openmpi-bin"
  [checks]="clang clang-format clang-tidy"
  [arm64]="g++-aarch64-linux-gnu qemu-user-static"
  [valgrind]="valgrind"
  [bench]="libbenchmark-dev"
  [packages]="pkg-config python3-venv"
  [docs]="doxygen doxygen-awesome-css libjs-mathjax python3"
)

wanted=()
for purpose in "$@"; do
  if [ -z "${packages[$purpose]:-}" ]; then
    echo "install_deps.sh: unknown purpose '$purpose'; there are: ${!packages[*]}" >&2
    exit 2
  fi
  read -ra names <<<"${packages[$purpose]}"
  wanted+=("${names[@]}")
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "No apt-get here. Needed: a C++20 compiler, CMake >= 3.22 and, unless CMake may fetch them," \
    "the libraries among (Debian names): ${wanted[*]}" >&2
  exit 0
fi

missing=()
for name in "${wanted[@]}"; do
  if ! dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q "install ok installed"; then
    missing+=("$name")
  fi
done
[ ${#missing[@]} -eq 0 ] && exit 0

echo "Installing ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "Not root, and no sudo here. As root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
  "${missing[@]}" >/dev/null
