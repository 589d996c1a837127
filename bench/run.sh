#!/usr/bin/env bash
# `make bench`: builds the tools, measures every line of the speed budget against plain nginx in the same run, then other gateways beside
# ours (bench/against.py), what a second worker brings (bench/workers.py), how often nodes ask their ledger (bench/lease_trips.py), then the usage lake, imports, forecasts and runways (bench/usage.sh).
# QUICK=1: one short round, ten minutes, nothing written to bench/results. BENCH_ARGS goes to bench/measure.py, which is all then.
set -euo pipefail
cd "$(dirname "$0")/.."
BENCH_DIR=$(bench/setup.sh)
export BENCH_DIR
# shellcheck disable=SC2086 # several arguments are meant
python -m bench.measure ${BENCH_ARGS:-}
[ -z "${BENCH_ARGS:-}" ] || exit 0
python -m bench.against
workers=()
if [ "${QUICK:-0}" = 1 ]; then workers=(--rounds 1); else workers=(--json "bench/results/workers-$(date -u +%F).json"); fi
python -m bench.workers "${workers[@]}"
trips=()
if [ "${QUICK:-0}" = 1 ]; then trips=(--quick); else trips=(--json "bench/results/lease-trips-$(date -u +%F).json"); fi
python -m bench.lease_trips "${trips[@]}"
exec bench/usage.sh
