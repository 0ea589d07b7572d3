use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Value, json};
use tokio_postgres::types::Type;

use super::{door, texts, told, two_spans};

/// Scenario: values of every type in binary.
/// Guarantees: a typed client reads them as what they are, NULLs too.
#[tokio::test]
async fn values_are_typed_in_binary() {
    let door = door(&two_spans().await).await;
    let client = door.connect().await;
    let sql = "SELECT time, date, span_id, duration_ns, duration_ms, is_error, attributes, \
        parent_span_id, ['a', NULL] AS texts, [1, 2] AS ints, 1::smallint, 2::int, \
        1.5::real, '\\x00ff'::bytea, make_array(duration_ms) AS doubles, 12.50::numeric(10,2)::text \
        FROM spans ORDER BY time LIMIT 1";
    let row = client.query_one(sql, &[]).await.unwrap();
    let time: DateTime<Utc> = row.get("time");
    assert_eq!(time.timestamp(), crate::source::START);
    assert_eq!(row.get::<_, NaiveDate>("date"), time.date_naive());
    assert_eq!(row.get::<_, &str>("span_id"), "a");
    assert_eq!(row.get::<_, i64>("duration_ns"), 2_500_000);
    assert_eq!(row.get::<_, f64>("duration_ms"), 2.5);
    assert!(row.get::<_, bool>("is_error"));
    assert_eq!(row.get::<_, Value>("attributes"), json!({"k": "v\"\n", "ä": "ö"}));
    assert_eq!(row.get::<_, Option<&str>>("parent_span_id"), None);
    assert_eq!(row.get::<_, Vec<Option<&str>>>("texts"), [Some("a"), None]);
    assert_eq!(row.get::<_, Vec<i64>>("ints"), [1, 2]);
    assert_eq!((row.get::<_, i16>(10), row.get::<_, i32>(11), row.get::<_, f32>(12)), (1, 2, 1.5));
    assert_eq!(row.get::<_, &str>(15), "12.50");
    assert_eq!(row.columns()[0].type_(), &Type::TIMESTAMPTZ);
    assert_eq!(row.columns()[6].type_(), &Type::JSON);
}

