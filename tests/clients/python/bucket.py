"""Reads tables in a bucket with deltalake and holds them against the daemon's
own SQL, column by column, row by row.

usage: bucket.py SQL_URL TENANT_URL ENDPOINT TABLE=KEY[,KEY...] ...
"""

import sys

import pyarrow as pa
from deltalake import DeltaTable

from readers import hold


def options(endpoint):
    """What deltalake reaches the test's server with."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }


def main():
    sql, tenant, endpoint, *tables = sys.argv[1:]

    def by_deltalake(name):
        stored = DeltaTable(f"{tenant}/{name}", storage_options=options(endpoint))
        return pa.table(stored.to_pyarrow_dataset().to_table())

    hold(sql, tables, {"deltalake": by_deltalake})


if __name__ == "__main__":
    main()
