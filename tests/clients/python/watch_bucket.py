"""Reads tables in a bucket with deltalake again and again while nodes write them.
No read may fail, no version and no count may fall. Once STOP is there, the counts
must become those of the daemon's SQL, and it must see no more.

usage: watch_bucket.py SQL_URL TENANT_URL ENDPOINT STOP
"""

import os
import sys
import time

from deltalake import DeltaTable

from bucket import options
from watch import TABLES, by_sql

# Before all days.
EVER = "0001-01-01"


def main():
    sql, tenant, endpoint, stop = sys.argv[1:]

    def seen(name):
        table = DeltaTable(f"{tenant}/{name}", storage_options=options(endpoint))
        return table.version(), table.to_pyarrow_dataset().count_rows()

    before = {table: (0, 0) for table in TABLES}
    rounds, versions = 0, 0
    while not os.path.exists(stop):
        for table in TABLES:
            version, rows = seen(table)
            assert version >= before[table][0], f"{table}: {before[table]}, then {version, rows}"
            assert rows >= before[table][1], f"{table}: {before[table]}, then {version, rows}"
            versions += version > before[table][0]
            before[table] = (version, rows)
        rounds += 1
    assert rounds >= 3 and versions > 10, f"{rounds} rounds, {versions} versions"
    deadline = time.monotonic() + 60
    for table in TABLES:
        # A daemon learns of other nodes' commits a moment later.
        while (ours := by_sql(sql, table, EVER)) != (theirs := seen(table)[1]):
            assert time.monotonic() < deadline, f"{table}: SQL {ours}, deltalake {theirs}"
            time.sleep(0.2)
    print(f"{rounds} rounds, {versions} versions, at the end {before}")
    # The libraries' threads may outlive the interpreter, which then aborts.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
