use std::sync::Arc;

use async_trait::async_trait;
use futures::executor::block_on;
use schema::{Ack, Batch, ErrorKind, Position, Refusal, Sink, Tenant};

use super::*;
use crate::guard::reduce::plan;
use crate::guard::ring::SECOND;
use crate::guard::subject::{Stream, Subject};
use crate::guard::tests::{Row, batch};

/// Takes everything, or says this.
struct Store(Option<ErrorKind>);

#[async_trait]
impl Sink for Store {
    async fn append(&self, _: Batch) -> Result<Ack, Refusal> {
        match self.0 {
            None => Ok(Ack { position: Position(1) }),
            Some(kind) => Err(Refusal::new(kind, "no")),
        }
    }
}

fn shop() -> Arc<Plan> {
    let service = "shop".to_owned();
    plan(
        [Tenant::default()],
        [(Tenant::default(), Subject { stream: Stream::Served, service, endpoint: None })],
    )
}

fn rows(count: u64) -> Batch {
    let rows: Vec<Row> = (0..count).map(|id| Row::served("shop", id, 90 * SECOND)).collect();
    batch("spans", &rows)
}

/// Scenario: batches before and after somebody listens, refused ones, and ones
/// whose outcome is unknown.
/// Guarantees: only what was stored is handed on; the rest is counted as what it is.
#[test]
fn only_what_was_stored_is_handed_on() {
    let (tap, mut feed) = tap(Arc::new(Store(None)));
    block_on(tap.append(rows(3))).unwrap();
    assert!(feed.ready().is_none());
    feed.watch(shop());
    block_on(tap.append(rows(3))).unwrap();
    let heard = block_on(feed.next()).unwrap();
    assert_eq!((heard.rows, heard.marks(), heard.received), (3, 3, 90 * SECOND));
    assert_eq!(feed.losses(), Losses::default());
    for (kind, losses) in [
        (ErrorKind::Unavailable, Losses { missed: 0, refused: 1 }),
        (ErrorKind::DeadlineExceeded, Losses { missed: 1, refused: 0 }),
    ] {
        let (tap, mut feed) = super::tap(Arc::new(Store(Some(kind))));
        feed.watch(shop());
        assert!(block_on(tap.append(rows(1))).is_err());
        assert!(feed.ready().is_none());
        assert_eq!(feed.losses(), losses);
    }
}

/// Scenario: nobody takes what is handed on, by number and by size.
/// Guarantees: B1: ingest goes on, memory stays bounded, and what found no room
/// is counted; once there is room again, more is heard.
#[test]
fn inv_b1_a_slow_listener_never_holds_up_ingest() {
    let (tap, mut feed) = tap(Arc::new(Store(None)));
    feed.watch(shop());
    for _ in 0..BATCHES + 5 {
        block_on(tap.append(rows(1))).unwrap();
    }
    assert_eq!(feed.losses().missed, 5);
    while feed.ready().is_some() {}
    let large = MARKS as u64 / 4;
    for _ in 0..5 {
        block_on(tap.append(rows(large))).unwrap();
    }
    assert_eq!(feed.losses().missed, 6);
    while feed.ready().is_some() {}
    block_on(tap.append(rows(1))).unwrap();
    assert!(feed.ready().is_some());
    drop(feed);
    block_on(tap.append(rows(1))).unwrap();
}

/// Scenario: one tenant has guards that ask for all they want to know, another has none.
/// Guarantees: what flows is heard for the first and costs the other nothing: without
/// it a run is stopped because nobody sees anything.
#[test]
fn what_flows_is_heard_for_guards_that_count_nothing() {
    let (tap, mut feed) = tap(Arc::new(Store(None)));
    feed.watch(plan([Tenant::default()], []));
    block_on(tap.append(rows(3))).unwrap();
    let heard = feed.ready().unwrap();
    assert_eq!((heard.rows, heard.marks(), heard.received), (3, 0, 90 * SECOND));
    feed.watch(plan([Tenant::new("other").unwrap()], []));
    block_on(tap.append(rows(3))).unwrap();
    assert!(feed.ready().is_none());
}
