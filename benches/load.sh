#!/usr/bin/env bash
# The end-to-end load bench: spans per CPU second of a release daemon, acked
# with an fsync each, as a ratio to `otlpload sink --decode` (prost decode, then
# drop), interleaved in one run. Rates drift on a shared machine; ratios stay.
#
# usage: benches/load.sh [SIGNAL] [SECONDS] [ROUNDS]
#   OTLPLOAD   folder of the load generator (default ../shared/tools/otlpload)
#   TRANSPORT  grpc (default), http or http-json
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
signal=${1:-traces} seconds=${2:-20} rounds=${3:-3}
transport=${TRANSPORT:-grpc}
otlpload=${OTLPLOAD:-$here/../shared/tools/otlpload}
target=${CARGO_TARGET_DIR:-$here/target}

(cd "$here" && cargo build --release --quiet --package cloudsail)
cloudsail=$target/release/cloudsail
# Its sources may be read-only, and its dependencies are not ours.
CARGO_TARGET_DIR=$target/otlpload cargo build --release --quiet --locked \
  --manifest-path "$otlpload/Cargo.toml"
otlpload=$target/otlpload/release/otlpload

dir=$(mktemp -d)
process=
trap 'kill $process 2>/dev/null || true; rm -rf "$dir"' EXIT
run=0

# Loads whatever listens at $1 and is process $process; one JSON object.
load() {
  run=$((run + 1))
  "$otlpload" run --transport "$transport" --endpoint "$1" --signal "$signal" \
    --duration "$seconds" --warmup 2 --retry --run $run --pid "$process" --json
}

# User and system seconds of process $process since its start.
cpu() {
  awk -v hz="$(getconf CLK_TCK)" '{ print ($14 + $15) / hz }' "/proc/$process/stat"
}

sink() {
  "$otlpload" sink --listen 127.0.0.1:14317 --decode >"$dir/sink.log" 2>&1 &
  process=$!
  sleep 1
  load 127.0.0.1:14317 >"$dir/sink.$1.json"
  kill $process
  wait $process || true
}

port() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$dir/ports.json" "$1"; }

daemon() {
  local at="$dir/daemon.$1" door=otlp_grpc
  [ "$transport" = grpc ] || door=otlp_http
  mkdir "$at"
  rm -f "$dir/ports.json"
  (cd "$at" && exec "$cloudsail" serve --ports-file "$dir/ports.json" \
    --set otlp.grpc.listen=127.0.0.1:0 --set otlp.http.listen=127.0.0.1:0 \
    --set http.listen=127.0.0.1:0 --set flight.listen= --set postgres.listen=) \
    >"$at/log" 2>&1 &
  process=$!
  until [ -s "$dir/ports.json" ]; do
    kill -0 $process || { cat "$at/log" >&2; exit 1; }
    sleep 0.1
  done
  load "$(port $door)" >"$dir/daemon.$1.json"
  curl --silent --fail --output /dev/null --request POST "http://$(port http)/api/v1/flush"
  cpu >"$dir/life.$1"
  local table=$signal
  [ "$signal" != traces ] || table=spans
  "$cloudsail" sql --server "http://$(port http)" --format csv "SELECT count(*) FROM $table" |
    tail -n 1 >"$dir/rows.$1"
  kill $process
  wait $process
  find "$at/cloudsail-data/store" -name '*.parquet' -path '*/date=*' -printf '%s %p\n' |
    awk '{ sum += $1 } END { print sum + 0 }' >"$dir/stored.$1"
}

for round in $(seq "$rounds"); do
  sink "$round"
  daemon "$round"
done

python3 - "$dir" "$rounds" "$signal" "$transport" <<'PYTHON'
import json
import statistics
import sys

folder, rounds, signal, transport = sys.argv[1], int(sys.argv[2]), *sys.argv[3:]
print(f"{signal} by {transport}, {rounds} rounds; items per CPU second")
print("round      sink    window  ratio      life  ratio   p99 ms  RSS MiB  bytes/item")
ratios = []
for n in range(1, rounds + 1):
    sink = json.load(open(f"{folder}/sink.{n}.json"))
    ours = json.load(open(f"{folder}/daemon.{n}.json"))
    reference = sink["watched"]["items_per_cpu_s"]
    window = ours["watched"]["items_per_cpu_s"]
    life = ours["acked_total"] / float(open(f"{folder}/life.{n}").read())
    stored = int(open(f"{folder}/stored.{n}").read()) / ours["acked_total"]
    ratios.append((window / reference, life / reference))
    print(
        f"{n:5} {reference:9.0f} {window:9.0f} {window / reference:6.2f} {life:9.0f}"
        f" {life / reference:6.2f} {ours['latency_ms']['p99']:8.1f}"
        f" {ours['watched']['rss_peak_bytes'] / 2**20:8.0f} {stored:11.1f}"
    )
    rows = int(open(f"{folder}/rows.{n}").read())
    if ours["rejected"] or ours["lost"] or rows < ours["acked_total"]:
        sys.exit(f"round {n}: {rows} rows of {ours['acked_total']} acked: {ours}")
window, life = (statistics.median(column) for column in zip(*ratios))
print(f"median ratio: {window:.2f} window, {life:.2f} life")
PYTHON
