"""Writes to a table as another program does, with deltalake, beside a daemon.

usage: outsider.py TABLE_FOLDER STEP

append    three rows of the service 'outsider', made of one that is there
delete    those of the service 'doomed', and one of the outsider's own
optimize  small files into one, all that there are
vacuum    what no version names and is older than a week; then prints what would
          go if it were an hour: by an ordinary vacuum, and by a full one

Each step is one commit at least, and is repeated while others win.
"""

import json
import os
import sys
import time

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError

WEEK = 168


def append(folder):
    table = DeltaTable(folder)
    one = pa.table(table.to_pyarrow_dataset().to_table()).slice(0, 1)
    rows = pa.concat_tables([one] * 3)
    for name, texts in [("service_name", ["outsider"] * 3), ("span_id", ["a", "b", "c"])]:
        at = rows.schema.get_field_index(name)
        field = rows.schema.field(at)
        rows = rows.set_column(at, field, pa.array(texts, field.type))
    write_deltalake(table, rows, mode="append")


def delete(folder):
    DeltaTable(folder).delete("service_name = 'doomed' OR span_id = 'a'")


def optimize(folder):
    done = DeltaTable(folder).optimize.compact()
    print(json.dumps({"removed": done["numFilesRemoved"], "added": done["numFilesAdded"]}))


def vacuum(folder):
    table = DeltaTable(folder)
    for full in [False, True]:
        gone = table.vacuum(retention_hours=WEEK, dry_run=False, full=full)
        assert gone == [], f"younger than a week: {gone}"
    soon = dict(retention_hours=0, dry_run=True, enforce_retention_duration=False)
    told = {"lite": table.vacuum(**soon), "full": table.vacuum(full=True, **soon)}
    print(json.dumps(told))


def main():
    folder, step = sys.argv[1:]
    for attempt in range(20):
        try:
            globals()[step](folder)
            break
        except CommitFailedError as error:
            print(f"{step}, attempt {attempt}: {error}", file=sys.stderr)
            time.sleep(0.1)
    else:
        sys.exit(f"{step}: others won every time")
    # The libraries' threads may outlive the interpreter, which then aborts.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
