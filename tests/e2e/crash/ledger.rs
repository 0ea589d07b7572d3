//! What was sent and what was answered; and the checks that hold it against
//! what the daemon says.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use super::item::{Id, run_start};
use crate::client::number;
use crate::daemon::Daemon;
use crate::otlp::{Encoding, Outcome, Signal};

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub signal: Signal,
    pub encoding: Encoding,
    pub ids: Vec<Id>,
}

/// How often a request was acked, and how often its outcome stayed unknown.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    acked: u32,
    unknown: u32,
}

#[derive(Debug, Default)]
struct Books {
    requests: HashMap<Id, (Sent, Told)>,
    refusals: Vec<Outcome>,
    rejections: Vec<String>,
}

/// A stored item as it was read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub id: Id,
    pub content: String,
    pub time: u64,
}

impl Row {
    fn read(row: &[Value]) -> Row {
        let hex = row[0].as_str().unwrap_or_else(|| panic!("a row without an id: {row:?}"));
        let id = u64::from_str_radix(hex, 16).unwrap_or_else(|e| panic!("{hex}: {e}"));
        let content = row[1].as_str().unwrap_or_default().to_owned();
        Row { id: Id(id), content, time: number(&row[2]) as u64 }
    }
}

/// Shared by the clients of all runs. Keyed by a request's first id.
#[derive(Debug, Clone)]
pub struct Ledger {
    books: Arc<Mutex<Books>>,
    base: u64,
}

impl Ledger {
    /// `base` is the time that items are stamped with, in nanoseconds.
    pub fn new(base: u64) -> Ledger {
        Ledger { books: Arc::default(), base }
    }

    pub fn base(&self) -> u64 {
        self.base
    }

    /// Before the first byte: from here on the outcome is unknown.
    pub fn sending(&self, sent: &Sent) {
        let mut books = self.books.lock();
        let entry = books.requests.entry(sent.ids[0]);
        entry.or_insert_with(|| (sent.clone(), Told::default())).1.unknown += 1;
    }

    pub fn answered(&self, sent: &Sent, outcome: &Outcome) {
        let mut books = self.books.lock();
        let told = &mut books.requests.get_mut(&sent.ids[0]).expect("it was sent").1;
        match outcome {
            Outcome::Unknown(_) => {}
            Outcome::Acked => {
                told.unknown -= 1;
                told.acked += 1;
            }
            Outcome::Refused { .. } => {
                told.unknown -= 1;
                books.refusals.push(outcome.clone());
            }
            Outcome::Rejected(why) => {
                told.unknown -= 1;
                books.rejections.push(why.clone());
            }
        }
    }

    /// Requests that were never acked and may be stored.
    pub fn unknown(&self) -> Vec<Sent> {
        let books = self.books.lock();
        let open = books.requests.values().filter(|(_, told)| told.acked == 0 && told.unknown > 0);
        let mut open: Vec<Sent> = open.map(|(sent, _)| sent.clone()).collect();
        open.sort_by_key(|sent| sent.ids[0]);
        open
    }

    pub fn refusals(&self) -> Vec<Outcome> {
        self.books.lock().refusals.clone()
    }

    pub fn rejections(&self) -> Vec<String> {
        self.books.lock().rejections.clone()
    }

    /// Items acked so far.
    pub fn acked(&self) -> u64 {
        let books = self.books.lock();
        let counts = books
            .requests
            .values()
            .map(|(sent, told)| sent.ids.len() as u64 * u64::from(told.acked));
        counts.sum()
    }

    /// Items of one signal acked so far.
    pub fn acked_of(&self, signal: Signal) -> i64 {
        ["otlp_grpc", "otlp_http"].iter().map(|door| self.bounds(signal, door).0).sum()
    }

