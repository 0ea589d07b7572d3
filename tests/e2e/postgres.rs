//! The Postgres door as its clients use it: psql, psycopg, node-pg and the
//! JDBC driver, each the very program that people run.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::daemon::{Daemon, Launch};
use crate::otlp::{Encoding, Request, Signal};
use crate::programs::{clients, node_pg, psycopg, script, skip};

const PATIENCE: Duration = Duration::from_secs(120);

/// A daemon with the spans of one request, and how many they are.
async fn serving(dir: &Path) -> (Daemon, i64) {
    let launch = Launch::new(dir).set("postgres.listen=127.0.0.1:0").set("flush.max_age=1h");
    let daemon = launch.start().await;
    let traces = Request::from_json(Signal::Traces, include_str!("fixtures/traces.json"));
    daemon.ack(Encoding::HttpJson, &traces).await;
    let count = daemon.count("spans").await;
    assert!(count > 0);
    (daemon, count)
}

impl Daemon {
    fn postgres(&self) -> (String, String) {
        let address = self.ports.postgres.as_deref().expect("the door is on");
        let (host, port) = address.rsplit_once(':').expect("host and port");
        (host.to_owned(), port.to_owned())
    }
}

/// What psql prints for its arguments, unaligned and without headings.
async fn psql(daemon: &Daemon, args: &[&str]) -> (String, String) {
    let (host, port) = daemon.postgres();
    let mut command = Command::new("psql");
    command.args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", &host, "-p", &port, "-U", "me"]);
    command.args(args).arg("cloudsail").env("PGCONNECT_TIMEOUT", "30").kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.expect("it ends").expect("psql starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Scenario: psql asks for rows, several statements, a COPY and a mistake, and
/// looks around with its backslash commands.
/// Guarantees: each is answered as by PostgreSQL.
#[tokio::test(flavor = "multi_thread")]
async fn psql_works() {
    if !Command::new("psql")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .await
        .is_ok_and(|s| s.success())
    {
        return skip("psql is missing; install postgresql-client");
    }
    let dir = tempfile::tempdir().unwrap();
    let (daemon, count) = serving(dir.path()).await;
    let (out, err) = psql(&daemon, &["-c", "SELECT count(*) FROM spans; SELECT 'b'"]).await;
    assert_eq!((out.as_str(), err.as_str()), (format!("{count}\nb\n").as_str(), ""));
    let (out, _) = psql(&daemon, &["-c", "\\copy (SELECT span_id FROM spans) TO STDOUT CSV"]).await;
    assert_eq!(out.lines().count() as i64, count);
    let (_, err) = psql(&daemon, &["-c", "SELECT nme FROM spans"]).await;
    assert!(
        err.contains("there is no column") && err.contains("LINE 1") && err.contains("HINT"),
        "{err}"
    );
    for (command, has) in [
        ("\\d", "spans|table"),
        ("\\dt", "public|spans|table|cloudsail"),
        ("\\dt+", "public|spans|table|cloudsail"),
        ("\\dv", "public|traces|view"),
        ("\\d spans", "time|timestamp with time zone"),
        ("\\d+ spans", "attributes|json"),
        ("\\d+ spans", "End minus start in nanoseconds"),
        ("\\d traces", "services|text[]"),
        ("\\dt system.*", ""),
        ("\\dv system.*", "system|ledger|view"),
        ("\\l", "cloudsail|cloudsail|UTF8"),
        ("\\dn", "public|cloudsail"),
        ("\\dn+", "system|cloudsail"),
        ("\\du", "cloudsail"),
        ("\\df", "public|red|SETOF record|step interval, from timestamp"),
        ("\\df p9*", "public|p95|double precision|double precision|agg"),
        ("\\dx", "timescaledb|"),
        ("\\dT", ""),
        ("\\di", ""),
        ("\\ds", ""),
        ("\\dp", "public|spans|table"),
        ("\\conninfo", "port"),
        ("\\encoding", "UTF8"),
    ] {
        let (out, err) = psql(&daemon, &["-c", command]).await;
        assert!(out.contains(has) && !err.contains("ERROR"), "{command}: {out}\n{err}");
    }
    daemon.stop().await;
}

async fn ok(printed: String) {
    assert_eq!(printed.trim(), "ok");
}

/// Scenario: psycopg with text and binary results, named cursors, COPY,
/// pipelines, transactions, a zone of its own, a cancel.
/// Guarantees: each works as with PostgreSQL.
#[tokio::test(flavor = "multi_thread")]
async fn psycopg_works() {
    let Some(python) = psycopg().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let (daemon, count) = serving(dir.path()).await;
    let (host, port) = daemon.postgres();
    ok(script(&python, "python/postgres.py", &[&host, &port, &count.to_string()]).await).await;
    daemon.stop().await;
}

/// Scenario: node-pg by both protocols, and a pool.
/// Guarantees: each works as with PostgreSQL.
#[tokio::test(flavor = "multi_thread")]
async fn node_pg_works() {
    let Some(node) = node_pg().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let (daemon, count) = serving(dir.path()).await;
    let (host, port) = daemon.postgres();
    ok(script(&node, "js/postgres.js", &[&host, &port, &count.to_string()]).await).await;
    daemon.stop().await;
}

/// Scenario: the JDBC driver reads metadata as tools do, prepared statements
/// in binary, fetch sizes, a query timeout.
/// Guarantees: each works as with PostgreSQL.
#[tokio::test(flavor = "multi_thread")]
async fn jdbc_works() {
    let jar = Path::new("/usr/share/java/postgresql.jar");
    let java = Command::new("java").arg("--version").stdout(Stdio::null()).status().await;
    if !jar.exists() || !java.is_ok_and(|status| status.success()) {
        return skip(
            "java or its driver is missing; install default-jdk-headless and libpostgresql-jdbc-java",
        );
    }
    let dir = tempfile::tempdir().unwrap();
    let (daemon, count) = serving(dir.path()).await;
    let (host, port) = daemon.postgres();
    let mut command = Command::new("java");
    command.arg("-cp").arg(jar).arg(clients().join("java/Postgres.java"));
    command.args([&host, &port, &count.to_string()]).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.expect("it ends").expect("java starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    ok(String::from_utf8_lossy(&output.stdout).into_owned()).await;
    daemon.stop().await;
}
