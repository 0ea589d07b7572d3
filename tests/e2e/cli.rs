//! The commands, against a daemon and straight on its store.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::daemon::{Daemon, Launch, run};
use crate::otlp::Encoding;
use crate::programs::{plain_python, script};
use crate::vertical::fixtures;

/// Doors that no other daemon of this machine can be in the way of.
const FREE_PORTS: [&str; 8] = [
    "--set",
    "otlp.grpc.listen=127.0.0.1:0",
    "--set",
    "otlp.http.listen=127.0.0.1:0",
    "--set",
    "http.listen=127.0.0.1:0",
    "--set",
    "flight.listen=127.0.0.1:0",
];

/// What a command printed; it must have succeeded.
fn printed(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}: {error}\n{text}", output.status);
    text
}

/// A daemon with the fixtures in it.
async fn filled(dir: &Path) -> (Launch, Daemon) {
    let launch = Launch::new(dir).set("flush.max_age=1h");
    let daemon = launch.start().await;
    for request in &fixtures().0 {
        daemon.ack(Encoding::HttpProtobuf, request).await;
    }
    (launch, daemon)
}

const KINDS: &str = "SELECT kind, count(*) AS spans, max(duration_ns) AS longest \
                     FROM spans GROUP BY kind ORDER BY kind";

/// Scenario: one statement in every format, to the daemon before the flush and
/// straight to the store after it.
/// Guarantees: interfaces.md: the same answer from both.
#[tokio::test(flavor = "multi_thread")]
async fn sql_answers_alike_from_a_daemon_and_from_its_store() {
    let dir = tempfile::tempdir().unwrap();
    let (launch, daemon) = filled(dir.path()).await;
    let server = daemon.url("");
    let store = launch.store_url();
    let lines = |text: &str| text.lines().take(5).map(str::to_owned).collect::<Vec<_>>();
    let formats = ["table", "json", "ndjson", "csv", "arrow", "parquet"];
    let mut answers = Vec::new();
    for format in formats {
        let args = ["sql", "--server", &server, "--format", format, KINDS];
        answers.push(run(dir.path(), &args).await);
    }
    daemon.flush().await;
    for (format, hot) in formats.iter().zip(&answers) {
        let args = ["sql", "--store", &store, "--format", format, KINDS];
        let cold = run(dir.path(), &args).await;
        let text = printed(hot);
        match *format {
            "json" => {
                let [mut cold, mut hot]: [Value; 2] =
                    [printed(&cold), text].map(|text| serde_json::from_str(&text).unwrap());
                assert_eq!(hot["rows"].take(), cold["rows"].take());
            }
            "arrow" => assert!(!hot.stdout.is_empty() && !cold.stdout.is_empty()),
            "parquet" => {
                assert!(hot.stdout.starts_with(b"PAR1") && cold.stdout.starts_with(b"PAR1"));
            }
            // The last line says how long it took.
            "table" => assert_eq!(lines(&text), lines(&printed(&cold))),
            _ => assert_eq!(text, printed(&cold), "{format}"),
        }
    }
    assert_eq!(
        printed(&answers[3]).replace("\r\n", "\n"),
        "kind,spans,longest\n9,1,1\nCLIENT,1,0\nSERVER,1,100000001\n"
    );
    let line: Value = serde_json::from_str(printed(&answers[2]).lines().next().unwrap()).unwrap();
    assert_eq!(line, json!({"kind": "9", "spans": 1, "longest": 1}));
    assert!(printed(&answers[0]).contains("SERVER"));
    daemon.stop().await;
}

/// Scenario: a person at a terminal uses the shell, on a daemon and on its store:
/// statements, completion, every command, files, Ctrl-C, history; then the
/// daemon goes away, under a statement and between two, and comes back.
/// Guarantees: issue 4.6: each does what it says, and the shell lives on.
#[tokio::test(flavor = "multi_thread")]
async fn the_shell_is_used_on_a_terminal() {
    let Some(python) = plain_python().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let (launch, daemon) = filled(dir.path()).await;
    daemon.flush().await;
    let (server, store) = (daemon.url(""), launch.store_url());
    let args = [env!("CARGO_BIN_EXE_cloudsail"), &server, &store];
    assert_eq!(script(&python, "python/shell.py", &args).await.trim(), "used");
    daemon.stop().await;
}

/// Scenario: a misspelt column, a statement that would write, a server that is
/// not there.
/// Guarantees: exit code 1, and an error that says what to do.
#[tokio::test(flavor = "multi_thread")]
async fn sql_that_fails_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let (_, daemon) = filled(dir.path()).await;
    let server = daemon.url("");
    for (query, names) in [
        ("SELECT service_nme FROM spans", "service_name"),
        ("SELECT * FROM spanz", "spans"),
        ("DELETE FROM spans", "read"),
        ("COPY spans TO '/tmp/x.csv'", "read"),
        ("SELECT * FROM '/etc/passwd'", ""),
    ] {
        let output = run(dir.path(), &["sql", "--server", &server, query]).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{query}: {said}");
        assert!(said.contains(names), "{query}: {said}");
    }
    assert_eq!(daemon.count("spans").await, 3);
    daemon.stop().await;
    let output = run(dir.path(), &["sql", "--server", &server, "SELECT 1"]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains(&server[7..]), "it names the server: {said}");
}

