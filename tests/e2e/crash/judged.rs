//! The checks, seen to fail: a checker that finds nothing proves nothing.

use super::item::Id;
use super::ledger::{Ledger, Row, Sent};
use crate::otlp::{Encoding, Outcome, Signal};

const BASE: u64 = 1_700_000_000_000_000_000;

fn row(id: Id) -> Row {
    Row { id, content: id.content(), time: id.time(BASE) }
}

fn sent(run: u16, sequences: std::ops::Range<u32>) -> Sent {
    let ids = sequences.map(|n| Id::new(run, 1, Signal::Traces, n)).collect();
    Sent { signal: Signal::Traces, encoding: Encoding::Grpc, ids }
}

/// A ledger after one request with this outcome.
fn after(sent: &Sent, outcome: Outcome) -> Ledger {
    let ledger = Ledger::new(BASE);
    ledger.sending(sent);
    ledger.answered(sent, &outcome);
    ledger
}

fn verdicts(ledger: &Ledger, rows: &[Row]) -> Vec<String> {
    let wrong = ledger.judge(rows, None);
    wrong.iter().map(|text| text.split(':').next().unwrap_or_default().to_owned()).collect()
}

/// Scenario: an acked request of two items; a row is missing, there twice,
/// never sent, or has another content or time.
/// Guarantees: each is found, and the sound rows pass.
#[test]
fn the_checker_finds_what_is_lost_twice_invented_or_changed() {
    let request = sent(1, 0..2);
    let ledger = after(&request, Outcome::Acked);
    let sound: Vec<Row> = request.ids.iter().map(|id| row(*id)).collect();
    assert_eq!(verdicts(&ledger, &sound), [""; 0]);
    assert_eq!(verdicts(&ledger, &sound[..1]), ["lost"]);
    let with = |more: Row| [&sound[..], &[more]].concat();
    assert_eq!(verdicts(&ledger, &with(sound[0].clone())), ["twice"]);
    assert_eq!(verdicts(&ledger, &with(row(sent(1, 7..8).ids[0]))), ["invented"]);
    let changed = Row { content: "x".into(), ..sound[1].clone() };
    assert_eq!(verdicts(&ledger, &[sound[0].clone(), changed]), ["changed"]);
    let late = Row { time: sound[1].time + 1, ..sound[1].clone() };
    assert_eq!(verdicts(&ledger, &[sound[0].clone(), late]), ["changed"]);
    assert_eq!(ledger.judge(&[], Some(2)), [""; 0], "another run is not asked about");
}

/// Scenario: a request whose outcome is unknown, before and after it was sent
/// again and acked; and one that was refused.
/// Guarantees: the first may be there or not, the second once or twice, the
/// third not at all.
#[test]
fn the_checker_knows_what_is_unknown() {
    let request = sent(1, 0..1);
    let there = row(request.ids[0]);
    let ledger = after(&request, Outcome::Unknown("broken pipe".into()));
    assert_eq!(ledger.unknown(), std::slice::from_ref(&request));
    assert_eq!(verdicts(&ledger, &[]), [""; 0]);
    assert_eq!(verdicts(&ledger, std::slice::from_ref(&there)), [""; 0]);
    ledger.sending(&request);
    ledger.answered(&request, &Outcome::Acked);
    assert_eq!(ledger.unknown(), []);
    assert_eq!(verdicts(&ledger, &[]), ["lost"]);
    assert_eq!(verdicts(&ledger, &[there.clone(), there.clone()]), [""; 0]);
    assert_eq!(verdicts(&ledger, &[there.clone(), there.clone(), there.clone()]), ["twice"]);
    let refused = after(&request, Outcome::Refused { status: 503, retry_after: None });
    assert_eq!(verdicts(&refused, &[there]), ["twice"]);
}
