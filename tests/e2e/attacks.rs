//! The corpus of hostile statements against the daemon, while telemetry comes
//! in.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{StreamExt, stream};
use serde_json::json;
use tokio::time::Instant;

use crate::crash::item::{Id, request};
use crate::crash::ledger::{Ledger, Sent};
use crate::crash::load::Load;
use crate::daemon::{Daemon, Launch};
use crate::otlp::{Encoding, Outcome, Signal, send};
use crate::vertical::now;

#[path = "../../query/tests/it/attacks/corpus.rs"]
#[expect(dead_code, reason = "what each must come to is judged where the engine is alone")]
mod corpus;

/// The probe's requests belong to a run of their own.
const PROBE: u16 = 9;

/// Sends one request after the other and notes how long each ack took.
async fn probe(daemon: &Daemon, ledger: &Ledger, first: u32, over: &AtomicBool) -> Vec<Duration> {
    let mut took = Vec::new();
    for at in first.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let sent = Sent {
            signal: Signal::Logs,
            encoding: Encoding::Grpc,
            ids: vec![Id::new(PROBE, 0, Signal::Logs, at)],
        };
        let request = request(sent.signal, &sent.ids, ledger.base());
        ledger.sending(&sent);
        let start = Instant::now();
        let outcome = send(&daemon.client, &daemon.ports, sent.encoding, &request).await;
        ledger.answered(&sent, &outcome);
        assert_eq!(outcome, Outcome::Acked, "the probe, after {:?}", start.elapsed());
        took.push(start.elapsed());
    }
    took.sort();
    took
}

fn told(what: &str, took: &[Duration]) {
    let at = |part: usize| took[(took.len() - 1) * part / 100];
    eprintln!("{what}: {} acks, p50 {:?}, p99 {:?}", took.len(), at(50), at(99));
}

async fn attack(daemon: &Daemon, attack: &corpus::Attack) -> Option<String> {
    let body = json!({ "query": attack.sql }).to_string();
    let kind = [("content-type", "application/json")];
    let url = daemon.url("/api/v1/sql");
    let answer = match daemon.client.post(&url, &kind, body).await {
        Ok(answer) => answer,
        // An answer that fails after its first rows breaks off.
        Err(_) => return None,
    };
    let text = answer.text();
    let sound = matches!(answer.status, 200 | 400 | 403 | 404 | 408 | 429);
    let path = ["cloudsail-data", "/tmp", ".parquet", "date="];
    let path = path.iter().find(|path| text.contains(**path) && !attack.sql.contains(**path));
    match (sound, path) {
        (true, None) => None,
        _ => Some(format!("{}: {}: {text:.1000}", attack.name, answer.status)),
    }
}

/// Waits for what cannot be interrupted: as long as it holds memory that the
/// process is short of, nothing else may begin (docs/bounds.md).
async fn quiet(daemon: &Daemon) {
    let others = "SELECT count(*) - 1 FROM system.queries \
                  WHERE state IN ('queued', 'planning', 'running')";
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let answer = daemon.try_sql(others).await;
        if answer.as_ref().is_ok_and(|answer| answer.rows[0][0] == json!(0)) {
            return;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Bytes that the daemon has resident.
async fn resident(daemon: &Daemon) -> u64 {
    let text = daemon.client.get(&daemon.url("/metrics")).await.unwrap().text();
    let name = "cloudsail_process_resident_memory_bytes ";
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.parse::<f64>().unwrap() as u64
}

/// Scenario: three at a time, every statement of the corpus is sent over HTTP
/// to a daemon with 64 MiB for queries, while six clients send telemetry and a
/// seventh notes how long its acks take.
/// Guarantees: S22: ingest goes on being acked all the while, whatever was
/// acked is there once, the daemon lives within its memory and what
/// docs/bounds.md states beside it, and no answer is a fault of its own.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "wants the machine alone: beside other tests a debug build is at one uninterruptible statement for minutes, and short of memory so long"]
async fn sec_s22_ingest_goes_on_under_attack() {
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(dir.path())
        .set("limits.memory=256MiB")
        .set("query.memory=64MiB")
        .set("query.timeout=4s")
        .set("query.concurrency=4");
    let daemon = launch.start().await;
    let ledger = Ledger::new(now().as_nanos() as u64);
    let load = Load::start(&daemon, &ledger, 1, 1);
    // The same without attacks, for comparison; it also makes rows to attack.
    let calm = AtomicBool::new(false);
    let (alone, ()) = tokio::join!(probe(&daemon, &ledger, 0, &calm), async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        calm.store(true, Ordering::Relaxed);
    });
    told("without attacks", &alone);
    daemon.flush().await;

    let over = AtomicBool::new(false);
    let attacks = corpus::all();
    let mut most = 0;
    let first = u32::try_from(alone.len()).unwrap();
    let (under, wrong) = tokio::join!(probe(&daemon, &ledger, first, &over), async {
        let mut wrong = Vec::new();
        // In parts, so that a long silence is seen.
        for part in attacks.chunks(20) {
            let before = ledger.acked();
            let ended = stream::iter(part).map(|each| attack(&daemon, each));
            wrong.extend(
                ended.buffer_unordered(3).filter_map(async |w| w).collect::<Vec<_>>().await,
            );
            most = most.max(resident(&daemon).await);
            if ledger.acked() == before {
                wrong.push(format!("no ack during {} and the next", part[0].name));
            }
        }
        over.store(true, Ordering::Relaxed);
        wrong
    });
    told("under attack", &under);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!under.is_empty());
    eprintln!("at most {} MiB resident between the attacks", most >> 20);
    // An operator of each holds up to 1 GiB without asking (docs/bounds.md).
    assert!(most < (256 << 20) + (3 << 30), "{most} bytes resident");
    load.stop().await;
    quiet(&daemon).await;
    ledger.check_rows(&daemon, None).await;
    daemon.stop().await;
}
