"""Reads spans through psycopg by the Postgres door, and prints "ok".

usage: postgres.py HOST PORT COUNT     COUNT spans of one request are there
"""

import datetime
import sys

import psycopg
from psycopg.rows import dict_row

HOST, PORT, COUNT = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
WHERE = dict(host=HOST, port=PORT, user="me", dbname="cloudsail", connect_timeout=20)

with psycopg.connect(**WHERE) as connection:
    assert connection.info.server_version == 160006, connection.info.server_version

    # Text and binary results, parameters that the driver types.
    for binary in (False, True):
        with connection.cursor(binary=binary, row_factory=dict_row) as cursor:
            cursor.execute(
                "SELECT time, date, name, duration_ns, duration_ms, is_error, attributes, "
                "['a', NULL] AS texts FROM spans WHERE duration_ns >= %s AND name LIKE %s "
                "ORDER BY time LIMIT 1",
                (0, "%"),
            )
            row = cursor.fetchone()
            assert isinstance(row["time"], datetime.datetime) and row["time"].tzinfo, row
            assert isinstance(row["date"], datetime.date), row
            assert isinstance(row["duration_ns"], int), row
            assert isinstance(row["duration_ms"], float), row
            assert isinstance(row["is_error"], bool), row
            assert isinstance(row["attributes"], dict), row
            assert row["texts"] == ["a", None], row

    # A named cursor reads in pieces, and its parameters are bound.
    for binary in (False, True):
        with connection.cursor(name="pieces", binary=binary) as cursor:
            cursor.itersize = 100
            cursor.execute(
                "SELECT value FROM generate_series(1, 1000) AS t(value) WHERE value > %s", (5,)
            )
            assert [description.name for description in cursor.description] == ["value"]
            values = [value for (value,) in cursor]
            assert values == list(range(6, 1001)), values[:10]
            cursor.execute("SELECT span_id FROM spans")
            assert len(cursor.fetchall()) == COUNT
    with connection.cursor(name="moved") as cursor:
        cursor.execute("SELECT value FROM generate_series(1, 100) AS t(value)")
        cursor.scroll(10)
        assert cursor.fetchone() == (11,)
        assert cursor.fetchmany(2) == [(12,), (13,)]

    # COPY as text, CSV and binary.
    with connection.cursor() as cursor:
        with cursor.copy("COPY (SELECT span_id, parent_span_id FROM spans) TO STDOUT") as copy:
            assert len(list(copy.rows())) == COUNT
        with cursor.copy("COPY (SELECT 1, 'a,b') TO STDOUT (FORMAT csv)") as copy:
            assert b"".join(bytes(part) for part in copy) == b'1,"a,b"\n'
        with cursor.copy("COPY (SELECT 7::bigint) TO STDOUT (FORMAT binary)") as copy:
            copy.set_types(["int8"])
            assert list(copy.rows()) == [(7,)]

    # An error ends the transaction, not the connection.
    try:
        connection.execute("SELECT nothing FROM spans")
        raise AssertionError("answered")
    except psycopg.errors.UndefinedColumn as error:
        assert error.diag.message_primary and error.diag.statement_position, error
    connection.rollback()
    try:
        connection.execute("INSERT INTO spans VALUES (1)")
        raise AssertionError("answered")
    except psycopg.errors.ReadOnlySqlTransaction:
        connection.rollback()

    # A pipeline, prepared statements, several statements in one string.
    with connection.pipeline():
        cursors = [connection.execute("SELECT %s::bigint", (n,), prepare=True) for n in range(20)]
    assert [cursor.fetchone()[0] for cursor in cursors] == list(range(20))
    cursor = connection.execute("SELECT 1; SELECT 2")
    assert cursor.fetchone() == (1,) and cursor.nextset() and cursor.fetchone() == (2,)

# The zone of one connection.
with psycopg.connect(**WHERE, autocommit=True, options="-c TimeZone=Asia/Kolkata") as connection:
    (time,) = connection.execute("SELECT min(time) FROM spans").fetchone()
    assert time.utcoffset() == datetime.timedelta(hours=5, minutes=30), time

    # A cancel from another thread.
    import threading

    timer = threading.Timer(0.3, connection.cancel)
    timer.start()
    try:
        connection.execute("SELECT count(*) FROM generate_series(1, 100000000000) WHERE value % 7 = 3")
        raise AssertionError("answered")
    except psycopg.errors.QueryCanceled:
        pass
    timer.join()
    assert connection.execute("SELECT 1").fetchone() == (1,)

print("ok")
