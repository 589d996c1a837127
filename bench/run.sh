#!/usr/bin/env bash
# `make bench`: builds the tools, then measures every line of the speed budget against plain nginx in the same run.
# QUICK=1: one short round, two minutes, nothing written to bench/results. BENCH_ARGS goes to bench/measure.py.
set -euo pipefail
cd "$(dirname "$0")/.."
BENCH_DIR=$(bench/setup.sh)
export BENCH_DIR
# shellcheck disable=SC2086 # several arguments are meant
exec python -m bench.measure ${BENCH_ARGS:-}
