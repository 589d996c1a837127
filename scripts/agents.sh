#!/usr/bin/env bash
# Installs the command-line agents that judge the gateway into .agents/: scripts/agents.sh
# Their versions and hashes are in tests/judges/agents; npm takes them from the registry of its own configuration. About 800 MB, half a
# minute; a second run with the same lock installs nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/system_packages.sh node npm >&2 || exit $?
if command -v flock >/dev/null; then
  exec 9>.agents.lock
  flock 9
fi
digest=$(cat tests/judges/agents/package.json tests/judges/agents/package-lock.json | sha256sum)
[ "$(cat .agents/.digest 2>/dev/null)" = "$digest" ] && exit 0
rm -rf .agents
mkdir .agents
cp tests/judges/agents/{package.json,package-lock.json,.npmrc} .agents/
(cd .agents && npm ci --no-progress --loglevel=error) >&2
echo "$digest" >.agents/.digest
