#!/usr/bin/env bash
# The hot path compiled by mypyc, which comes with mypy: scripts/compile.sh [DIR]   (default .compiled)
# DIR gets a copy of the package whose modules of the data plane are native; the source stays the only truth, and nothing is
# compiled unless asked. Modules that define structures of the JSON library stay as they are: it reads classes at run time. Use: PYTHONPATH=.compiled .venv/bin/tokenroll serve. Needs gcc and the headers of the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$(realpath -m "${1:-.compiled}")
python=$(realpath -s "${PYTHON:-.venv/bin/python}")
modules=(
  gateway/{answers,call,chunks,client,deployment,edge,headers,heads,local,metrics,telling,upstream,waiting,wheel,worker}
  services/{call_memory,clock,group_commit,hot,hot_prices,leases,metering,spending,spending_views}
  store/tape
  upstream/{anthropic,dialect,facts,heads,openai,sse,usage}
)
files=("${modules[@]/#/tokenroll/}")
files=("${files[@]/%/.py}")
source_digest=$(find src/tokenroll -name '*.py' | sort | xargs cat "$0" | sha256sum | cut -d' ' -f1)
if [ "$(cat "$dir/.digest" 2>/dev/null)" = "$source_digest" ]; then
  echo "$dir"
  exit
fi
rm -rf "$dir"
mkdir -p "$dir"
cp -r src/tokenroll "$dir/"
find "$dir" -name __pycache__ -prune -exec rm -rf {} +
cd "$dir"
MYPYPATH=. "$python" -m mypyc --python-version "$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')" \
  "${files[@]}" >compile.log 2>&1 || { tail -20 compile.log >&2; exit 1; }
rm -rf build
echo "$source_digest" >.digest
echo "$dir"
