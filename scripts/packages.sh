#!/usr/bin/env bash
# Installs what is missing, makes the Conan package by Conan itself, and builds and runs a program with it.
# Eigen is the installed one: nothing comes from Conan's servers. Where Conan, which comes from PyPI, cannot
# be installed, says so and ends with 77, which says to .ci/run that nothing was tested.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install_deps.sh build packages
venv=build/conan-venv
if [ ! -x "$venv/bin/conan" ]; then
  python3 -m venv "$venv"
  if ! "$venv/bin/python" -m pip install -q --retries 1 --timeout 10 'conan>=2,<3'; then
    echo "packages.sh: Conan could not be installed from PyPI, so its package was not tested" >&2
    exit 77
  fi
fi
export CONAN_HOME=$PWD/build/conan
export PATH=$PWD/$venv/bin:$PATH
conan profile detect --exist-ok
conan create tests/consumer/conan_eigen
# Headers are the same for all builds; this one compiles soonest.
conan create cmake/conan -s compiler.cppstd=20 -s build_type=Debug
