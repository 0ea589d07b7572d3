"""Reads the tables again and again while a node writes, joins, drops and cleans
them: with deltalake, and with DuckDB the files that deltalake names. No read may
fail, no count may fall or lie above what SQL sees after it. Once STOP is there, a
JSON object of rows by table, all three must agree with it.

usage: watch.py SQL_URL TENANT_FOLDER KEPT_DAYS STOP

Rows of older days may go.
"""

import datetime
import json
import os
import sys
import urllib.request

import duckdb
import pyarrow.dataset as ds
from deltalake import DeltaTable

TABLES = ["spans", "logs", "metrics"]


def by_sql(url, table, kept_from):
    query = f"SELECT count(*) FROM {table} WHERE date >= DATE '{kept_from}'"
    request = urllib.request.Request(
        url + "?int64=string",
        data=json.dumps({"query": query}).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return int(json.load(answer)["rows"][0][0])


def by_readers(folder, kept_from):
    """The version, the rows of kept days by either reader, and those of other days."""
    table = DeltaTable(folder)
    rows = table.to_pyarrow_dataset()
    kept = ds.field("date") >= datetime.date.fromisoformat(kept_from)
    delta = rows.count_rows(filter=kept)
    others = rows.count_rows() - delta
    files = table.file_uris()
    read = "SELECT count(*) FROM read_parquet($files, hive_partitioning = true) WHERE date >= $day"
    found = duckdb.connect().execute(read, {"files": files, "day": kept_from}).fetchone()[0]
    return table.version(), delta, found, others


def main():
    url, tenant, kept_days, stop = sys.argv[1:]
    today = datetime.datetime.now(datetime.timezone.utc).date()
    kept_from = (today - datetime.timedelta(days=int(kept_days))).isoformat()
    before = {table: (0, 0) for table in TABLES}
    rounds, dropped = 0, 0
    while not os.path.exists(stop):
        for table in TABLES:
            version, delta, files, others = by_readers(f"{tenant}/{table}", kept_from)
            sql = by_sql(url, table, kept_from)
            assert delta == files, f"{table}@{version}: deltalake {delta}, DuckDB {files}"
            assert before[table] <= (version, delta), f"{table}: {before[table]}, then {version, delta}"
            assert delta >= before[table][1], f"{table}: {before[table]}, then {version, delta}"
            assert delta <= sql, f"{table}@{version}: {delta} rows, and SQL sees {sql}"
            before[table] = (version, delta)
            dropped = max(dropped, others)
        rounds += 1
    with open(stop) as told:
        sent = json.load(told)
    for table in TABLES:
        version, delta, files, others = by_readers(f"{tenant}/{table}", kept_from)
        sql = by_sql(url, table, kept_from)
        seen = (delta, files, sql)
        assert seen == (sent[table],) * 3, f"{table}@{version}: {seen}, and {sent[table]} were sent"
        assert others == 0, f"{table}@{version}: {others} rows of days that are over"
    assert rounds >= 3 and dropped > 0, f"{rounds} rounds, {dropped} rows to be dropped seen"
    print(f"{rounds} rounds, {dropped} rows dropped meanwhile, at the end {before}")
    # The libraries' threads may outlive the interpreter, which then aborts.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
