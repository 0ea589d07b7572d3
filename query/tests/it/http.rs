//! The HTTP door over loopback.

use std::sync::Arc;
use std::time::Duration;

use arrow::ipc::reader::StreamReader;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use super::ask::{Asker, asker};
use super::source::{TestSource, origin, span};

struct Door {
    url: String,
    address: std::net::SocketAddr,
    asker: Asker,
    _server: tokio::task::JoinSet<()>,
}

async fn door(source: &Arc<TestSource>) -> Door {
    let asker = asker(source);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = query::doors::http::router(asker.engine.clone());
    let mut server = tokio::task::JoinSet::new();
    server.spawn(async move {
        axum::serve(listener, router).await.unwrap();
    });
    Door { url: format!("http://{address}"), address, asker, _server: server }
}

impl Door {
    async fn send(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> http::Response<Incoming> {
        let client = Client::builder(TokioExecutor::new()).build_http::<String>();
        let method = if body.is_empty() { "GET" } else { "POST" };
        let mut request =
            http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        client.request(request.body(body.to_owned()).unwrap()).await.unwrap()
    }

    async fn text(&self, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let response = self.send(path, headers, body).await;
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    async fn json(&self, path: &str, body: &str) -> (u16, Value) {
        let (status, text) = self.text(path, &[], body).await;
        (status, serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")))
    }
}

async fn two_spans() -> Arc<TestSource> {
    let source = TestSource::new();
    let one = json!({"http.response.status_code": 9_007_199_254_740_993i64, "attributes": {"k": "v\"\n"}, "span_id": "a"});
    source.commit("spans", origin(1, 1), &[span(0, one)]).await;
    source.hot("spans", &[span(1, json!({"span_id": "b", "attributes": {"k": null}}))]);
    source
}

const SQL: &str = "/api/v1/sql";

/// Scenario: a statement as JSON and as plain text, under every content type
/// that curl sends by itself.
/// Guarantees: the document of interfaces.md, with types, times, maps, numbers
/// and statistics.
#[tokio::test]
async fn json_answers_have_columns_rows_and_stats() {
    let door = door(&two_spans().await).await;
    let sql = "SELECT time, \"http.response.status_code\" AS code, attributes, duration_ms, 'NaN'::double AS n, \
        ARRAY[1, 2] AS l FROM spans ORDER BY time";
    let (status, answer) = door.json(SQL, &json!({"query": sql, "limit": 1}).to_string()).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["columns"][0], json!({"name": "time", "type": "timestamptz"}));
    assert_eq!(answer["columns"][2]["type"], "map<text,text>");
    let row = json!([["2026-11-23T10:00:00Z", 9_007_199_254_740_993i64, {"k": "v\"\n"}, 2.5, "NaN", [1, 2]]]);
    assert_eq!(answer["rows"], row);
    assert_eq!((&answer["truncated"], &answer["complete"]), (&json!(true), &json!(true)));
    assert_eq!(answer["stats"]["versions"], json!({"spans": 0}));
    assert_eq!((&answer["stats"]["rows"], &answer["stats"]["files_read"]), (&json!(1), &json!(1)));
    assert!(
        answer["stats"]["bytes_read"].as_u64() > Some(0)
            && answer["stats"]["elapsed_ms"].is_number()
    );

    let form = ("content-type", "application/x-www-form-urlencoded");
    let (status, text) =
        door.text(&format!("{SQL}?int64=string"), &[form], "SELECT 9007199254740993 AS n").await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &answer["rows"]), (200, &json!([["9007199254740993"]])));
    let params = json!({"query": "SELECT $1, $2::double", "params": ["x", 1.5]}).to_string();
    assert_eq!(door.json(SQL, &params).await.1["rows"], json!([["x", 1.5]]));
    let none = door.json(SQL, "SELECT * FROM logs").await.1;
    assert_eq!(none["rows"], json!([]));
}

/// Scenario: the other forms are asked for by `Accept`.
/// Guarantees: each is what its media type says.
#[tokio::test]
async fn other_forms_by_accept() {
    let door = door(&two_spans().await).await;
    let sql = "SELECT span_id, attributes, NULL AS nothing FROM spans ORDER BY 1";
    let (_, lines) = door.text(SQL, &[("accept", "application/x-ndjson")], sql).await;
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected = [
        json!({"span_id": "a", "attributes": {"k": "v\"\n"}, "nothing": null}),
        json!({"span_id": "b", "attributes": {"k": null}, "nothing": null}),
    ];
    assert_eq!(lines, expected);
    let (_, csv) = door.text(SQL, &[("accept", "text/csv, */*;q=0.1")], sql).await;
    let first = "span_id,attributes,nothing\r\na,\"{\"\"k\"\":\"\"v\\\"\"\\n\"\"}\",\r\n";
    assert!(csv.starts_with(first), "{csv}");
    let response = door.send(SQL, &[("accept", "application/vnd.apache.arrow.stream")], sql).await;
    assert_eq!(response.headers()["x-cloudsail-complete"], "true");
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let batches: Vec<_> =
        StreamReader::try_new(bytes.as_ref(), None).unwrap().map(|b| b.unwrap()).collect();
    assert_eq!(batches.iter().map(|b| b.num_rows()).sum::<usize>(), 2);
    assert_eq!(door.text(SQL, &[("accept", "text/html")], sql).await.0, 200);
}

