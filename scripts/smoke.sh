#!/usr/bin/env bash
# Does what the README tells a newcomer, and says how long it took and what it weighs.
set -euo pipefail
cd "$(dirname "$0")/.."
export PROMPTD_DATA_DIR=$(mktemp -d) PROMPTD_GRPC_LISTEN=127.0.0.1:0 PROMPTD_HTTP_LISTEN=127.0.0.1:0
out=$PROMPTD_DATA_DIR/out

npm run --silent build
started=$(date +%s%N)
node dist/src/main.js serve --seed-dir prompts >"$out" 2>"$PROMPTD_DATA_DIR/log" &
pid=$!
trap 'kill $pid 2>/dev/null || true; rm -rf "$PROMPTD_DATA_DIR"' EXIT

# The calls that it prints, as somebody would paste them.
for _ in $(seq 1500); do
  grep -q grpcurl "$out" && break
  kill -0 $pid || { cat "$PROMPTD_DATA_DIR/log"; exit 1; }
  sleep 0.02
done
eval "$(grep -o 'curl -H .*' "$out") --silent --fail" | grep -q '"name":"support/reply"'
answered=$(( ($(date +%s%N) - started) / 1000000 ))
eval "$(grep -o 'npx promptd .*' "$out" | tail -1)" | grep -q '{{question}}'
export PROMPTD_ADDRESS=$(grep -o 'gRPC on [^,]*' "$out" | cut -d' ' -f3)
npx promptd compile support/reply --var product=Acme --var tone=friendly \
  --var question='Where is my order?' | grep -q 'Where is my order?'

memory=$(awk '/VmRSS/ { print int($2 / 1024) }' "/proc/$pid/status")
echo "GetPrompt answered ${answered} ms after the start; ${memory} MB of memory"
[ "$answered" -lt 3000 ] || { echo "expected an answer within 3 s" >&2; exit 1; }
[ "$memory" -lt 130 ] || { echo "expected less than 130 MB" >&2; exit 1; }
kill -TERM $pid
wait $pid
