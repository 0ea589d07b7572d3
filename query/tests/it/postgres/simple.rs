use std::time::Duration;

use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::error::ErrorPosition;

use super::{door, refusal, texts, two_spans};

/// Scenario: several statements in one string, with comments and semicolons
/// where they mean nothing; strings that say nothing.
/// Guarantees: each is answered in its order; nothing is an answer, too.
#[tokio::test]
async fn several_statements_are_answered_one_by_one() {
    let door = door(&two_spans().await).await;
    let client = door.connect().await;
    let sql = "SELECT 10 AS a; /* ; */ SELECT 'x;y', NULL ;-- end\n";
    let messages = client.simple_query(sql).await.unwrap();
    let told: Vec<String> = messages
        .iter()
        .map(|message| match message {
            SimpleQueryMessage::RowDescription(columns) => format!("{} columns", columns.len()),
            SimpleQueryMessage::Row(row) => format!("{:?}", row.get(0)),
            SimpleQueryMessage::CommandComplete(rows) => format!("{rows} rows"),
            _ => "?".into(),
        })
        .collect();
    let expected = ["1 columns", "Some(\"10\")", "1 rows", "2 columns", "Some(\"x;y\")", "1 rows"];
    assert_eq!(told, expected);
    for nothing in ["", ";", " ; ;", "-- ping", "/* a */ ; -- b"] {
        assert!(texts(&client, nothing).await.is_empty(), "{nothing}");
    }
}

/// Scenario: the second of three statements fails, in its second line.
/// Guarantees: the first is answered, the third does not run; the error has its
/// code, its hint and its place in the whole string, and the session goes on.
#[tokio::test]
async fn an_error_ends_a_string_of_statements() {
    let door = door(&two_spans().await).await;
    let client = door.connect().await;
    let sql = "SELECT 'é';\nSELECT\n  nme FROM spans; SET application_name = 'late'";
    let error = client.simple_query(sql).await.unwrap_err();
    let db = error.as_db_error().unwrap();
    assert_eq!((db.code().code(), db.severity()), ("42703", "ERROR"));
    assert!(db.hint().unwrap().contains("name"), "{db:?}");
    let Some(ErrorPosition::Original(position)) = db.position() else { panic!("{db:?}") };
    let place: String = sql.chars().skip(*position as usize - 1).take(3).collect();
    assert_eq!(place, "nme");
    assert_eq!(texts(&client, "SHOW application_name").await, [""]);
    assert_eq!(texts(&client, "SELECT 1").await, ["1"]);
}

/// Scenario: statements that fail in every way there is.
/// Guarantees: each has the SQLSTATE by which drivers tell it.
#[tokio::test]
async fn errors_have_their_sqlstate() {
    let door = door(&two_spans().await).await;
    let client = door.connect().await;
    for (sql, code) in [
        ("SELEC 1", "42601"),
        ("SELECT 'open", "42601"),
        ("SELECT * FROM spanz", "42P01"),
        ("SELECT nothing FROM spans", "42703"),
        ("SELECT nothing(1)", "42883"),
        ("SELECT 1 / 0", "22012"),
        ("INSERT INTO spans VALUES (1)", "25006"),
        ("DROP TABLE spans", "25006"),
        ("COPY spans FROM STDIN", "25006"),
        ("FETCH 1 FROM nothing", "34000"),
        ("SET nothing = 1", "42704"),
        ("SHOW nothing", "42704"),
        ("SET server_version = '17'", "55P02"),
        ("SET client_encoding = 'LATIN1'", "22023"),
        ("SET TIME ZONE 'Mars/Olympus'", "22023"),
        ("EXECUTE p", "0A000"),
    ] {
        assert_eq!(refusal(&client, sql).await.0, code, "{sql}");
    }
    assert_eq!(texts(&client, "SELECT 1").await, ["1"]);
}

