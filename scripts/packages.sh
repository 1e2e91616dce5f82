#!/usr/bin/env bash
# Installs what is missing, makes the Conan package by Conan itself, and builds and runs a program with it.
# Eigen is the installed one: nothing comes from Conan's servers.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install_deps.sh build packages
venv=build/conan-venv
[ -x "$venv/bin/conan" ] || { python3 -m venv "$venv" && "$venv/bin/python" -m pip install -q 'conan>=2,<3'; }
export CONAN_HOME=$PWD/build/conan
export PATH=$PWD/$venv/bin:$PATH
conan profile detect --exist-ok
conan create tests/consumer/conan_eigen
conan create cmake/conan -s compiler.cppstd=20
