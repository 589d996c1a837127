#!/usr/bin/env bash
# `make bench`: builds the tools, then measures the load straight on the mock and through plain nginx.
# Every other system is a ratio to the nginx run of the same hour.
set -euo pipefail
cd "$(dirname "$0")/.."
BENCH_DIR=$(bench/setup.sh)
export BENCH_DIR
tests=${BENCH_TESTS:-ns,lat,mid,burst,paced}
python bench/bench.py direct --port 9000 --tests "$tests"
python bench/bench.py nginx --tests "$tests" -- nginx -c "$BENCH_DIR/peers/nginx-proxy.conf"
