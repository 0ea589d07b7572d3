#!/usr/bin/env bash
# How soon a guard stops a run, seen from another process, beside an OTLP load at
# full rate and while the object store fails: the daemon starts with a real S3 server
# (moto, of the client tests), which is then killed; in its place every request gets a
# 503, or no answer.
#
# usage: benches/guard.sh [503|hang|healthy] [ROUNDS] [SECONDS OF LOAD]
#   VENV  where moto is (default target/ci/venv, made by tests/clients/install.sh)
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
store=${1:-503} rounds=${2:-150} seconds=${3:-90}
target=${CARGO_TARGET_DIR:-$here/target}
venv=${VENV:-$here/target/ci/venv}

(cd "$here" && cargo build --release --quiet --locked --package cloudsail \
  --bin cloudsail --example ingest-load)
cloudsail=$target/release/cloudsail

dir=$(mktemp -d)
daemon="" s3="" load=""
cleanup() {
  # shellcheck disable=SC2086
  kill -9 $daemon $s3 $load 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap cleanup EXIT
cd "$dir"
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1

s3_port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$venv/bin/moto_server" -p "$s3_port" >s3.log 2>&1 &
s3=$!
"$venv/bin/python" - "$s3_port" <<'PYTHON'
import sys, time
import boto3

s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{sys.argv[1]}", region_name="us-east-1")
for attempt in range(50):
    try:
        s3.create_bucket(Bucket="bench")
        break
    except Exception:
        time.sleep(0.2)
else:
    sys.exit("the S3 server did not come up")
PYTHON

"$cloudsail" serve --ports-file ports.json \
  --set store.url=s3://bench/guard --set "store.options.endpoint=http://127.0.0.1:$s3_port" \
  --set store.options.allow_http=true --set flight.listen= --set postgres.listen= \
  --set otlp.grpc.listen=127.0.0.1:0 --set otlp.http.listen=127.0.0.1:0 \
  --set http.listen=127.0.0.1:0 >daemon.log 2>&1 &
daemon=$!
until [ -s ports.json ]; do
  kill -0 $daemon || { cat daemon.log >&2; exit 1; }
  sleep 0.1
done
port() { python3 -c 'import json, sys; print(json.load(open("ports.json"))[sys.argv[1]])' "$1"; }
http=http://$(port http)
# Runs of the last process are read from the tables first.
until curl --silent --fail --output /dev/null "$http/api/v1/experiments/runs"; do sleep 0.5; done

if [ "$store" != healthy ]; then
  kill -9 $s3
  wait $s3 2>/dev/null || true
  python3 - "$s3_port" "$store" <<'PYTHON' &
import http.server, sys, time


class Failing(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def fails(self):
        left = int(self.headers.get("content-length") or 0)
        while left > 0:
            left -= len(self.rfile.read(min(left, 1 << 20))) or left
        if sys.argv[2] == "hang":
            time.sleep(3600)
        body = b"<Error><Code>SlowDown</Code><Message>reduce your rate</Message></Error>"
        self.send_response(503)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = fails

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Failing).serve_forever()
PYTHON
  s3=$!
fi

"$target/release/examples/ingest-load" run "$(port otlp_http)" traces "$seconds" >load.json &
load=$!
sleep 5
"$cloudsail" experiment guard bench --server "$http" --endpoint "http://$(port otlp_http)" \
  --rounds "$rounds"
kill -0 $load || echo "the load ended before the rounds did: give it more seconds" >&2
wait $load
load=""
python3 -c 'import json; run = json.load(open("load.json")); print("load: %.0f spans/s acked, store %s" % (run["items_per_s"], __import__("sys").argv[1]))' "$store"
