"""Reads tables in a bucket with deltalake and holds them against the daemon's
own SQL, column by column, row by row.

usage: bucket.py SQL_URL TENANT_URL ENDPOINT TABLE=KEY[,KEY...] ...
"""

import os
import sys

import pyarrow as pa
from deltalake import DeltaTable

from readers import differences, ours, rows


def main():
    sql, tenant, endpoint, *tables = sys.argv[1:]
    options = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    wrong = []
    for table in tables:
        name, keys = table.split("=")
        keys = keys.split(",")
        want = rows(ours(sql, name), keys)
        assert want, f"{name} is empty: nothing would be proven"
        stored = DeltaTable(f"{tenant}/{name}", storage_options=options)
        have = pa.table(stored.to_pyarrow_dataset().to_table())
        wrong += differences(name, want, rows(have, keys))
        print(f"{name}: {len(want)} rows at version {stored.version()}")
    if wrong:
        sys.exit("\n".join(wrong[:50] + [f"{len(wrong)} differences"]))


if __name__ == "__main__":
    main()
    # The libraries' threads may outlive the interpreter, which then aborts.
    sys.stdout.flush()
    os._exit(0)
