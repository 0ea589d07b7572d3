"""Reads the tables with deltalake and the Parquet files with DuckDB and holds
both against the daemon's own SQL, column by column, row by row.

usage: readers.py SQL_URL TENANT_FOLDER TABLE=KEY[,KEY...] ...
"""

import glob
import json
import math
import os
import sys
import urllib.request

import duckdb
import pyarrow as pa
from deltalake import DeltaTable


# Columns that SQL computes and no file holds.
COMPUTED = {"end_time", "duration_ms"}


def ours(url, table):
    """All rows by the daemon's SQL, as Arrow."""
    request = urllib.request.Request(
        url,
        data=json.dumps({"query": f"SELECT * FROM {table}"}).encode(),
        headers={
            "content-type": "application/json",
            "accept": "application/vnd.apache.arrow.stream",
        },
    )
    with urllib.request.urlopen(request) as answer:
        return pa.ipc.open_stream(answer.read()).read_all()


def by_deltalake(folder):
    table = DeltaTable(folder)
    protocol = table.protocol()
    assert protocol.min_reader_version == 1, protocol
    assert protocol.min_writer_version == 2, protocol
    assert table.metadata().configuration["cloudsail.schema"], "cloudsail.schema is not set"
    log = sorted(glob.glob(f"{folder}/_delta_log/*.json"))
    versions = [int(os.path.basename(name).split(".")[0]) for name in log]
    assert versions == list(range(versions[0], versions[0] + len(versions))), versions
    return pa.table(table.to_pyarrow_dataset().to_table())


def by_duckdb(folder):
    """The files that the Delta log names, read without Delta."""
    files = DeltaTable(folder).file_uris()
    on_disk = glob.glob(f"{folder}/date=*/*.parquet")
    assert {os.path.realpath(f) for f in files} <= {os.path.realpath(f) for f in on_disk}
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    read = "SELECT * FROM read_parquet($files, hive_partitioning = true, union_by_name = true)"
    return connection.sql(read, params={"files": files}).to_arrow_table()


def plain(value):
    """One form for what the readers type differently: maps as dicts, times as
    text, NaN as text (it equals nothing)."""
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if isinstance(value, list):
        if value and all(isinstance(entry, tuple) and len(entry) == 2 for entry in value):
            return {key: plain(of) for key, of in value}
        return [plain(of) for of in value]
    if isinstance(value, dict):
        return {key: plain(of) for key, of in value.items()}
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value


def rows(table, keys):
    found = [plain(row) for row in table.to_pylist()]
    for row in found:
        for column, value in row.items():
            # An empty map and an empty list look alike in Python.
            if value == {}:
                row[column] = []
    # What a client sent again has the same keys: the rest of the row tells them apart.
    rest = lambda row: {column: row[column] for column in row if column not in COMPUTED}
    whole = lambda row: json.dumps(rest(row), sort_keys=True, default=str)
    return sorted(found, key=lambda row: ([str(row[key]) for key in keys], whole(row)))


def differences(name, want, have):
    if len(want) != len(have):
        yield f"{name}: {len(have)} rows, our SQL has {len(want)}"
        return
    columns = set(want[0]) - COMPUTED
    if columns != set(have[0]):
        yield f"{name}: columns differ: {sorted(columns ^ set(have[0]))}"
        return
    for n, (a, b) in enumerate(zip(want, have)):
        for column in columns:
            if a[column] != b[column]:
                yield f"{name}: row {n}, {column}: {b[column]!r}, our SQL has {a[column]!r}"


def hold(url, tables, readers):
    """Holds each TABLE=KEY[,KEY...] as the readers see it against our own SQL, and ends."""
    wrong = []
    for table in tables:
        name, keys = table.split("=")
        keys = keys.split(",")
        want = rows(ours(url, name), keys)
        assert want, f"{name} is empty: nothing would be proven"
        for reader, read in readers.items():
            wrong += differences(f"{name} by {reader}", want, rows(read(name), keys))
        print(f"{name}: {len(want)} rows, {len(want[0])} columns")
    if wrong:
        sys.exit("\n".join(wrong[:50] + [f"{len(wrong)} differences"]))
    # The libraries' threads may outlive the interpreter, which then aborts.
    sys.stdout.flush()
    os._exit(0)


def main():
    url, tenant, *tables = sys.argv[1:]
    readers = {
        "deltalake": lambda name: by_deltalake(f"{tenant}/{name}"),
        "DuckDB": lambda name: by_duckdb(f"{tenant}/{name}"),
    }
    hold(url, tables, readers)


if __name__ == "__main__":
    main()
