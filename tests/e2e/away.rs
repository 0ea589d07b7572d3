//! Runs of a node that starts while its store is away, and of two nodes that
//! share one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::client::Answer;
use crate::daemon::{Daemon, Launch};
use crate::guards::{ERRORS, FAILING, HEALTHY, Shop, document, guard, until};
use crate::programs::{self, BUCKET};

const PATIENCE: Duration = Duration::from_secs(120);
const RUNS: &str = "/api/v1/experiments/runs";

/// Stands before a server, and hangs up on everybody while it is shut.
struct Gate {
    address: String,
    open: Arc<AtomicBool>,
    _standing: JoinSet<()>,
}

impl Gate {
    async fn before(server: &programs::Server) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let behind = server.address.trim_start_matches("http://").to_owned();
        let open = Arc::new(AtomicBool::new(true));
        let (is_open, mut standing) = (open.clone(), JoinSet::new());
        standing.spawn(async move {
            let mut through = JoinSet::new();
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                if !is_open.load(Ordering::Relaxed) {
                    through.shutdown().await;
                    continue;
                }
                let mut server = TcpStream::connect(&behind).await.unwrap();
                // Either end may hang up.
                through.spawn(async move {
                    drop(copy_bidirectional(&mut client, &mut server).await);
                });
            }
        });
        Gate { address, open, _standing: standing }
    }

    fn set(&self, open: bool) {
        self.open.store(open, Ordering::Relaxed);
    }
}

async fn post(daemon: &Daemon, path: &str, body: Value) -> Answer {
    let kind = [("content-type", "application/json")];
    daemon.client.post(&daemon.url(path), &kind, body.to_string()).await.unwrap()
}

/// A guard that nothing stops in the time of these tests but what it counts.
fn patient() -> String {
    let errors = ERRORS.replace("min-samples: 5", "min-samples: 5, grace: 600s");
    format!("{errors}\n  - {{name: pipeline, type: telemetry-health, grace: 600s}}")
}

/// Opens a run once the node is past its start.
async fn open(daemon: &Daemon, run: Option<&str>, more: &str) -> Answer {
    let body = json!({"document": document(&patient(), more), "run_id": run, "overlap": "mark"});
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = post(daemon, RUNS, body.clone()).await;
        let starting = answer.status == 503 && answer.text().contains("still being read");
        if !starting || Instant::now() > deadline {
            return answer;
        }
    }
}

/// The same of a node whose store answers, on however busy a machine.
async fn created(daemon: &Daemon, run: &str) -> u16 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = open(daemon, Some(run), "").await;
        if answer.status != 503 || Instant::now() > deadline {
            return answer.status;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Rows of the view, by run; none may have two.
async fn states(daemon: &Daemon) -> Vec<Vec<Value>> {
    let sql = "SELECT run_id, min(state), count(*) FROM experiment_windows GROUP BY 1 ORDER BY 1";
    daemon.sql(sql).await.rows
}

/// Scenario: of an earlier process' runs one was stopped and committed, one is only in
/// the log; then the node starts while the object store hangs up on everybody, and later
/// it does not any more.
/// Guarantees: a run without an id is opened, guarded, leased and stopped; the logged run
/// goes on; a name that cannot be checked is neither opened, marked nor unknown (503, 424);
/// when the store is back the stopped run is still stopped, and every run is there once.
#[tokio::test(flavor = "multi_thread")]
async fn runs_open_and_stop_while_the_store_is_away_from_the_start() {
    let Some(server) = programs::s3().await else { return };
    let gate = Gate::before(&server).await;
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(dir.path())
        .set("flush.max_age=1h")
        .set(format!("store.url=s3://{BUCKET}/away"));
    let options = server.s3_options().map(|(key, value)| match key {
        "aws_endpoint" => format!("store.options.{key}={}", gate.address),
        _ => format!("store.options.{key}={value}"),
    });
    let launch = options.into_iter().fold(launch, Launch::set);
    let daemon = launch.start().await;
    assert_eq!(created(&daemon, "latched").await, 201);
    let stop = json!({"guard": "user-errors", "reason": "too many"});
    assert_eq!(post(&daemon, &format!("{RUNS}/latched/abort"), stop).await.status, 200);
    daemon.flush().await;
    assert_eq!(open(&daemon, Some("logged"), "").await.status, 201);
    daemon.kill().await;

    gate.set(false);
    let daemon = launch.start().await;
    let refused = open(&daemon, Some("latched"), "").await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().contains("without a run id"), "{}", refused.text());
    assert_eq!(guard(&daemon, "latched", "").await.status, 424);
    assert_eq!(guard(&daemon, "nobody", "").await.status, 424);
    assert_eq!(post(&daemon, &format!("{RUNS}/latched/inject"), json!({})).await.status, 503);
    assert_eq!(post(&daemon, "/api/v1/leases/latched", json!({})).await.status, 424);
    assert_eq!(open(&daemon, Some("logged"), "").await.status, 200);

    let shop = Shop::open(&daemon);
    let opened = open(&daemon, None, "").await;
    assert_eq!(opened.status, 201, "{}", opened.text());
    let new = opened.json()["run_id"].as_str().unwrap().to_owned();
    until(&daemon, &new, 200).await;
    until(&daemon, "logged", 200).await;
    let lease = format!("/api/v1/leases/{new}");
    assert_eq!(post(&daemon, &lease, json!({"ttl": "60s"})).await.status, 200);
    assert_eq!(post(&daemon, &format!("{RUNS}/{new}/inject"), json!({})).await.status, 200);
    let listed = daemon.client.get(&daemon.url(RUNS)).await.unwrap().json();
    assert_eq!(listed["complete"], false, "{listed}");
    shop.turn(FAILING);
    for run in [new.as_str(), "logged"] {
        assert_eq!(until(&daemon, run, 503).await["guard"], "user-errors");
    }
    shop.turn(HEALTHY);

    gate.set(true);
    let stop = until(&daemon, "latched", 503).await;
    assert_eq!(stop["guard"], "user-errors", "{stop}");
    let known = open(&daemon, Some("latched"), "").await;
    assert_eq!((known.status, &known.json()["state"]), (200, &json!("aborted")));
    // The table of documents may come back after that of runs: until then no name is unknown.
    let deadline = Instant::now() + PATIENCE;
    let mut nobody = guard(&daemon, "nobody", "").await;
    while nobody.status == 424 && Instant::now() < deadline {
        sleep(Duration::from_millis(100)).await;
        nobody = guard(&daemon, "nobody", "").await;
    }
    assert_eq!(nobody.status, 404, "{}", nobody.text());
    daemon.flush().await;
    let mut expected: Vec<_> = ["latched", "logged", &new]
        .map(|run| vec![json!(run), json!("aborted"), json!("1")])
        .into();
    expected.sort_by_key(|row| row[0].to_string());
    assert_eq!(states(&daemon).await, expected);
    daemon.stop().await;
}

