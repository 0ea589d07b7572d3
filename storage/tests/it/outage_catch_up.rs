//! A node comes back to its store with a backlog, beside one that has none.

use std::sync::Arc;
use std::time::Duration;

use schema::{Catalog, Tenant};
use storage::store::Store;
use storage::table::DeltaTable;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::faulty::{Answer, Fault, Faulty, Rule};
use crate::node::{settings, start_on, until};
use crate::outage_copies::committed;

/// Ranges of the backlog: entries take 64 each.
const BACKLOG: i64 = 140;
/// Entries of the other that may come between a flush and its entry: each of
/// them is followed by a pause, on average as long as it took.
const AHEAD: u64 = 4;

async fn version(base: &Store) -> u64 {
    let spans = Catalog::default().get("spans").unwrap().clone();
    let table = DeltaTable::open(base, &Tenant::default(), spans, None).await.unwrap();
    table.current().unwrap().version.0
}

/// Scenario: two nodes share a store on which every request takes a while. One was
/// cut off from it, and has more ranges to commit than two entries take; both take rows meanwhile,
/// and the other flushes again and again.
/// Guarantees: F41: catching up takes few entries and leaves the other room: only a
/// few of them come before each of its own. Rows are acked on both nodes throughout,
/// and at the end all are there, once.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f41_catching_up_leaves_others_room() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let base = Store::open("memory://", &Default::default()).unwrap();
    let seen = [1, 2].map(|seed| Faulty::new(base.objects(), seed));
    let through = |one: usize| base.wrapped(|_| Arc::new(seen[one].clone()));
    let quiet = |dir: &std::path::Path| {
        let mut settings = settings(dir);
        settings.flush.max_age = Duration::from_secs(3600);
        settings.compaction.enabled = false;
        settings
    };
    let back = Arc::new(start_on(through(0), quiet(here.path())).await);
    let other = start_on(through(1), quiet(there.path())).await;
    back.append(0..10).await.unwrap();
    back.storage.flush().await.unwrap();
    let mut theirs = 1_000_000;
    other.append(theirs..theirs + 10).await.unwrap();
    other.storage.flush().await.unwrap();
    theirs += 10;

    seen[0].rule(Rule::new(Fault::Before(Answer::Reset)));
    let mut ours = 10;
    for _ in 0..BACKLOG {
        back.append(ours..ours + 10).await.unwrap();
        back.storage.stage().await.unwrap();
        ours += 10;
    }
    back.storage.flush().await.unwrap_err();
    seen[0].heal();
    for store in &seen {
        store.rule(Rule::new(Fault::Slow(Duration::from_millis(3))));
    }
    let before = version(&base).await;
    let mut catching = JoinSet::new();
    let catches = back.clone();
    catching.spawn(async move { catches.storage.flush().await.unwrap() });
    let began = Instant::now();
    let (mut worst, mut flushes, mut ack) = (0, 0, Duration::ZERO);
    while catching.try_join_next().is_none() {
        let began = Instant::now();
        back.append(ours..ours + 10).await.unwrap();
        ack = ack.max(began.elapsed());
        ours += 10;
        other.append(theirs..theirs + 10).await.unwrap();
        theirs += 10;
        let seen = version(&base).await;
        let flushed = other.storage.flush().await.unwrap();
        let of_spans = flushed.iter().find(|flushed| flushed.table == "spans").unwrap();
        worst = worst.max(of_spans.version.unwrap().0 - seen - 1);
        flushes += 1;
    }
    let entries = version(&base).await - before - flushes;
    println!(
        "{entries} entries for {BACKLOG} ranges in {:?}, {flushes} of the other meanwhile, \
         at most {worst} before one of its own; an ack took {ack:?} at most",
        began.elapsed()
    );
    assert!(flushes >= 3, "{flushes} commits of the other in all that time");
    assert!(worst <= AHEAD, "{worst} entries came before one of the other's");
    assert!(entries <= 6, "{entries} entries for {BACKLOG} ranges");
    // Group commits of a few milliseconds; a commit to the store takes far longer.
    assert!(ack < Duration::from_secs(2), "an ack waited {ack:?}");
    back.storage.flush().await.unwrap();
    other.storage.flush().await.unwrap();
    back.balanced(ours as u64);
    let all = (0..ours).chain(1_000_000..theirs).collect::<Vec<_>>();
    until("the other's last entry is seen", || {
        back.snapshot("spans").committed.iter().map(|file| file.rows).sum::<u64>()
            == all.len() as u64
    })
    .await;
    assert_eq!(committed(&back).await, all);
}