/// Scenario: a flushed store is verified, then a file of it is taken away, then
/// another is cut.
/// Guarantees: interfaces.md: `verify` says yes, then names what is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_a_missing_and_a_damaged_file() {
    let dir = tempfile::tempdir().unwrap();
    let (launch, daemon) = filled(dir.path()).await;
    daemon.flush().await;
    let query = "SELECT path FROM system.files WHERE table_name IN ('spans', 'logs') ORDER BY path";
    let files = daemon.sql(query).await.rows;
    daemon.stop().await;
    let store = launch.store_url();
    let verify = ["verify", "--store", &store];
    printed(&run(dir.path(), &verify).await);
    let found: Vec<_> = walk(&launch.data().join("store/default"));
    let of = |table: &str| {
        let parquet = |p: &&std::path::PathBuf| p.extension().is_some_and(|e| e == "parquet");
        let in_table =
            |p: &&std::path::PathBuf| p.to_string_lossy().contains(&format!("/{table}/"));
        found.iter().filter(parquet).find(in_table).expect("a file").clone()
    };
    assert!(files.len() >= 2);
    for (table, spoil) in [("spans", true), ("logs", false)] {
        let file = of(table);
        let bytes = std::fs::read(&file).unwrap();
        match spoil {
            true => std::fs::remove_file(&file).unwrap(),
            false => std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap(),
        }
        let output = run(dir.path(), &verify).await;
        let said = format!("{output:?}");
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(file.file_name().unwrap().to_str().unwrap()), "{said}");
        std::fs::write(&file, &bytes).unwrap();
    }
    assert!(run(dir.path(), &verify).await.status.success());
}

/// Scenario: the same telemetry is flushed ten times, then a daemon is told to
/// join its files, then told again.
/// Guarantees: interfaces.md: after `compact` the files are joined and nothing is
/// lost (K1); the second time there is nothing to do; `verify` agrees.
#[tokio::test(flavor = "multi_thread")]
async fn compact_joins_what_was_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let (launch, daemon) = filled(dir.path()).await;
    daemon.flush().await;
    for _ in 1..10 {
        for request in &fixtures().0 {
            daemon.ack(Encoding::HttpProtobuf, request).await;
        }
        daemon.flush().await;
    }
    let server = daemon.url("");
    let sums =
        "SELECT count(*) AS n, sum(duration_ns) AS d, count(DISTINCT span_id) AS i FROM spans";
    let before = daemon.sql(sums).await.rows;
    let compact = ["compact", "--server", &server];
    let told = printed(&run(dir.path(), &compact).await);
    let spans = told.lines().find(|line| line.starts_with("default/spans")).unwrap();
    // The daemon may have joined them by itself in between.
    assert!(spans.contains("joined") || spans.ends_with("; 1 files"), "{told}");
    assert_eq!(daemon.sql(sums).await.rows, before);
    assert_eq!(daemon.count("spans").await, 30);
    let again = printed(&run(dir.path(), &compact).await);
    assert!(again.lines().all(|line| line.contains("nothing to join")), "{again}");
    daemon.stop().await;
    printed(&run(dir.path(), &["verify", "--store", &launch.store_url()]).await);
}

/// Every file below a folder.
fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).expect("the folder is there") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}

/// Scenario: the commands that look at a configuration and a machine.
/// Guarantees: interfaces.md: `config validate|show|schema`, `doctor`,
/// `completions` work without a file, and a file's and a flag's values show up.
#[tokio::test(flavor = "multi_thread")]
async fn the_small_commands_do_what_they_say() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("c.yaml"), "flush:\n  max_age: 42s\n").unwrap();
    printed(&run(dir.path(), &["config", "validate", "--config", "c.yaml"]).await);
    let set = ["--set", "query.concurrency=3"];
    let show = ["config", "show", "--config", "c.yaml", set[0], set[1]];
    let shown = printed(&run(dir.path(), &show).await);
    assert!(shown.contains("42s") && shown.contains("concurrency: 3"), "{shown}");
    let schema = printed(&run(dir.path(), &["config", "schema"]).await);
    let schema: Value = serde_json::from_str(&schema).unwrap();
    assert!(schema["properties"]["flush"].is_object(), "{schema}");
    let doctor = [&["doctor"], &FREE_PORTS[..]].concat();
    let advice = printed(&run(dir.path(), &doctor).await).to_lowercase();
    for looked_at in ["store", "clock", "disk"] {
        assert!(advice.contains(looked_at), "{looked_at}: {advice}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&run(dir.path(), &["completions", shell]).await);
        assert!(script.contains("replay") && script.contains("ports-file"), "{shell}");
    }
    let version = printed(&run(dir.path(), &["--version"]).await);
    assert_eq!(version.trim(), concat!("cloudsail ", env!("CARGO_PKG_VERSION")));
}

/// Scenario: the demo, from nothing to its last result.
/// Guarantees: interfaces.md: `demo --once` ends with 0, finds the faulty
/// version by SQL and leaves nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn the_demo_finds_its_fault() {
    let dir = tempfile::tempdir().unwrap();
    let args = [&["demo", "--once", "--set", "disk.reserve=0%"], &FREE_PORTS[..]].concat();
    let told = printed(&run(dir.path(), &args).await);
    assert!(told.contains("payment") && told.contains("1.4.0"), "{told}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "it cleans up");
}
