"""Asks the Flight SQL door as pandas and Polars users do, by ADBC, and holds
what comes against the daemon's SQL over HTTP.

usage: adbc.py GRPC_URL SQL_URL
"""

import json
import sys
import threading
import time
import urllib.request

import adbc_driver_flightsql.dbapi as flight_sql
import adbc_driver_manager as adbc
import pandas
import polars
import pyarrow as pa

GRPC, SQL = sys.argv[1:]
ENDLESS = "SELECT count(*) FROM generate_series(1, 100000000000) WHERE value % 7 = 3"


def by_http(statement):
    """Rows as JSON values."""
    body = json.dumps({"query": statement}).encode()
    request = urllib.request.Request(SQL, data=body, headers={"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["rows"]


def connect(**options):
    return flight_sql.connect(GRPC, db_kwargs=options, autocommit=True)


def statements(connection):
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM spans ORDER BY time_unix_nano, span_id")
        table = cursor.fetch_arrow_table()
        names = {str(field.type) for field in table.schema}
        assert not any("view" in name or "dictionary" in name for name in names), names
        expected = by_http("SELECT span_id FROM spans ORDER BY time_unix_nano, span_id")
        assert [[value] for value in table["span_id"].to_pylist()] == expected
        assert str(table.schema.field("time").type) == "timestamp[us, tz=UTC]"
        assert table["attributes"].type == pa.map_(pa.string(), pa.string()), table.schema

        counted = "SELECT kind, count(*) AS n FROM spans GROUP BY kind ORDER BY kind"
        cursor.execute(counted)
        frame = cursor.fetch_df()
        assert isinstance(frame, pandas.DataFrame)
        assert frame.values.tolist() == by_http(counted)
        cursor.execute(counted)
        frame = cursor.fetch_polars()
        assert isinstance(frame, polars.DataFrame) and list(map(list, frame.rows())) == by_http(counted)
        assert pandas.read_sql(counted, connection)["n"].sum() == table.num_rows
        assert polars.read_database(counted, connection)["n"].sum() == table.num_rows

        # Many messages, each as it is read.
        cursor.execute("SELECT value, repeat('x', 100) AS t FROM generate_series(1, 200000)")
        seen, last = 0, 0
        for batch in cursor.fetch_record_batch():
            assert batch["value"][0].as_py() == last + 1
            seen, last = seen + batch.num_rows, batch["value"][-1].as_py()
        assert seen == 200_000, seen


def parameters(connection):
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM spans WHERE duration_ns >= $1 AND kind <> $2", [1, "none"])
        asked = "SELECT count(*) FROM spans WHERE duration_ns >= 1 AND kind <> 'none'"
        assert [list(cursor.fetchone())] == by_http(asked)
        for value in ["täxt", 7, 2.5, True, b"bytes", None]:
            cursor.execute("SELECT $1 AS x", [value])
            assert cursor.fetchone() == (value,), value
        schema = cursor.adbc_prepare("SELECT span_id FROM spans WHERE duration_ns > $1")
        assert schema.field(0).type == pa.int64(), schema


def catalogs(connection):
    (catalog,) = connection.adbc_get_objects(depth="all").read_all().to_pylist()
    assert catalog["catalog_name"] == "cloudsail"
    schemas = {it["db_schema_name"]: it for it in catalog["catalog_db_schemas"]}
    tables = {it["table_name"]: it for it in schemas["public"]["db_schema_tables"]}
    assert tables["spans"]["table_type"] == "TABLE" and tables["traces"]["table_type"] == "VIEW"
    columns = [it["column_name"] for it in tables["spans"]["table_columns"]]
    assert columns == connection.adbc_get_table_schema("spans").names
    assert {"time", "trace_id", "duration_ms", "attributes"} <= set(columns)
    objects = connection.adbc_get_objects(depth="tables", table_name_filter="sp%").read_all().to_pylist()
    found = [t["table_name"] for s in objects[0]["catalog_db_schemas"] for t in s["db_schema_tables"] or []]
    assert found == ["spans"], found
    assert set(connection.adbc_get_table_types()) == {"TABLE", "VIEW"}
    assert connection.adbc_get_info()["vendor_name"] == "Cloudsail"


def refusals(connection):
    with connection.cursor() as cursor:
        for statement, says in [
            ("SELECT * FROM spanz", "did you mean spans?"),
            ("DELETE FROM spans", "only reads"),
            ("SELECT 1/0", "division by zero"),
        ]:
            try:
                cursor.execute(statement)
                cursor.fetchall()
            except adbc.Error as error:
                assert says in str(error), f"{statement}: {error}"
            else:
                raise AssertionError(f"{statement} was answered")


def running():
    return by_http("SELECT count(*) FROM system.queries WHERE state = 'running' AND door = 'flight'")


def wait_for(count):
    for _ in range(1000):
        if running() == [[count]]:
            return
        time.sleep(0.01)
    raise AssertionError(f"never {count} running: {running()}")


def cancel(connection):
    with connection.cursor() as cursor:
        ended = []

        def ask():
            try:
                cursor.execute(ENDLESS)
                ended.append(cursor.fetchall())
            except Exception as error:  # whichever way the driver words it
                ended.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        wait_for(1)
        cursor.adbc_cancel()
        asking.join(timeout=30)
        assert len(ended) == 1 and isinstance(ended[0], adbc.Error), ended
    wait_for(0)
    # A reader that is let go in the middle.
    with connection.cursor() as cursor:
        cursor.execute("SELECT repeat('x', 1000) FROM generate_series(1, 9000000)")
        reader = cursor.fetch_record_batch()
        reader.read_next_batch()
        wait_for(1)
        reader.close()
    wait_for(0)


with connect() as nobody, connect(username="ann", password="secret") as known:
    for connection in [nobody, known]:
        statements(connection)
        parameters(connection)
        catalogs(connection)
        refusals(connection)
    cancel(known)
# A token from elsewhere: nobody asks for one yet.
bearer = {"adbc.flight.sql.authorization_header": "Bearer token"}
with connect(**bearer) as connection, connection.cursor() as cursor:
    cursor.execute("SELECT 1")
    assert cursor.fetchone() == (1,)
print("answered")
