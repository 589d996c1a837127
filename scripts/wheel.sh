#!/usr/bin/env bash
# A wheel whose hot path is compiled, for this interpreter and kind of machine: scripts/wheel.sh [DIR]   (default dist)
# Prints the wheel's path. Needs gcc and the headers of the interpreter; without them: HATCH_BUILD_HOOK_ENABLE_CUSTOM=0, a pure one.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$(realpath -m "${1:-dist}")
python=$(realpath -s "${PYTHON:-.venv/bin/python}")
export PYTHON="$python" UV_PYTHON_DOWNLOADS=never HATCH_BUILD_HOOK_ENABLE_CUSTOM="${HATCH_BUILD_HOOK_ENABLE_CUSTOM:-1}"
mkdir -p "$dir"
rm -f "$dir"/tokenroll-*.whl
.bootstrap/bin/uv build --quiet --wheel --python "$python" --build-constraints requirements/build.lock --out-dir "$dir" >&2
ls "$dir"/tokenroll-*.whl
