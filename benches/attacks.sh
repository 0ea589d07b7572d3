#!/usr/bin/env bash
# What hostile statements do to ingest: the time to an ack under an open loop of
# OTLP, by itself and while the corpus of query/tests/it/attacks is run against
# the same daemon, three statements at a time, over and over.
#
# usage: benches/attacks.sh [SECONDS] [ITEMS PER SECOND]
#   DAEMON  options of the daemon (default: a memory of 1GiB, half of it for queries)
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
seconds=${1:-60} rate=${2:-10000}
target=${CARGO_TARGET_DIR:-$here/target}
options=${DAEMON:---set limits.memory=1GiB --set query.timeout=10s}

(cd "$here" && cargo build --release --quiet --locked --package cloudsail \
  --bin cloudsail --example ingest-load)
cloudsail=$target/release/cloudsail

dir=$(mktemp -d)
process="" attacker=""
trap 'kill $process $attacker 2>/dev/null || true; rm -rf "$dir"' EXIT

# shellcheck disable=SC2086
(cd "$dir" && exec "$cloudsail" serve --ports-file "$dir/ports.json" $options \
  --set otlp.grpc.listen=127.0.0.1:0 --set otlp.http.listen=127.0.0.1:0 \
  --set http.listen=127.0.0.1:0 --set flight.listen= --set postgres.listen=) \
  >"$dir/log" 2>&1 &
process=$!
until [ -s "$dir/ports.json" ]; do
  kill -0 $process || { cat "$dir/log" >&2; exit 1; }
  sleep 0.1
done
port() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$dir/ports.json" "$1"; }

load() {
  "$target/release/examples/ingest-load" run "$(port otlp_http)" traces,logs,metrics \
    "$seconds" "$rate" $process
}

load >"$dir/calm.json"
curl --silent --fail --output /dev/null --request POST "http://$(port http)/api/v1/flush"

python3 - "http://$(port http)/api/v1/sql" "$here/query/tests/it/attacks" >"$dir/attacks" <<'PYTHON' &
import collections, itertools, json, pathlib, queue, re, signal, sys, threading, time
import urllib.error, urllib.request

url, folder = sys.argv[1], pathlib.Path(sys.argv[2])


def repeated(match):
    count, between, each = re.split(r"(?<!\\)\|", match[1], maxsplit=2)
    unescaped = [part.replace("\\|", "|") for part in (between, each)]
    return unescaped[0].join(unescaped[1].replace("#", str(n + 1)) for n in range(int(count)))


attacks = []
for file in sorted(folder.glob("*.sql")):
    for block in file.read_text().split("-- attack: ")[1:]:
        name, _, sql = block.split("\n", 2)
        attacks.append((name, re.sub(r"<<(\d.*?)>>", repeated, sql.strip(), flags=re.S)))

waiting, ended, longest = queue.Queue(maxsize=3), collections.Counter(), collections.Counter()


def attack():
    while True:
        name, sql = waiting.get()
        start = time.monotonic()
        body = json.dumps({"query": sql}).encode()
        request = urllib.request.Request(url, body, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                while answer.read(1 << 20):
                    pass
                ended["answers"] += 1
        except urllib.error.HTTPError as error:
            ended[json.loads(error.read())["error"]["kind"]] += 1
        except Exception as error:
            ended[type(error).__name__] += 1
        longest[name] = max(longest[name], time.monotonic() - start)


def report(*_):
    slow = ", ".join(f"{name} {took:.1f} s" for name, took in longest.most_common(5))
    print(f"{sum(ended.values())} statements: {dict(ended)}; longest: {slow}", flush=True)
    sys.exit(0)


signal.signal(signal.SIGTERM, report)
for _ in range(3):
    threading.Thread(target=attack, daemon=True).start()
for each in itertools.cycle(attacks):
    waiting.put(each)
PYTHON
attacker=$!
load >"$dir/attacked.json"
kill $attacker
wait $attacker || true
attacker=

python3 - "$dir" "$seconds" "$rate" <<'PYTHON'
import json
import sys

folder, seconds, rate = sys.argv[1:]
print(f"{rate} items/s for {seconds} s, open loop")
print("            acked/s   p50 ms   p99 ms   max ms  retries  RSS peak MiB")
for name in ("calm", "attacked"):
    run = json.load(open(f"{folder}/{name}.json"))
    latency = run["latency_ms"]
    print(
        f"{name:9} {run['items_per_s']:9.0f} {latency['p50']:8.1f}"
        f" {latency['p99']:8.1f} {latency['max']:8.1f} {run['retries']:8}"
        f" {run['watched']['rss_peak_bytes'] / 2**20:13.0f}"
    )
    if run["rejected"]:
        sys.exit(f"{name}: {run}")
PYTHON
cat "$dir/attacks"
kill -0 $process
