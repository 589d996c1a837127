#!/usr/bin/env bash
# Makes sure that programs of the distribution are there: scripts/system_packages.sh PROGRAM...
#   exit 0  every program is on the path (installed now, where that is allowed)
#   exit 3  some are missing: they are named with what to install, and the step that needs them is to be skipped by name
#   exit 1  the same where nothing may be skipped (CI=true)
set -euo pipefail

package_of() {
  case $1 in
    taskset | chrt) echo util-linux ;;
    psql) echo postgresql-client ;;
    node) echo nodejs ;;
    *) echo "$1" ;;
  esac
}
missing() { for program in "$@"; do command -v "$program" >/dev/null || echo "$program"; done; }

mapfile -t wanted < <(missing "$@")
[ ${#wanted[@]} -gt 0 ] || exit 0

packages=()
for program in "${wanted[@]}"; do packages+=("$(package_of "$program")"); done

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "system: installing ${packages[*]}" >&2
  log=$(mktemp)
  # One process at a time may hold dpkg's lock; a second run waits instead of failing.
  if ! { apt-get -o DPkg::Lock::Timeout=300 update &&
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${packages[@]}"; } >"$log" 2>&1; then
    tail -n 5 "$log" >&2
  fi
  rm -f "$log"
  hash -r
fi

mapfile -t wanted < <(missing "$@")
[ ${#wanted[@]} -gt 0 ] || exit 0
packages=()
for program in "${wanted[@]}"; do packages+=("$(package_of "$program")"); done
echo "system: missing: ${wanted[*]} — install with your package manager (Debian, Ubuntu: apt-get install ${packages[*]})" >&2
[ "${CI:-}" = true ] && exit 1
exit 3
