#!/usr/bin/env bash
# The end-to-end load bench: items per CPU second of a release daemon, acked
# with an fsync each, as a ratio to a server that decodes with prost and drops,
# interleaved in one run. Rates drift on a shared machine; ratios stay.
#
#   accept  CPU of the threads between a socket and an ack: doors, decoding, log,
#           commits; whatever is not sealing or joining (from start to last ack)
#   window  CPU of the whole process between the first ack counted and the last
#   life    all CPU from start until everything is committed
#
# usage: benches/load.sh [SIGNAL] [SECONDS] [ROUNDS]
#   RATE       items per second; as many as are answered by default
#   OTLPLOAD   folder of another load generator, instead of benches/ingest: it has
#              to take the options below, also for its sink
#   TRANSPORT  of that one: grpc (default), http or http-json; ours is http
#   CLOUDSAIL  a release binary to measure, instead of building this tree's
#   OPTIONS    further options of `cloudsail serve`, e.g. "--set limits.memory=2GiB"
#   OTHER      command that serves OTLP/HTTP (with OTLPLOAD that transport) on
#              127.0.0.1:$OTHER_PORT (4318) in its foreground: it has its turn in
#              each round, under the same load
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
signal=${1:-traces} seconds=${2:-20} rounds=${3:-3}
target=${CARGO_TARGET_DIR:-$here/target}

[ -z "${CLOUDSAIL:-}" ] || CLOUDSAIL=$(realpath "$CLOUDSAIL")
mkdir -p "$target"
target=$(realpath "$target")
export CARGO_TARGET_DIR=$target

# One build of both: what tests need of the same libraries would make two.
parts=()
[ -n "${CLOUDSAIL:-}" ] || parts+=(--bin cloudsail)
transport=http
if [ -z "${OTLPLOAD:-}" ]; then
  parts+=(--example ingest-load)
else
  transport=${TRANSPORT:-grpc}
  # Its sources may be read-only, and its dependencies are not ours.
  CARGO_TARGET_DIR=$target/otlpload cargo build --release --quiet --locked \
    --manifest-path "$OTLPLOAD/Cargo.toml"
