use futures::TryStreamExt;
use tokio_postgres::Client;

use super::{door, refusal, texts, two_spans};

const SERIES: &str = "SELECT value FROM generate_series(1, 5000) AS t(value)";

/// Scenario: a cursor that is fetched from, moved and closed, and asked for
/// what it cannot do.
/// Guarantees: rows come once and in order; the errors are PostgreSQL's.
#[tokio::test]
async fn a_cursor_goes_forward() {
    let door = door(&two_spans().await).await;
    let client = door.connect().await;
    assert_eq!(refusal(&client, &format!("DECLARE c CURSOR FOR {SERIES}")).await.0, "25P01");
    client
        .batch_execute(&format!("BEGIN; DECLARE \"my c\" NO SCROLL CURSOR FOR {SERIES}"))
        .await
        .unwrap();
    let c = "\"my c\"";
    assert_eq!(texts(&client, &format!("FETCH NEXT FROM {c}")).await, ["1"]);
    assert_eq!(texts(&client, &format!("FETCH FORWARD 2 IN {c}")).await, ["2", "3"]);
    client.batch_execute(&format!("MOVE 1000 FROM {c}")).await.unwrap();
    assert_eq!(texts(&client, &format!("FETCH {c}")).await, ["1004"]);
    assert_eq!(texts(&client, &format!("FETCH ALL FROM {c}")).await.len(), 3_996);
    assert!(texts(&client, &format!("FETCH 10 FROM {c}")).await.is_empty());
    client.batch_execute("SAVEPOINT s").await.unwrap();
    assert_eq!(refusal(&client, &format!("FETCH PRIOR FROM {c}")).await.0, "55000");
    client.batch_execute(&format!("ROLLBACK TO s; CLOSE {c}")).await.unwrap();
    assert_eq!(refusal(&client, &format!("FETCH {c}")).await.0, "34000");
    client.batch_execute("ROLLBACK").await.unwrap();
    let held = format!(
        "BEGIN; DECLARE h CURSOR WITH HOLD FOR {SERIES}; DECLARE g CURSOR FOR {SERIES}; COMMIT"
    );
    client.batch_execute(&held).await.unwrap();
    assert_eq!(texts(&client, "FETCH 2 FROM h").await, ["1", "2"]);
    assert_eq!(refusal(&client, "FETCH 2 FROM g").await.0, "34000");
    client.batch_execute("CLOSE ALL").await.unwrap();
    super::cancel::until("their end", || door.asker.engine.running() == 0).await;
}

async fn copied(client: &Client, sql: &str) -> Vec<u8> {
    let stream = client.copy_out(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let parts: Vec<_> = stream.try_collect().await.unwrap();
    parts.concat()
}

/// Scenario: COPY of a query and of a table, as text, CSV and binary, with
/// cells that need escaping and NULLs.
/// Guarantees: what PostgreSQL would write.
#[tokio::test]
async fn copy_writes_text_csv_and_binary() {
    let door = door(&two_spans().await).await;
    let client = door.connect().await;
    let query =
        "SELECT span_id, attributes['k'] AS k, parent_span_id, is_error FROM spans ORDER BY time";
    let text = copied(&client, &format!("COPY ({query}) TO STDOUT")).await;
    assert_eq!(String::from_utf8(text).unwrap(), "a\tv\"\\n\t\\N\tt\nb\t\\N\t\\N\tf\n");
    let csv = copied(&client, &format!("COPY ({query}) TO STDOUT WITH (FORMAT csv, HEADER)")).await;
    let expected = "span_id,k,parent_span_id,is_error\na,\"v\"\"\n\",,t\nb,,,f\n";
    assert_eq!(String::from_utf8(csv).unwrap(), expected);
    let binary = copied(&client, "COPY (SELECT 7::bigint) TO STDOUT (FORMAT binary)").await;
    let mut expected = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    expected.extend([0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 7, 0xff, 0xff]);
    assert_eq!(binary, expected);
    let table = copied(&client, "COPY spans (span_id, kind) TO STDOUT").await;
    assert_eq!(table.iter().filter(|byte| **byte == b'\n').count(), 2);
    assert_eq!(texts(&client, "SELECT 1").await, ["1"]);
}