/// Scenario: two nodes on one store; a live run and a stopped one are the first's. The
/// second one is asked for both, and then takes the live one over.
/// Guarantees: a run has one node, which the other names; what was stopped is stopped
/// everywhere; taken over, the run is the second's alone, and its row is seen once.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_kept_by_one_node() {
    let dir = tempfile::tempdir().unwrap();
    let node = |name: &str| {
        let folder = dir.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        let store = dir.path().join("store");
        Launch::new(folder)
            .set(format!("store.url=file://{}", store.display()))
            .set(format!("node.id={name}"))
            .set("flush.max_age=1s")
    };
    let (first, second) = (node("first").start().await, node("second"));
    assert_eq!(created(&first, "live").await, 201);
    assert_eq!(open(&first, Some("dead"), "").await.status, 201);
    assert_eq!(post(&first, &format!("{RUNS}/dead/abort"), json!({})).await.status, 200);
    first.flush().await;

    let second = second.start().await;
    let named = until(&second, "live", 424).await;
    let deadline = Instant::now() + PATIENCE;
    let mut detail = named["detail"].to_string();
    while !detail.contains("kept by node first") {
        assert!(Instant::now() < deadline, "{detail}");
        sleep(Duration::from_millis(100)).await;
        detail = guard(&second, "live", "").await.text();
    }
    assert_eq!(until(&second, "dead", 503).await["verdict"], "stop");
    for (path, body) in [
        (format!("{RUNS}/live/inject"), json!({})),
        (format!("{RUNS}/live/judge"), json!({})),
        (RUNS.to_owned(), json!({"document": document(&patient(), ""), "run_id": "live"})),
    ] {
        let refused = post(&second, &path, body).await;
        assert_eq!(refused.status, 409, "{path}: {}", refused.text());
        assert!(refused.text().contains("kept by node first"), "{}", refused.text());
    }

    let taken = post(&second, &format!("{RUNS}/live/take"), json!({})).await;
    assert_eq!(taken.status, 200, "{}", taken.text());
    assert_eq!(post(&second, &format!("{RUNS}/live/inject"), json!({})).await.status, 200);
    second.flush().await;
    // The first writes something, and sees what the second wrote.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let refused = post(&first, &format!("{RUNS}/live/recover"), json!({})).await;
        if refused.status == 409 && refused.text().contains("kept by node second") {
            break;
        }
        assert!(Instant::now() < deadline, "{}", refused.text());
        sleep(Duration::from_millis(200)).await;
        first.flush().await;
    }
    let rows = states(&second).await;
    assert!(rows.iter().all(|row| row[2] == "1"), "{rows:?}");
    first.stop().await;
    second.stop().await;
}
