#!/usr/bin/env bash
# Puts the pinned packages of the client tests where the tests look for them:
# target/ci/venv (as .ci/run does) and js/node_modules. Repeatable; needs PyPI
# and the npm registry. psql, and Java with the PostgreSQL driver, come with the
# system: postgresql-client, default-jdk-headless, libpostgresql-jdbc-java.
set -euo pipefail
cd "$(dirname "$0")"

venv=../../target/ci/venv
[ -x $venv/bin/python ] || python3 -m venv $venv
$venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
(cd js && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
