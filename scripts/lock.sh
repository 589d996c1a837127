#!/usr/bin/env bash
# Rewrites requirements/*.lock from the floors in pyproject.toml: names, versions and hashes, no address of any index.
# Pinned versions are kept where the floors allow; `scripts/lock.sh --upgrade` moves them all.
set -euo pipefail
cd "$(dirname "$0")/.."
export UV_PYTHON_DOWNLOADS=never UV_CUSTOM_COMPILE_COMMAND="make lock"
uv=.bootstrap/bin/uv
compile=("$uv" pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url "$@")
"${compile[@]}" requirements/build.in --output-file requirements/build.lock
"${compile[@]}" pyproject.toml --output-file requirements/runtime.lock
"${compile[@]}" pyproject.toml --all-extras --group dev --constraints requirements/runtime.lock --output-file requirements/dev.lock
for peer in envoy litellm; do # programs that the bench measures beside us, each in an environment of its own
  "${compile[@]/3.11/3.12}" "bench/peers/$peer.txt" --output-file "bench/peers/$peer.lock"
done
if grep -n '://' requirements/*.lock bench/peers/*.lock; then
  echo "lock: an address is in a lock file; remove the setting that put it there" >&2
  exit 1
fi
