#!/usr/bin/env bash
# Formats every C++ file; with --check, only says which are not.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=(-i)
[ "${1:-}" = --check ] && mode=(--dry-run --Werror)
git ls-files '*.hpp' '*.cpp' | xargs clang-format "${mode[@]}"
