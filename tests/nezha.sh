#!/usr/bin/env bash
# The recorded day 2022-08-22 through a release binary: replayed, counted while
# hot, flushed, counted again. Prints the seconds that each step took.
#
# usage: tests/nezha.sh [FOLDER_OF_RECORDINGS]
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
recordings=$(cd "${1:-${CLOUDSAIL_NEZHA:-$here/../shared/data/nezha}}" && pwd)

(cd "$here" && cargo build --release --package cloudsail)
cloudsail=${CARGO_TARGET_DIR:-$here/target}/release/cloudsail
dir=$(mktemp -d)
cd "$dir"
begun=$EPOCHREALTIME
"$cloudsail" serve --ports-file ports.json --set otlp.grpc.listen= \
  --set otlp.http.listen=127.0.0.1:0 --set http.listen=127.0.0.1:0 \
  --set flight.listen= --set postgres.listen= >daemon.log 2>&1 &
daemon=$!
trap 'kill $daemon 2>/dev/null || true; wait $daemon || true; rm -rf "$dir"' EXIT
until [ -s ports.json ]; do
  kill -0 $daemon || { cat daemon.log; exit 1; }
  sleep 0.01
done
since() { awk "BEGIN { printf \"%.1f s\", $EPOCHREALTIME - $1 }"; }
echo "ready: $(since "$begun")"
port() { sed -E "s/.*\"$1\": *\"([^\"]+)\".*/\1/" <(tr -d '\n' <ports.json); }
server=http://$(port http)

expected=852420,19107,19107,13134,53687
count() {
  "$cloudsail" sql --server "$server" --format csv "SELECT
    (SELECT count(*) FROM spans) AS spans,
    (SELECT count(DISTINCT trace_id) FROM spans) AS traces,
    (SELECT count(*) FROM traces) AS view,
    (SELECT count(*) FROM logs) AS logs,
    (SELECT count(*) FROM metrics) AS points" | tail -n 1 | tr -d '\r'
}
step() {
  local what=$1 begun=$EPOCHREALTIME
  shift
  "$@"
  echo "$what: $(since "$begun")"
}
agree() {
  local found
  found=$(count)
  [ "$found" = "$expected" ] || { echo "$1: $found, the README says $expected" >&2; exit 1; }
}

day=$recordings/2022-08-22
step replayed "$cloudsail" replay --endpoint "http://$(port otlp_http)" \
  "$day.traces.otlp.zst" "$day.logs.otlp.zst" "$day.metrics.otlp.zst"
step "counted, hot" agree hot
step flushed curl --silent --fail --output /dev/null --request POST "$server/api/v1/flush"
step "counted, flushed" agree flushed
echo "spans, traces, traces (view), logs, points: $expected, hot and flushed"