/// Scenario: values of every type, as text.
/// Guarantees: they read as PostgreSQL writes them; what nests is JSON.
#[tokio::test]
async fn values_are_text_as_in_postgres() {
    let door = door(&two_spans().await).await;
    let client = door.connect().await;
    let sql = "SELECT true, 1::smallint, 2::int, 9007199254740993, 1.5::float8, 1e20::float8, \
        'NaN'::float8, 12.50::numeric(10,2), 'é', '\\x00ff'::bytea, DATE '2026-11-23', \
        TIMESTAMP '2026-11-23 10:00:00.25', INTERVAL '1 day', NULL, ARRAY[1, NULL, 3], \
        ARRAY['a', 'b,c'], ''";
    let expected = "t|1|2|9007199254740993|1.5|1e+20|NaN|12.50|é|";
    let row = &texts(&client, sql).await[0];
    assert!(row.starts_with(expected), "{row}");
    assert!(row.contains("|2026-11-23|2026-11-23 10:00:00.25|"), "{row}");
    assert!(row.ends_with("|~|{1,NULL,3}|{a,\"b,c\"}|"), "{row}");
    let spans =
        texts(&client, "SELECT time, is_error, attributes, events FROM spans ORDER BY 1").await;
    assert_eq!(spans[0], "2026-11-23 10:00:00+00|t|{\"k\":\"v\\\"\\n\",\"ä\":\"ö\"}|~");
}

/// Scenario: two connections, one of which sets its zone and its time limit;
/// then resets.
/// Guarantees: nobody else's change; statements follow, and so does SHOW.
#[tokio::test]
async fn settings_belong_to_their_connection() {
    let door = door(&two_spans().await).await;
    let (one, other) = (door.connect().await, door.connect().await);
    let times = "SELECT min(time) FROM spans";
    one.batch_execute("SET TIME ZONE 'Asia/Kolkata'; SET application_name TO 'one'").await.unwrap();
    assert_eq!(texts(&one, times).await, ["2026-11-23 15:30:00+05:30"]);
    assert_eq!(texts(&one, "SHOW TimeZone").await, ["Asia/Kolkata"]);
    assert_eq!(texts(&one, "SELECT current_setting('timezone')").await, ["Asia/Kolkata"]);
    let naive = "SELECT '2026-11-23 15:30:00'::timestamptz = (SELECT min(time) FROM spans)";
    assert_eq!(texts(&one, naive).await, ["t"]);
    assert_eq!(texts(&other, naive).await, ["f"]);
    assert_eq!(texts(&other, times).await, ["2026-11-23 10:00:00+00"]);
    assert_eq!(texts(&other, "SHOW application_name").await, [""]);
    one.batch_execute("RESET TimeZone").await.unwrap();
    assert_eq!(texts(&one, times).await, ["2026-11-23 10:00:00+00"]);
    one.batch_execute("DISCARD ALL").await.unwrap();
    assert_eq!(texts(&one, "SHOW application_name").await, [""]);
    assert!(texts(&one, "SHOW ALL").await.iter().any(|line| line.starts_with("server_version|16")));
}

/// Scenario: text beside a column of instants in comparisons of every form, on a
/// connection with a zone and on one without.
/// Guarantees: as in PostgreSQL, it is read in the connection's zone, unless it
/// says its own offset.
#[tokio::test]
async fn text_beside_an_instant_is_read_in_the_zone_of_its_connection() {
    let door = door(&two_spans().await).await;
    let (one, other) = (door.connect().await, door.connect().await);
    one.batch_execute("SET TIME ZONE 'Asia/Kolkata'").await.unwrap();
    let count = |condition: &str| format!("SELECT count(*) FROM spans WHERE {condition}");
    for condition in [
        "time = '2026-11-23 15:30:00'",
        "'2026-11-23 15:30:00' >= time",
        "time BETWEEN '2026-11-23 15:29:00' AND '2026-11-23 15:30:00'",
        "time IN ('2026-11-23 15:30:00', '2026-11-23 15:31:30')",
        "date_trunc('minute', time) = '2026-11-23 15:30:00' AND time < '2026-11-23 15:30:01'",
    ] {
        let sql = count(condition);
        let [first, second] = [texts(&one, &sql).await, texts(&other, &sql).await];
        assert_eq!(first, ["1"], "{condition}");
        assert_ne!(first, second, "{condition}");
    }
    let said = count("time = '2026-11-23T10:00:00Z'");
    assert_eq!(texts(&one, &said).await, texts(&other, &said).await);
}

/// Scenario: two connections ask for their number, alone and beside rows.
/// Guarantees: each has one of its own, and keeps it.
#[tokio::test]
async fn a_connection_knows_its_number() {
    let door = door(&two_spans().await).await;
    let (one, other) = (door.connect().await, door.connect().await);
    let first = texts(&one, "SELECT pg_backend_pid()").await;
    assert_ne!(first, ["0"]);
    assert_ne!(first, texts(&other, "SELECT pg_backend_pid()").await);
    let rows = texts(&one, "SELECT pg_catalog.pg_backend_pid() FROM spans").await;
    assert_eq!(rows, [first[0].clone(), first[0].clone()]);
}

