#!/usr/bin/env bash
# Lays out the image's root file system around a static binary.
#
#   deploy/docker/rootfs.sh BINARY FOLDER
set -euo pipefail

if [ $# -ne 2 ]; then
    echo "usage: $0 BINARY FOLDER" >&2
    exit 2
fi
binary=$1
root=$2
project=$(cd "$(dirname "$0")/../.." && pwd)

# In an image without a loader a dynamic binary ends as "no such file".
headers=$(readelf --program-headers --wide "$binary")
if grep -q INTERP <<< "$headers"; then
    echo "$binary is linked dynamically; build it with -C target-feature=+crt-static" >&2
    exit 1
fi
if [ -e "$root" ] && [ -n "$(ls -A "$root")" ]; then
    echo "$root is not empty; name a new folder" >&2
    exit 1
fi

install -d -m 0755 "$root" "$root/etc/cloudsail" "$root/etc/ssl/certs" \
    "$root/usr/local/bin" "$root/usr/share/doc/cloudsail"
install -m 0755 "$binary" "$root/usr/local/bin/cloudsail"
install -m 0644 "$project/configs/container.yaml" "$root/etc/cloudsail/cloudsail.yaml"
install -m 0644 "$project/LICENSE" "$project/NOTICE" "$root/usr/share/doc/cloudsail/"

# A name for the user that everything runs as, and names before DNS.
echo 'cloudsail:x:10001:10001:Cloudsail:/data:/sbin/nologin' > "$root/etc/passwd"
echo 'cloudsail:x:10001:' > "$root/etc/group"
echo 'hosts: files dns' > "$root/etc/nsswitch.conf"
chmod 0644 "$root/etc/passwd" "$root/etc/group" "$root/etc/nsswitch.conf"

# For object stores behind TLS.
if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
    install -m 0644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
fi

install -d -m 0700 "$root/data"
install -d -m 0700 "$root/tmp"
if [ "$(id -u)" -eq 0 ]; then
    chown 10001:10001 "$root/data" "$root/tmp"
fi
