#!/usr/bin/env bash
# Starts an assembled root file system as the image would be started, without a
# Docker engine: the image's own command and user, in a chroot whose root is read
# only. Sends a log record, reads it back by SQL, stops it with SIGTERM and looks
# for its Parquet. Wants root, for the chroot.
#
#   deploy/docker/smoke.sh FOLDER
set -euo pipefail

root=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)

if [ "$(id -u)" -ne 0 ]; then
    echo "SKIPPED: the image's root file system is not started: a chroot wants root" >&2
    exit 0
fi

# What the Dockerfile says is what runs here.
words() { sed -n "s/^$1 \[\(.*\)\]$/\1/p" "$here/Dockerfile" | tr -d '",'; }
read -r -a entrypoint <<< "$(words ENTRYPOINT)"
read -r -a command <<< "$(words CMD)"
user=$(sed -n 's/^USER //p' "$here/Dockerfile")
[ "$user" = 10001:10001 ] || { echo "the Dockerfile's USER is '$user', not 10001:10001" >&2; exit 1; }
if [ "${#entrypoint[@]}" -eq 0 ] || [ "${#command[@]}" -eq 0 ]; then
    echo "the Dockerfile's ENTRYPOINT and CMD were not understood" >&2
    exit 1
fi

chroot --userspec="$user" "$root" "${entrypoint[@]}" --version

# A volume for /data and a read-only rest, as the manifests ask for, and the /proc
# and /dev that every container gets. Port 0 instead of the fixed ports, and no
# reserve on the disk, so that nothing else on this machine is in the way.
log=$(mktemp)
mkdir -p "$root/proc" "$root/dev"
# shellcheck disable=SC2016 # expanded by the inner shell: $0 root, $1 user, then the command
enter='mount --bind "$0" "$0"
mount --bind "$0/data" "$0/data"
mount -t proc proc "$0/proc"
mount -t tmpfs -o mode=0755 dev "$0/dev"
for device in null zero full random urandom; do
    touch "$0/dev/$device"
    mount --bind "/dev/$device" "$0/dev/$device"
done
mount -o remount,ro,bind "$0"
user=$1
shift
exec chroot --userspec="$user" "$0" "$@"'
unshare --mount sh -euc "$enter" "$root" "$user" "${entrypoint[@]}" "${command[@]}" \
    --set otlp.grpc.listen=0.0.0.0:0 --set otlp.http.listen=0.0.0.0:0 \
    --set http.listen=127.0.0.1:0 --set disk.reserve=0% --ports-file /data/ports.json > "$log" 2>&1 &
daemon=$!
trap 'kill -KILL $daemon 2>/dev/null || true; rm -f "$log"' EXIT

fail() {
    echo "image: $1; the daemon said:" >&2
    cat "$log" >&2
    exit 1
}
# The ports file is written once the daemon is ready.
for _ in $(seq 150); do
    [ -s "$root/data/ports.json" ] && break
    kill -0 $daemon 2>/dev/null || fail "it ended before it was ready"
    sleep 0.2
done
[ -s "$root/data/ports.json" ] || fail "it was not ready within 30 s"
address() { python3 -c "import json,sys; print(json.load(open(sys.argv[1]))[sys.argv[2]].replace('0.0.0.0', '127.0.0.1'))" "$root/data/ports.json" "$1"; }
api=$(address http)
otlp=$(address otlp_http)

curl -fsS "http://$api/healthz" > /dev/null || fail "/healthz did not answer"
ready=$(curl -sS --fail-with-body "http://$api/readyz") || fail "/readyz answered '$ready'"
curl -fsS -H 'Content-Type: application/json' "http://$otlp/v1/logs" > /dev/null --data '
    {"resourceLogs":[{"scopeLogs":[{"logRecords":[
        {"timeUnixNano":"1700000000000000001","body":{"stringValue":"from the image"}}]}]}]}' ||
    fail "a log record was refused"
rows=$(curl -fsS -H 'Accept: text/csv' --data 'SELECT body, time_unix_nano FROM logs' "http://$api/api/v1/sql") ||
    fail "SQL did not answer"
case $rows in
    *"from the image,1700000000000000001"*) ;;
    *) fail "SQL answered '$rows'" ;;
esac

# What the sidecar's probe runs.
chroot --userspec="$user" "$root" "${entrypoint[@]}" sql --server "http://$api" 'SELECT 1' > /dev/null ||
    fail "\`cloudsail sql\` did not answer"

grep -qi insecure "$log" || fail "it did not say that it is insecure"
kill -TERM $daemon
for _ in $(seq 150); do
    kill -0 $daemon 2>/dev/null || break
    sleep 0.2
done
code=0
wait $daemon || code=$?
[ $code -eq 0 ] || fail "it ended with $code after SIGTERM"
[ -n "$(find "$root/data/store" -name '*.parquet')" ] || fail "it left no Parquet behind"
echo "image: ready, took a record, answered SQL, stopped cleanly, left Parquet"
