//! `replay`: recorded OTLP, sent again over OTLP/HTTP.
//!
//! | file | its part |
//! | --- | --- |
//! | [`recording`] | files as a stream of requests, several files merged by time |
//! | [`sender`] | requests on the wire: in flight, retried, counted |
//!
//! What the requests hold is known to `collector::rewrite` alone.

mod recording;
mod sender;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use collector::rewrite;
use flate2::Compression;
use flate2::write::GzEncoder;
use indicatif::{ProgressBar, ProgressStyle};
use schema::{Clock, Signal};
use tokio::sync::mpsc;

use crate::cli::{Replay, SignalName};
use crate::client::Client;
use crate::clock::SystemClock;
use recording::{Merged, Message};
use sender::{Prepared, Sender};

pub async fn run(replay: Replay) -> Result<ExitCode> {
    let client = Client::new(&replay.endpoint, "--endpoint")?;
    let signal = replay.signal.map(|name| match name {
        SignalName::Traces => Signal::Traces,
        SignalName::Metrics => Signal::Metrics,
        SignalName::Logs => Signal::Logs,
    });
    let total = total_bytes(&replay.files)?;
    let read = Arc::new(AtomicU64::new(0));
    let bar = progress(total);
    let shift = match replay.shift_to_now {
        true => find_shift(replay.files.clone(), signal, &bar, &read).await?,
        false => 0,
    };

    read.store(0, Ordering::Relaxed);
    bar.set_message("sending");
    let (prepared, requests) = mpsc::channel(2);
    let (files, counter) = (replay.files.clone(), read.clone());
    let reading = tokio::task::spawn_blocking(move || {
        let mut merged = Merged::open(&files, signal, &counter)?;
        while let Some(message) = merged.next()? {
            let request = prepare(message, shift)?;
            if prepared.blocking_send(request).is_err() {
                // The sender gave up and says why.
                break;
            }
        }
        Ok::<_, anyhow::Error>(())
    });
    let mut sender = Sender::new(client, replay.in_flight, replay.rate);
    let watch = || bar.set_position(read.load(Ordering::Relaxed));
    let sent = sender.send_all(requests, watch).await;
    bar.finish_and_clear();
    reading.await.context("reading the recording broke off")??;
    let tally = sent?;
    println(&tally.summary(shift))?;
    Ok(if tally.complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn println(text: &str) -> Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{text}").context("cannot write to standard output")
}

fn total_bytes(files: &[PathBuf]) -> Result<u64> {
    let mut total = 0;
    for file in files {
        let meta =
            std::fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?;
        total += meta.len();
    }
    Ok(total)
}

fn progress(total: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total);
    let template = "{msg} {wide_bar} {bytes}/{total_bytes} {elapsed} (eta {eta})";
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Nanoseconds by which the last item becomes now. All others lie before it,
/// as far as they did, so that nothing is sent from the future.
async fn find_shift(
    files: Vec<PathBuf>,
    signal: Option<Signal>,
    bar: &ProgressBar,
    read: &Arc<AtomicU64>,
) -> Result<i64> {
    bar.set_message("looking for the last item");
    let (counter, watched) = (read.clone(), bar.clone());
    let last = tokio::task::spawn_blocking(move || {
        let mut merged = Merged::open(&files, signal, &counter)?;
        let mut last = None;
        while let Some(message) = merged.next()? {
            last = last.max(message.peek.last_time);
            watched.set_position(counter.load(Ordering::Relaxed));
        }
        Ok::<_, anyhow::Error>(last)
    })
    .await
    .context("reading the recording broke off")??;
    let now = SystemClock.now_unix_nano();
    Ok(last.map_or(0, |last| now.saturating_sub_unsigned(last)))
}

fn prepare(message: Message, shift: i64) -> Result<Prepared> {
    let Message { signal, encoding, body, peek, place } = message;
    let body = match shift {
        0 => body,
        delta => rewrite::shift(signal, encoding, body, delta).with_context(|| place)?,
    };
    let mut gzip = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    std::io::Write::write_all(&mut gzip, &body)?;
    Ok(Prepared { signal, encoding, items: peek.items, body: Bytes::from(gzip.finish()?) })
}

/// The time a tally took, as people say it.
fn seconds(elapsed: Duration) -> String {
    format!("{:.1} s", elapsed.as_secs_f64())
}
