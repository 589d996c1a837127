#!/usr/bin/env bash
# `make bench-usage`, and the last part of `make bench`: the lake, imports, forecasts and runways, one after the other.
# QUICK=1: small runs that say whether it works, nothing written to bench/results. Public traffic for the last two is read where
# TOKENROLL_DATA says, beside the checkout by default; without it they are left out and named.
set -euo pipefail
cd "$(dirname "$0")/.."
results=bench/results
quick=()
if [ "${QUICK:-0}" = 1 ]; then
  results=$(mktemp -d)
  quick=(--quick)
  trap 'rm -rf "$results"' EXIT
fi
day=$(date -u +%F)
measure() {
  echo "== $1"
  python -m "bench.$1" "${@:2}" "${quick[@]}" --json "$results/$1-$day.json"
}
measure lake
measure imports
if [ -f "${TOKENROLL_DATA:-../shared/data}/servegen_clients_10min.csv.gz" ]; then
  measure forecast --extra
  measure runway --choose
else
  echo "left out: forecast and runway, for want of public traffic; TOKENROLL_DATA names the folder with servegen_clients_10min.csv.gz" >&2
fi
