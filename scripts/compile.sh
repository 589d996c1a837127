#!/usr/bin/env bash
# The hot path and the fold compiled by mypyc, which comes with mypy: scripts/compile.sh DIR, for hatch_build.py
# DIR gets a copy of the package whose modules of the data plane and of the fold are native; the source stays the only truth. Modules
# that define structures of the JSON library or read rows of the SQL library stay as they are. Needs gcc and the headers of the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$(realpath -m "$1")
python=$(realpath -s "${PYTHON:-.venv/bin/python}")
modules=(
  gateway/{accepting,answers,attempts,call,chunks,client,deployment,edge,errand,exchange,framed,headers,heads,health,local,metrics,outbox,reading,resuming,routing,seeking,telling,thrifty,twins,upstream,waiting,wheel,worker,writing}
  services/{cache_aids,call_memory,call_records,clock,fingerprints,group_commit,hot,hot_contexts,hot_limits,hot_prices,leases,limit_fitting,limit_rules,loops,metering,output_sizes,recovery,reuse,slip_making,spending,spending_views,unfolded_tape,windows}
  store/{attempt_record,fold,fold_batch,fold_columns,limit_sums,plain_settlement,rollups,tape,usage_rollups}
  engine/{chaining,paying,rating,sharing}
  upstream/{anthropic,audio,aws_frames,batching,completions,dialect,embeddings,facts,fields,file_batches,fine_tuning,form_endpoint,forms,heads,images,media,message_batches,moderations,openai,openai_endpoint,pace,prompt_caches,prompts,reading,rerank,responses,resting,sameness,sse,usage}
)
files=("${modules[@]/#/tokenroll/}")
files=("${files[@]/%/.py}")
rm -rf "$dir"
mkdir -p "$dir"
cp -r src/tokenroll "$dir/"
find "$dir" -name __pycache__ -prune -exec rm -rf {} +
cd "$dir"
# What is compiled calls itself: without the flags every such call looks its target up, in case somebody put another in its place. NDEBUG and
# -fwrapv are what the interpreter itself is built with; CFLAGS in the environment takes their place, and then some thousand assertions of its
# headers are compiled in. The second level of optimisation takes half the time of the third and makes nothing slower here.
export CFLAGS="${CFLAGS:-} -fno-semantic-interposition -fvisibility=hidden -DNDEBUG -fwrapv" MYPYC_OPT_LEVEL="${MYPYC_OPT_LEVEL:-2}"
MYPYPATH=. "$python" -m mypyc --python-version "$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')" \
  "${files[@]}" >compile.log 2>&1 || { tail -20 compile.log >&2; exit 1; }
rm -rf build
echo "$dir"
