#!/usr/bin/env bash
# Makes one environment from one lock: scripts/bootstrap.sh ENV_DIR LOCK
# A second run with the same lock installs nothing. Several runs at once wait for each other.
set -euo pipefail
cd "$(dirname "$0")/.."
env_dir=$1
lock=$2
tools=.bootstrap
export UV_PYTHON_DOWNLOADS=never UV_LINK_MODE="${UV_LINK_MODE:-copy}"

say() { printf 'setup: %s\n' "$*" >&2; }
die() {
  say "$@"
  exit 1
}

# Builds of one Python version differ in speed, so the interpreter found here is the one used everywhere below.
find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11 python3.14; do
    [ -n "$candidate" ] || continue
    if command -v "$candidate" >/dev/null &&
      "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

# Bare Debian ships an interpreter without ensurepip, from which no environment with pip can be made.
need_venv() {
  "$1" -c 'import ensurepip, venv' 2>/dev/null && return
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing python3-venv"
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-venv; } >&2
  fi
  "$1" -c 'import ensurepip, venv' 2>/dev/null ||
    die "this Python has no venv module: install the package python3-venv (Debian, Ubuntu), then run again"
}

if command -v flock >/dev/null; then
  exec 9>.bootstrap.lock
  flock 9
fi

python=$(find_python) || die "Python 3.11 or newer is needed: install it, or name it with PYTHON=/path/to/python make …"

digest() { "$python" -c 'import hashlib, sys; print(hashlib.sha256(b"".join(open(p, "rb").read() for p in sys.argv[1:])).hexdigest())' "$@"; }

build_digest=$(digest requirements/build.lock)
if [ ! -x "$tools/bin/uv" ] || [ "$(cat "$tools/.digest" 2>/dev/null)" != "$build_digest" ]; then
  need_venv "$python"
  say "installing uv into $tools"
  "$python" -m venv --clear "$tools"
  "$tools/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/build.lock
  echo "$build_digest" >"$tools/.digest"
fi
uv=$tools/bin/uv

# Both the lock and the interpreter decide what an environment holds.
lock_digest="$(digest "$lock") $python"
if [ ! -x "$env_dir/bin/python" ] || ! "$env_dir/bin/python" -c '' 2>/dev/null; then
  "$uv" venv --quiet --clear --python "$python" "$env_dir"
fi
if [ "$(cat "$env_dir/.lock-digest" 2>/dev/null)" != "$lock_digest" ]; then
  say "installing $lock into $env_dir"
  "$uv" pip sync --quiet --python "$env_dir/bin/python" --require-hashes "$lock"
  echo "$lock_digest" >"$env_dir/.lock-digest"
fi
project_digest=$(digest pyproject.toml)
if [ "$(cat "$env_dir/.project-digest" 2>/dev/null)" != "$project_digest" ] || [ ! -x "$env_dir/bin/tokenroll" ]; then
  "$uv" pip install --quiet --python "$env_dir/bin/python" --no-deps --build-constraint requirements/build.lock --editable .
  echo "$project_digest" >"$env_dir/.project-digest"
fi
touch "$env_dir/.ready"