fi
if [ ${#parts[@]} -gt 0 ]; then
  (cd "$here" && cargo build --release --quiet --locked --package cloudsail "${parts[@]}")
fi
cloudsail=${CLOUDSAIL:-$target/release/cloudsail}

dir=$(mktemp -d)
process=
trap 'kill $process 2>/dev/null || true; rm -rf "$dir"' EXIT
run=0

# Loads whatever listens at $1 and is process $process; one JSON object.
load() {
  run=$((run + 1))
  if [ -z "${OTLPLOAD:-}" ]; then
    "$target/release/examples/ingest-load" run "$1" "$signal" "$seconds" "${RATE:-0}" "$process"
  else
    "$target/otlpload/release/otlpload" run --transport "$transport" --endpoint "$1" \
      --signal "$signal" --duration "$seconds" --warmup 2 --retry --run $run --pid "$process" \
      --rate "${RATE:-0}" --json
  fi
}

# User and system seconds of process $process since its start.
cpu() {
  awk -v hz="$(getconf CLK_TCK)" '{ print ($14 + $15) / hz }' "/proc/$process/stat"
}

# The same without its threads that seal, join or answer queries, which all last as
# long as it does: what a thread that has ended took is counted as accepting.
accepting() {
  for stat in "/proc/$process"/task/*/stat; do
    # A thread may end while it is looked at.
    sed 's/.*(\(.*\)) . /\1 /' "$stat" 2>/dev/null || true
  done | awk -v hz="$(getconf CLK_TCK)" -v all="$(cpu)" \
    '$1 ~ /^(cloudsail-seal|cloudsail-join|query)/ { sum += $12 + $13 } END { print all - sum / hz }'
}

# Waits until a port of ours is open; whoever should listen there may end instead,
# which the log $2 tells of.
listens() {
  until (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; do
    kill -0 $process || { cat "$2" >&2; exit 1; }
    sleep 0.1
  done
}

sink() {
  if [ -z "${OTLPLOAD:-}" ]; then
    "$target/release/examples/ingest-load" sink 127.0.0.1:14317 >"$dir/sink.log" 2>&1 &
  else
    "$target/otlpload/release/otlpload" sink --listen 127.0.0.1:14317 --decode \
      >"$dir/sink.log" 2>&1 &
  fi
  process=$!
  listens 14317 "$dir/sink.log"
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
  # shellcheck disable=SC2086 # several options
  (cd "$at" && exec "$cloudsail" serve --ports-file "$dir/ports.json" \
    --set otlp.grpc.listen=127.0.0.1:0 --set otlp.http.listen=127.0.0.1:0 \
    --set http.listen=127.0.0.1:0 --set flight.listen= --set postgres.listen= ${OPTIONS:-}) \
    >"$at/log" 2>&1 &
  process=$!
  until [ -s "$dir/ports.json" ]; do
    kill -0 $process || { cat "$at/log" >&2; exit 1; }
    sleep 0.1
  done
  load "$(port $door)" >"$dir/daemon.$1.json"
  accepting >"$dir/accept.$1"
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

other() {
  mkdir "$dir/other.$1"
  # shellcheck disable=SC2086 # a command with its arguments
  (cd "$dir/other.$1" && exec $OTHER) >"$dir/other.$1/log" 2>&1 &
  process=$!
  listens "${OTHER_PORT:-4318}" "$dir/other.$1/log"
  load "127.0.0.1:${OTHER_PORT:-4318}" >"$dir/other.$1.json"
  kill $process
  wait $process || true
}

for round in $(seq "$rounds"); do
  sink "$round"
  daemon "$round"
  [ -z "${OTHER:-}" ] || other "$round"
done

python3 - "$dir" "$rounds" "$signal" "$transport" <<'PYTHON'
import json
import os
import statistics
import sys

folder, rounds, signal, transport = sys.argv[1], int(sys.argv[2]), *sys.argv[3:]
print(f"{signal} by {transport}, {rounds} rounds; items per CPU second, ratios to the sink")
print(
    "round who      items/s   accept ratio   window ratio     life ratio"
    "  p50 ms     p99   p99.9  RSS MiB  bytes/item"
)


def line(n, who, report, reference, accept=None, life=None, stored=None):
    """Prints what a server did; its ratios to the reference."""
    window = report["watched"]["items_per_cpu_s"]
    figures = [accept, window, life]
    ratios = [figure and figure / reference for figure in figures]
    cells = [f"{figure:8.0f} {ratio:5.2f}" if figure else f"{'':14}" for figure, ratio in zip(figures, ratios)]
    latency = report["latency_ms"]
    resident = report["watched"]["rss_peak_bytes"] / 2**20
    print(
        f"{n:5} {who:8} {report['items_per_s']:7.0f} {' '.join(cells)}"
        f" {latency['p50']:7.1f} {latency['p99']:7.1f} {latency['p99.9']:7.1f} {resident:8.0f}"
        f" {stored or '':>11}"
    )
    return ratios


ours = []
for n in range(1, rounds + 1):
    read = lambda name: open(f"{folder}/{name}.{n}").read()
    sink, report = (json.load(open(f"{folder}/{who}.{n}.json")) for who in ("sink", "daemon"))
    reference, acked = sink["watched"]["items_per_cpu_s"], report["acked_total"]
    line(n, "sink", sink, reference)
    stored = f"{int(read('stored')) / acked:.1f}"
    accept, life = acked / float(read("accept")), acked / float(read("life"))
    ours.append(line(n, "daemon", report, reference, accept, life, stored))
    if os.path.exists(f"{folder}/other.{n}.json"):
        line(n, "other", json.load(open(f"{folder}/other.{n}.json")), reference)
    rows = int(read("rows"))
    if report["rejected"] or report.get("lost") or rows < acked:
        sys.exit(f"round {n}: {rows} rows of {acked} acked: {report}")
accept, window, life = (statistics.median(column) for column in zip(*ours))
print(f"median ratio: {accept:.2f} accept, {window:.2f} window, {life:.2f} life")
PYTHON