    /// Least and most items that may be stored, for one signal and door.
    fn bounds(&self, signal: Signal, door: &str) -> (i64, i64) {
        let books = self.books.lock();
        let (mut least, mut most) = (0, 0);
        for (sent, told) in books.requests.values() {
            if sent.signal == signal && sent.encoding.door() == door {
                let items = sent.ids.len() as i64;
                least += items * i64::from(told.acked);
                most += items * i64::from(told.acked + told.unknown);
            }
        }
        (least, most)
    }

    /// The daemon's rows against the ledger, of all runs or of one; panics with
    /// what differs. Returns how many rows it saw.
    pub async fn check_rows(&self, daemon: &Daemon, run: Option<u16>) -> u64 {
        assert_eq!(self.rejections(), [""; 0], "sound requests were rejected");
        let mut rows = Vec::new();
        for signal in Signal::ALL {
            let of_run = match run {
                Some(run) => format!(
                    "WHERE time_unix_nano >= {} AND time_unix_nano < {}",
                    run_start(run, self.base),
                    run_start(run + 1, self.base)
                ),
                None => String::new(),
            };
            let query = format!(
                "SELECT attributes['load.id'], attributes['load.content'], time_unix_nano \
                 FROM {} {of_run}",
                signal.table()
            );
            rows.extend(daemon.sql(&query).await.rows.iter().map(|row| Row::read(row)));
        }
        let mut wrong = self.judge(&rows, run);
        wrong.truncate(20);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        rows.len() as u64
    }

    /// Everything that is lost, twice, invented or changed.
    pub fn judge(&self, rows: &[Row], run: Option<u16>) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut stored: HashMap<Id, u32> = HashMap::new();
        for row in rows {
            *stored.entry(row.id).or_default() += 1;
            if row.content != row.id.content() || row.time != row.id.time(self.base) {
                wrong.push(format!("changed: {row:?}"));
            }
        }
        for (sent, told) in self.books.lock().requests.values() {
            if run.is_some_and(|run| sent.ids[0].run() != run) {
                continue;
            }
            for id in &sent.ids {
                let count = stored.remove(id).unwrap_or(0);
                if count < told.acked {
                    wrong.push(format!("lost: {} was acked ({sent:?})", id.hex()));
                }
                if count > told.acked + told.unknown {
                    wrong.push(format!("twice: {} is there {count} times, {told:?}", id.hex()));
                }
            }
        }
        wrong.extend(stored.keys().map(|id| format!("invented: {}", id.hex())));
        wrong
    }

    /// L1: the daemon's own books balance, and agree with ours and the rows.
    pub async fn check_books(&self, daemon: &Daemon) {
        for signal in Signal::ALL {
            let mut kept = 0;
            for door in ["otlp_grpc", "otlp_http"] {
                let [accepted, persisted, in_flight, dropped] = entry(daemon, signal, door).await;
                let place = format!("{} by {door}", signal.name());
                let sum = persisted + in_flight + dropped;
                assert_eq!(accepted, sum, "{place}: {persisted} + {in_flight} + {dropped}");
                assert_eq!(dropped, 0, "{place}: nothing here is a reason to drop");
                let (least, most) = self.bounds(signal, door);
                assert!(
                    (least..=most).contains(&accepted),
                    "{place}: {accepted} accepted, {least} acked, {most} sent at most"
                );
                kept += accepted;
            }
            assert_eq!(daemon.count(signal.table()).await, kept, "{}", signal.name());
        }
    }
}

/// accepted, persisted, in flight, dropped of a signal and door.
async fn entry(daemon: &Daemon, signal: Signal, door: &str) -> [i64; 4] {
    let query = format!(
        "SELECT sum(accepted), sum(persisted), sum(in_flight), sum(dropped) FROM system.ledger \
         WHERE signal = '{}' AND door = '{door}'",
        signal.name()
    );
    let rows = daemon.sql(&query).await.rows;
    std::array::from_fn(|n| if rows[0][n].is_null() { 0 } else { number(&rows[0][n]) })
}
