//! Sends the query bench's data set to a daemon by OTLP/HTTP: the shape of a
//! shop of 25 services, traces of 16 spans over a day, deterministic.
//!
//! usage: query-load HOST:PORT [SPANS] [LOGS] [HOURS]
//!
//! Requests go out in the order of time, 32 traces each with their logs, as a
//! collector in front of the daemon would batch them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[path = "../client.rs"]
mod client;
mod shop;

use client::{Client, Result};
use shop::{PER_TRACE, Shop};

/// Traces per request.
const BATCH: usize = 32;
/// Requests in flight; the daemon puts them in one group commit.
const SENDERS: usize = 4;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let endpoint = args.next().ok_or("usage: query-load HOST:PORT [SPANS] [LOGS] [HOURS]")?;
    let mut number = |default: usize| args.next().map_or(Ok(default), |text| text.parse());
    let (spans, logs, hours) = (number(10_000_000)?, number(5_000_000)?, number(24)?);
    let shop = Shop { hours, traces: spans / hours / PER_TRACE, logs: logs / hours };
    let batches = shop.traces.div_ceil(BATCH) * hours;
    let next = AtomicUsize::new(0);
    let send = || -> Result<()> {
        let mut client = Client::new(&endpoint)?;
        loop {
            let batch = next.fetch_add(1, Ordering::Relaxed);
            if batch >= batches {
                return Ok(());
            }
            let per_hour = batches / hours;
            let first = batch % per_hour * BATCH;
            let traces = first..(first + BATCH).min(shop.traces);
            let (hour, traces) = (batch / per_hour, traces);
            post(&mut client, "/v1/traces", &shop.spans(hour, traces.clone()))?;
            let records = shop.records(hour, traces);
            if !records.is_empty() {
                post(&mut client, "/v1/logs", &records)?;
            }
        }
    };
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS).map(|_| scope.spawn(send)).collect();
        senders.into_iter().try_for_each(|sender| sender.join().map_err(|_| "a sender broke")?)
    })
}

/// Sends until it is taken: the daemon may ask to come back later.
fn post(client: &mut Client, path: &str, body: &[u8]) -> Result<()> {
    loop {
        match client.post(path, body)? {
            (200, text) if text.is_empty() => return Ok(()),
            (429 | 502 | 503 | 504, _) => std::thread::sleep(Duration::from_millis(100)),
            (status, text) => {
                let text = String::from_utf8_lossy(&text);
                return Err(format!("{path} answered {status}: {text}").into());
            }
        }
    }
}