/// Scenario: settings in a transaction that is rolled back, SET LOCAL, and what
/// the startup message says.
/// Guarantees: they last as long as PostgreSQL lets them.
#[tokio::test]
async fn settings_last_as_long_as_they_should() {
    let door = door(&two_spans().await).await;
    let client =
        door.connect_with("application_name=app options='-c statement_timeout=7s'").await.unwrap();
    let app = "SHOW application_name";
    assert_eq!(texts(&client, app).await, ["app"]);
    assert_eq!(texts(&client, "SHOW statement_timeout").await, ["7s"]);
    client.batch_execute("BEGIN; SET application_name = 'a'; ROLLBACK").await.unwrap();
    assert_eq!(texts(&client, app).await, ["app"]);
    client.batch_execute("BEGIN; SET LOCAL application_name = 'b'").await.unwrap();
    assert_eq!(texts(&client, app).await, ["b"]);
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(texts(&client, app).await, ["app"]);
    client.batch_execute("SET application_name = 'c'; RESET ALL").await.unwrap();
    assert_eq!(texts(&client, app).await, ["app"]);
    let refused = door.connect_with("options='-c nothing=1'").await.err().unwrap();
    assert_eq!(super::told(&refused).0, "42704");
}

/// Scenario: a time limit below the engine's, and none again.
/// Guarantees: the statement ends by it, with the code of a cancel.
#[tokio::test]
async fn a_statement_timeout_lowers_the_deadline() {
    let door = door(&two_spans().await).await;
    let client = door.connect().await;
    client.batch_execute("SET statement_timeout = '200ms'").await.unwrap();
    let start = std::time::Instant::now();
    assert_eq!(refusal(&client, super::cancel::ENDLESS).await.0, "57014");
    assert!(start.elapsed() < Duration::from_secs(10));
    client.batch_execute("SET statement_timeout = 0").await.unwrap();
    assert_eq!(texts(&client, "SELECT 1").await, ["1"]);
}

/// Scenario: an error in a transaction, then statements, then its end; the
/// same with a savepoint.
/// Guarantees: nothing runs until it is rolled back, and COMMIT says that it was.
#[tokio::test]
async fn a_failed_transaction_waits_for_its_end() {
    let door = door(&two_spans().await).await;
    let mut client = door.connect().await;
    client.batch_execute("BEGIN").await.unwrap();
    refusal(&client, "SELECT nothing").await;
    assert_eq!(refusal(&client, "SELECT 1").await.0, "25P02");
    assert_eq!(
        client.query("SELECT 1", &[]).await.map_err(|e| super::told(&e).0).err().unwrap(),
        "25P02"
    );
    client.batch_execute("COMMIT; SELECT 1").await.unwrap();
    client.batch_execute("BEGIN; SAVEPOINT s").await.unwrap();
    refusal(&client, "SELECT nothing").await;
    client.batch_execute("ROLLBACK TO SAVEPOINT s; SELECT 1; RELEASE s; COMMIT").await.unwrap();
    assert_eq!(refusal(&client, "SAVEPOINT s").await.0, "25P01");
    let transaction = client.build_transaction().read_only(true).start().await.unwrap();
    assert_eq!(transaction.query("SELECT name FROM spans", &[]).await.unwrap().len(), 2);
    transaction.commit().await.unwrap();
}

/// Scenario: an answer that is cut, and one that cannot see everything.
/// Guarantees: the rows come, and a warning with them.
#[tokio::test]
async fn a_cut_answer_is_told() {
    let source = two_spans().await;
    source.incomplete("spans", "the store does not answer");
    let door = super::door_with(&source, |settings| settings.max_rows = 1).await;
    let config = format!("host=127.0.0.1 port={} user=me", door.address.port());
    let (client, mut connection) =
        tokio_postgres::connect(&config, tokio_postgres::NoTls).await.unwrap();
    let notices = async {
        let mut told = Vec::new();
        while let Some(message) =
            std::future::poll_fn(|context| connection.poll_message(context)).await
        {
            if let tokio_postgres::AsyncMessage::Notice(notice) = message.unwrap() {
                told.push(notice.message().to_owned());
            }
        }
        told
    };
    let asking = async {
        let rows = texts(&client, "SELECT name FROM spans").await.len();
        drop(client);
        rows
    };
    let (told, rows) = futures::join!(notices, asking);
    assert_eq!(rows, 1);
    assert!(told[0].contains("cut after 1 rows"), "{told:?}");
    assert!(told[1].contains("spans: the store does not answer"), "{told:?}");
}