/// Scenario: mistakes, refusals, a missing table of the API, a broken body.
/// Guarantees: the status table, and the error document with hint and position.
#[tokio::test]
async fn errors_have_status_kind_hint_and_position() {
    let door = door(&two_spans().await).await;
    let (status, answer) = door.json(SQL, "SELECT *\nFROM spanz").await;
    assert_eq!((status, &answer["error"]["kind"]), (400, &json!("invalid")), "{answer}");
    assert_eq!(answer["error"]["hint"], "did you mean spans?");
    let (_, answer) = door.json(SQL, "SELECT FROM WHERE").await;
    assert!(answer["error"]["position"]["line"].is_number(), "{answer}");
    assert_eq!(door.json(SQL, "DROP TABLE spans").await.0, 403);
    assert_eq!(door.json(SQL, "{\"sql\": 1}").await.0, 400);
    assert_eq!(door.json(SQL, "{\"query\": \"SELECT 1\", \"extra\": 1}").await.0, 400);
    assert_eq!(door.json(SQL, &"x".repeat(100_000)).await.0, 400);
    assert_eq!(door.json(&format!("{SQL}?int64=float"), "SELECT 1").await.0, 400);
    assert_eq!(door.json("/api/v1/tables/nothing", "").await.0, 404);
    // Fails at its last row, before anything is sent.
    let late = "SELECT 1 / (5 - value) FROM generate_series(1, 5)";
    assert_eq!(door.json(SQL, late).await.0, 400);
}

/// Scenario: an answer fails long after its first rows were sent.
/// Guarantees: NDJSON says so in a last line, CSV breaks the connection off;
/// neither looks whole.
#[tokio::test]
async fn a_late_failure_is_never_a_short_answer() {
    let door = door(&two_spans().await).await;
    let late = "SELECT 1 / (100000 - value) FROM generate_series(1, 100000)";
    let (status, lines) = door.text(SQL, &[("accept", "application/x-ndjson")], late).await;
    assert_eq!(status, 200);
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(last["error"]["kind"], "invalid");
    let response = door.send(SQL, &[("accept", "text/csv")], late).await;
    assert!(response.into_body().collect().await.is_err());
}

/// Scenario: a client reads a little of a large answer and goes away; another
/// leaves before there is any.
/// Guarantees: the statement under each is cancelled.
#[tokio::test]
async fn a_client_that_leaves_cancels() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let door = door(&two_spans().await).await;
    let endless = "SELECT count(*) FROM generate_series(1, 100000000000) WHERE value % 7 = 3";
    for sql in ["SELECT * FROM generate_series(1, 9000000)", endless] {
        let mut socket = TcpStream::connect(door.address).await.unwrap();
        let length = sql.len();
        let request = format!(
            "POST {SQL} HTTP/1.1\r\nhost: x\r\naccept: text/csv\r\ncontent-length: {length}\r\n\r\n{sql}"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut some = [0u8; 64];
        let read = tokio::time::timeout(Duration::from_millis(500), socket.read(&mut some)).await;
        assert_eq!(read.is_ok(), sql != endless);
        assert_eq!(door.asker.engine.running(), 1);
        drop(socket);
        for _ in 0..500 {
            if door.asker.engine.running() == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(door.asker.engine.running(), 0, "{sql}");
    }
}

/// Scenario: the API is asked what tables there are.
/// Guarantees: columns, types, meanings and counts.
#[tokio::test]
async fn tables_are_listed() {
    let door = door(&two_spans().await).await;
    let (_, list) = door.json("/api/v1/tables", "").await;
    let names: Vec<_> =
        list["tables"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"spans") && names.contains(&"traces"), "{names:?}");
    let (status, spans) = door.json("/api/v1/tables/spans", "").await;
    assert_eq!((status, &spans["rows"], &spans["files"]), (200, &json!(2), &json!(1)));
    assert_eq!(spans["columns"][0]["type"], "timestamptz");
    assert!(!spans["columns"][0]["doc"].as_str().unwrap().is_empty());
}
