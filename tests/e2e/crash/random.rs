//! SIGKILL at random moments: while loading, flushing, starting.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::sleep;

use super::ledger::Ledger;
use super::load::Load;
use crate::daemon::{Launch, run};
use crate::programs::{python, script};
use crate::vertical::now;

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is not a number")))
}

/// Scenario: six clients send by every way in while the process is killed at
/// random moments, some of them during its start; tables flush all the while.
/// 20 times here, `CLOUDSAIL_CRASH_ROUNDS` times when that is set.
/// Guarantees: F11, D1 to D4, S1, L1: acked ⊆ stored, nothing twice, nothing
/// invented, nothing changed, and the ledger balances after every restart.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f11_sigkill_at_random_moments_loses_and_repeats_nothing() {
    let rounds = number("CLOUDSAIL_CRASH_ROUNDS").unwrap_or(20);
    let seed = number("CLOUDSAIL_CRASH_SEED").unwrap_or_else(|| now().subsec_nanos().into());
    eprintln!("{rounds} kills with CLOUDSAIL_CRASH_SEED={seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(dir.path()).set("flush.max_age=700ms");
    let ledger = Ledger::new(now().as_nanos() as u64);
    for round in 1..=rounds {
        // Now and then one that does not live to see its first request.
        if chance.random_bool(0.2) {
            let starting = launch.spawn();
            sleep(Duration::from_millis(chance.random_range(0..1000))).await;
            starting.kill().await;
        }
        let daemon = launch.start().await;
        let run = round as u16;
        if run > 1 {
            ledger.check_rows(&daemon, Some(run - 1)).await;
            ledger.check_books(&daemon).await;
        }
        let load = Load::start(&daemon, &ledger, run, seed);
        sleep(Duration::from_millis(chance.random_range(50..1500))).await;
        if chance.random_bool(0.3) {
            // A flush that is killed under way answers nobody.
            let moment = Duration::from_millis(chance.random_range(0..200));
            let _unfinished = tokio::time::timeout(moment, daemon.flush()).await;
        }
        daemon.kill().await;
        load.stop().await;
        if round % 20 == 0 {
            eprintln!("{round} kills, {} items acked", ledger.acked());
        }
    }
    let daemon = launch.start().await;
    let rows = ledger.check_rows(&daemon, None).await;
    ledger.check_books(&daemon).await;
    daemon.flush().await;
    assert_eq!(ledger.check_rows(&daemon, None).await, rows, "after the flush");
    ledger.check_books(&daemon).await;
    assert!(ledger.acked() > rounds, "the load was no load");
    eprintln!("{} items acked, {rows} stored", ledger.acked());
    if let Some(python) = python().await {
        let tenant = launch.data().join("store/default").display().to_string();
        // What was sent again is there twice; each time it arrived tells which.
        let args = [&daemon.url("/api/v1/sql"), &tenant, "logs=span_id,ingest_time"];
        eprintln!("by other readers: {}", script(&python, "python/readers.py", &args).await);
    }
    daemon.stop().await;
    let verified = run(dir.path(), &["verify", "--store", &launch.store_url()]).await;
    assert!(verified.status.success(), "{verified:?}");
}
