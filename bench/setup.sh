#!/usr/bin/env bash
# Builds the mock provider and the stream load generator and renders the peers' configurations into $BENCH_DIR
# (default: .bench in the current folder). BENCH_PORT and BENCH_PROVIDER_PORT move the peers. Needs gcc and openssl; nginx, haproxy and wrk come from the distribution.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=$(realpath -m "${BENCH_DIR:-.bench}")
mkdir -p "$dir/bin" "$dir/ng" "$dir/tls" "$dir/peers"
for program in mock/mockup load/sseload load/openload load/awake load/diskprobe; do
  target=$dir/bin/$(basename "$program")
  [ "$target" -nt "$here/$program.c" ] || gcc -O2 -w -o "$target" "$here/$program.c" -lm
done
for template in "$here"/peers/*.in; do
  sed "s#@DIR@#$dir#g; s#@PORT@#${BENCH_PORT:-8000}#g; s#@PROVIDER_PORT@#${BENCH_PROVIDER_PORT:-9000}#g" "$template" >"$dir/peers/$(basename "${template%.in}")"
done
if [ ! -f "$dir/tls/both.pem" ]; then
  openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
    -keyout "$dir/tls/k.pem" -out "$dir/tls/c.pem" 2>/dev/null
  cat "$dir/tls/c.pem" "$dir/tls/k.pem" >"$dir/tls/both.pem"
fi
echo "$dir"
