#!/usr/bin/env bash
# Validates everything under deploy/ that a machine without Docker, Kubernetes and
# a running systemd can validate.
#
#   deploy/validate.sh [STATIC_BINARY]
#
# Without a binary the image's root file system is neither assembled nor started.
set -euo pipefail
cd "$(dirname "$0")/.."

skipped() { echo "SKIPPED: $1" >&2; }

echo "kubernetes: against the schema of the oldest and the newest version we mean"
# Also refuses unknown fields, which the API server would drop in silence.
for version in 1.29 1.37; do
    kubernetes-validate --strict --kubernetes-version "$version" deploy/kubernetes/*.yaml
done

echo "systemd: the unit and its exposure"
if command -v systemd-analyze > /dev/null; then
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    # Any executable does for the check that ExecStart can be run.
    sed 's|=/usr/local/bin/cloudsail|=/bin/true|' deploy/systemd/cloudsail.service \
        > "$scratch/cloudsail.service"
    # systemd-analyze complains on stderr and may still exit 0.
    said=$(systemd-analyze verify --man=no "$scratch/cloudsail.service" 2>&1) || {
        echo "$said" >&2
        exit 1
    }
    if grep -F cloudsail.service <<< "$said"; then
        exit 1
    fi
    # 0.0 is no exposure, 10.0 is all of it; the threshold is in tenths.
    systemd-analyze security --no-pager --offline=true --threshold=20 \
        "$scratch/cloudsail.service" | tail -n 1
else
    skipped "systemd-analyze is not installed"
fi

if [ $# -gt 0 ]; then
    echo "image: assembling and starting its root file system"
    image=$(mktemp -d)
    trap 'rm -rf "${scratch:-}" "$image"' EXIT
    deploy/docker/rootfs.sh "$1" "$image/root"
    deploy/docker/smoke.sh "$image/root"
else
    skipped "no static binary was given, so the image is neither assembled nor started"
fi
