#!/usr/bin/env bash
# Puts the pinned packages of the client tests where the tests look for them:
# python/.venv and js/node_modules. Repeatable; needs PyPI and the npm registry.
set -euo pipefail
cd "$(dirname "$0")"

[ -x python/.venv/bin/python ] || python3 -m venv python/.venv
python/.venv/bin/pip install --quiet --disable-pip-version-check -r python/requirements.txt
(cd js && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