/// Scenario: parameters whose types their places tell, that the client says,
/// that are NULL, lists, and too few.
/// Guarantees: they bind by type; what does not fit is an error with its code.
#[tokio::test]
async fn parameters_have_types() {
    let door = door(&two_spans().await).await;
    let client = door.connect().await;
    let sql = "SELECT count(*) FROM spans WHERE duration_ns > $1 AND span_id = $2 AND time >= $3 AND is_error = $4";
    let statement = client.prepare(sql).await.unwrap();
    let types = [Type::INT8, Type::TEXT, Type::TIMESTAMPTZ, Type::BOOL];
    assert_eq!(statement.params(), types);
    assert_eq!(statement.columns()[0].type_(), &Type::INT8);
    let start = DateTime::from_timestamp(crate::source::START, 0).unwrap();
    let row = client.query_one(&statement, &[&1i64, &"a", &start, &true]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
    let null = client.query_one("SELECT $1::text IS NULL", &[&None::<&str>]).await.unwrap();
    assert!(null.get::<_, bool>(0));
    let row = client
        .query_typed("SELECT $1 + 1, $2", &[(&41i32, Type::INT4), (&"x", Type::TEXT)])
        .await
        .unwrap()
        .remove(0);
    assert_eq!((row.get::<_, i64>(0), row.get::<_, &str>(1)), (42, "x"));
    let listed = client
        .query_typed(
            "SELECT count(*) FROM spans WHERE array_has($1, span_id)",
            &[(&vec!["a", "c"], Type::TEXT_ARRAY)],
        )
        .await
        .unwrap();
    assert_eq!(listed[0].get::<_, i64>(0), 1);
    let error = client.prepare("SELECT 1; SELECT 2").await.err().unwrap();
    assert_eq!(told(&error).0, "42601");
    let error = client.prepare("SELECT nothing FROM spans").await.err().unwrap();
    assert_eq!(told(&error).0, "42703");
    assert!(client.query("SELECT 1", &[]).await.is_ok());
}

/// Scenario: arguments of functions in FROM are parameters, bare and cast.
/// Guarantees: their places tell their types; the answer is that of the values
/// written out; too few values are an error.
#[tokio::test]
async fn functions_in_from_take_parameters() {
    let door = door(&two_spans().await).await;
    let client = door.connect().await;
    let sql = "SELECT coalesce(sum(calls), 0)::bigint FROM red($1, $2, $3::timestamptz) \
        WHERE service_name <> $4";
    let statement = client.prepare(sql).await.unwrap();
    assert_eq!(statement.params(), [Type::TEXT, Type::TIMESTAMPTZ, Type::TIMESTAMPTZ, Type::TEXT]);
    let at = |seconds| DateTime::from_timestamp(crate::source::START + seconds, 0).unwrap();
    let row = client.query_one(&statement, &[&"1m", &at(0), &at(1), &"x"]).await.unwrap();
    let written = "SELECT coalesce(sum(calls), 0)::bigint \
        FROM red('1m', '2026-11-23T10:00:00Z', '2026-11-23T10:00:01Z')";
    assert_eq!([row.get::<_, i64>(0).to_string()], texts(&client, written).await[..]);
    let series = client.prepare("SELECT count(*) FROM generate_series($1, $2)").await.unwrap();
    assert_eq!(series.params(), [Type::INT8, Type::INT8]);
    let row = client.query_one(&series, &[&3i64, &7i64]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 5);
    let tree = client.query("SELECT name FROM trace_tree($1)", &[&"no trace"]).await.unwrap();
    assert!(tree.is_empty());
    let error = door.asker.error("SELECT * FROM red($1, now() - interval '1 hour', now())").await;
    assert!(error.to_string().contains("1 parameters and 0 values"), "{error}");
}

/// Scenario: a portal read two rows at a time, in a transaction, with another
/// statement between; then past its end.
/// Guarantees: fetch sizes work: every row once, in order, and the rest waits.
#[tokio::test]
async fn portals_give_so_many_rows_at_a_time() {
    let door = door(&two_spans().await).await;
    let mut client = door.connect().await;
    let transaction = client.transaction().await.unwrap();
    let sql = "SELECT value FROM generate_series(1, 9000) AS t(value) WHERE value <= $1";
    let portal = transaction.bind(sql, &[&8_995i64]).await.unwrap();
    let mut seen: Vec<i64> = Vec::new();
    loop {
        let rows = transaction.query_portal(&portal, 1_000).await.unwrap();
        assert_eq!(
            transaction.query_one("SELECT 1::bigint", &[]).await.unwrap().get::<_, i64>(0),
            1
        );
        seen.extend(rows.iter().map(|row| row.get::<_, i64>(0)));
        if rows.len() < 1_000 {
            break;
        }
    }
    // Nothing was said about their order.
    seen.sort_unstable();
    assert!(seen.iter().copied().eq(1..=8_995), "{} rows", seen.len());
    assert!(transaction.query_portal(&portal, 10).await.unwrap().is_empty());
    transaction.commit().await.unwrap();
    assert_eq!(door.asker.engine.running(), 0);
}

/// Scenario: a portal half read when its transaction ends.
/// Guarantees: what ran for it ends.
#[tokio::test]
async fn a_portal_ends_with_its_transaction() {
    let door = door(&two_spans().await).await;
    let mut client = door.connect().await;
    let transaction = client.transaction().await.unwrap();
    let portal =
        transaction.bind("SELECT * FROM generate_series(1, 100000000)", &[]).await.unwrap();
    assert_eq!(transaction.query_portal(&portal, 3).await.unwrap().len(), 3);
    assert_eq!(door.asker.engine.running(), 1);
    transaction.rollback().await.unwrap();
    super::cancel::until("its end", || door.asker.engine.running() == 0).await;
}

/// Scenario: the session's own commands and empty statements by the extended
/// protocol, as some drivers send everything.
/// Guarantees: they work alike.
#[tokio::test]
async fn commands_work_in_the_extended_protocol() {
    let door = door(&two_spans().await).await;
    let client = door.connect().await;
    for sql in ["", "-- nothing", "BEGIN", "SET TIME ZONE 'UTC'", "COMMIT"] {
        assert_eq!(client.execute(sql, &[]).await.unwrap(), 0, "{sql}");
    }
    let row = client.query_one("SHOW server_version_num", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "160006");
    assert_eq!(row.columns()[0].name(), "server_version_num");
    client.execute("BEGIN", &[]).await.unwrap();
    let declare = "DECLARE c CURSOR FOR SELECT span_id FROM spans WHERE span_id >= $1 ORDER BY 1";
    client.execute(declare, &[&"a"]).await.unwrap();
    let rows = client.query("FETCH 5 FROM c", &[]).await.unwrap();
    let ids: Vec<&str> = rows.iter().map(|row| row.get("span_id")).collect();
    assert_eq!(ids, ["a", "b"]);
    client.execute("ROLLBACK", &[]).await.unwrap();
}

/// Scenario: many statements on their way at once over one connection.
/// Guarantees: each gets its own answer.
#[tokio::test]
async fn statements_may_be_sent_before_answers_come() {
    let door = door(&two_spans().await).await;
    let client = door.connect().await;
    let statement = client.prepare("SELECT $1::bigint * 2").await.unwrap();
    let numbers: Vec<i64> = (0..50).collect();
    let (client, statement) = (&client, &statement);
    let asked = numbers
        .iter()
        .map(|n| async move { client.query_one(statement, &[n]).await.unwrap().get::<_, i64>(0) });
    let answers = futures::future::join_all(asked).await;
    assert_eq!(answers, numbers.iter().map(|n| n * 2).collect::<Vec<_>>());
}
