//! `adopt`: what a dead node left in its log and its stage is committed under
//! that log's own id. Its watermark says what is committed already, so it may
//! be broken off at any moment and run again.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use storage::wal::Disk;
use storage::{LedgerRow, Source as _};

use super::drain::{Target, deadline, not_empty};
use crate::cli::{Adopt, Configuration};

pub async fn run(given: &Configuration, adopt: Adopt) -> Result<ExitCode> {
    let end = deadline(adopt.deadline.map(|period| period.0));
    let config = super::load(given)?.config;
    let mut settings = config.storage();
    let shown = adopt.dir.display();
    settings.wal.dir = adopt.dir.join("wal");
    settings.stage.dir = adopt.stage.clone().unwrap_or_else(|| adopt.dir.join("stage"));
    if !Disk::holds_log(&settings.wal.dir) {
        bail!(
            "{shown} is no data folder: {} holds no write-ahead log; name the folder that has `wal` in it",
            settings.wal.dir.display()
        );
    }
    if !settings.stage.dir.is_dir() {
        bail!(
            "{shown} has no stage at {}, and rows may be in it; name the node's stage.dir by --stage DIR",
            settings.stage.dir.display()
        );
    }
    // The copies in the own cache are a running daemon's matter.
    settings.cache.dir = adopt.dir.join("cache");
    settings.cache.max_bytes = 0;
    let target = Target::folder(&config, settings).await;
    let target = target.with_context(|| format!("cannot adopt {shown}"))?;
    let Target::Folder(storage) = &target else { bail!("{shown} was not opened") };
    let left = target.drained(end).await;
    let report = report(storage.recovered(), &storage.ledger());
    let log = storage.status().wal_id;
    target.close().await;
    let left = left.with_context(|| format!("cannot adopt {shown}"))?;
    let mut out = std::io::stdout();
    write!(out, "log {log}\n{report}")?;
    if !left.is_empty() {
        return Err(not_empty(&left));
    }
    Ok(ExitCode::SUCCESS)
}

/// One line per signal, then what is lost.
fn report(before: &[LedgerRow], after: &[LedgerRow]) -> String {
    let mut text = String::new();
    let mut line = |rows: u64, what: String| {
        if rows > 0 {
            text.push_str(&format!("{rows} {what}\n"));
        }
    };
    for signal in schema::Signal::ALL {
        let sum = |books: &[LedgerRow], of: fn(&LedgerRow) -> u64| -> u64 {
            books.iter().filter(|row| row.signal == signal).map(of).sum()
        };
        let found = sum(before, |row| row.in_flight);
        let waiting = sum(after, |row| row.in_flight);
        line(found.saturating_sub(waiting), format!("rows of {signal} committed"));
        line(waiting, format!("rows of {signal} not committed yet"));
        let lost = sum(after, |row| row.dropped.iter().map(|(_, rows)| rows).sum());
        line(
            lost,
            format!("rows of {signal} lost to damage of the log; the bytes are in its quarantine"),
        );
    }
    if text.is_empty() {
        text.push_str("nothing was left to commit\n");
    }
    text
}
