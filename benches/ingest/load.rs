//! A load of ingest: the demo's shop, at any pace, over OTLP/HTTP.
//!
//! | file | its part |
//! | --- | --- |
//! | this one | the command line, the senders, what they measured |
//! | [`requests`] | the shop's telemetry as bodies whose ids and times are new each time |
//! | [`sink`] | what others are compared with: prost decodes a request, and that is all |
//!
//! usage: ingest-load run HOST:PORT SIGNAL[,SIGNAL] SECONDS [RATE] [PID]
//!        ingest-load sink HOST:PORT
//!
//! Signals are traces, logs and metrics; of several, requests take turns. Without a rate
//! (items per second) or with 0 each sender sends when its last answer is in. Requests
//! that a server refuses for now are sent again, with the same ids. What PID says is
//! watched: its CPU while counted requests are answered, its memory. The report is one
//! JSON object; `benches/load.sh` reads it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// As the daemon has: decoding is mostly allocation.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[path = "../client.rs"]
mod client;
mod requests;
mod sink;

use client::{Client, Result};
use requests::Body;

/// Requests in flight, each on a connection of its own.
const SENDERS: usize = 8;
const WARM_UP: Duration = Duration::from_secs(2);
/// Of a second: what Linux counts CPU in, whatever the kernel's own clock.
const TICKS: f64 = 100.0;
/// Before a request that was refused is sent again.
const PAUSE: Duration = Duration::from_millis(50);

#[expect(clippy::print_stdout, reason = "the report is its output")]
fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["run", endpoint, signals, seconds, ref more @ ..] if more.len() <= 2 => {
            let number = |at: usize| more.get(at).map_or(Ok(0), |text| text.parse::<u64>());
            let load = Load {
                endpoint: endpoint.to_owned(),
                bodies: requests::bodies(signals)?,
                length: Duration::from_secs(seconds.parse()?),
                rate: number(0)?,
                pid: Some(number(1)?).filter(|pid| *pid > 0),
                seed: requests::now().unsigned_abs(),
                begin: Instant::now(),
                sent: AtomicU64::new(0),
            };
            println!("{}", load.run()?);
            Ok(())
        }
        ["sink", endpoint] => sink::serve(endpoint),
        _ => Err("usage: ingest-load run HOST:PORT SIGNAL[,SIGNAL] SECONDS [RATE] [PID], or ingest-load sink HOST:PORT".into()),
    }
}

struct Load {
    endpoint: String,
    bodies: Vec<Body>,
    length: Duration,
    /// Items per second; 0 is as many as are answered.
    rate: u64,
    pid: Option<u64>,
    /// That of the ids, so that those of two runs differ.
    seed: u64,
    begin: Instant,
    /// Items that were begun, of all senders.
    sent: AtomicU64,
}

/// What a sender saw.
#[derive(Default)]
struct Seen {
    /// Items acked, in the whole run and of those that count.
    acked_total: u64,
    acked: u64,
    rejected: u64,
    retries: u64,
    bytes: u64,
    /// Of each request that counts, in microseconds.
    latencies: Vec<u64>,
}

/// Of the watched process: seconds of CPU so far, and bytes resident at most.
struct Watched {
    cpu: f64,
    peak: u64,
}

impl Load {
    fn run(&self) -> Result<serde_json::Value> {
        let (seen, before, after) = std::thread::scope(|scope| {
            let senders: Vec<_> =
                (0..SENDERS).map(|nth| scope.spawn(move || self.send(nth))).collect();
            std::thread::sleep(WARM_UP);
            let before = self.watch();
            std::thread::sleep(self.length);
            let after = self.watch();
            let seen =
                senders.into_iter().map(|sender| sender.join().map_err(|_| "a sender broke")?);
            (seen.collect::<Result<Vec<Seen>>>(), before, after)
        });
        let mut all = Seen::default();
        for seen in seen? {
            all.acked_total += seen.acked_total;
            all.acked += seen.acked;
            all.rejected += seen.rejected;
            all.retries += seen.retries;
            all.bytes += seen.bytes;
            all.latencies.extend(seen.latencies);
        }
        all.latencies.sort_unstable();
        let latency = |part: f64| {
            let at = (all.latencies.len() as f64 * part) as usize;
            all.latencies
                .get(at.min(all.latencies.len().saturating_sub(1)))
                .map(|us| *us as f64 / 1e3)
        };
        let watched = match (before?, after?) {
            (Some(before), Some(after)) => {
                let cpu = after.cpu - before.cpu;
                serde_json::json!({
                    "cpu_s": cpu,
                    "items_per_cpu_s": all.acked as f64 / cpu,
                    "rss_peak_bytes": after.peak,
                })
            }
            _ => serde_json::Value::Null,
        };
        Ok(serde_json::json!({
            "acked": all.acked,
            "acked_total": all.acked_total,
            "rejected": all.rejected,
            "retries": all.retries,
            "bytes_per_item": all.bytes as f64 / all.acked_total.max(1) as f64,
            "items_per_s": all.acked as f64 / self.length.as_secs_f64(),
            "latency_ms": { "p50": latency(0.5), "p99": latency(0.99), "p99.9": latency(0.999), "max": latency(1.0) },
            "watched": watched,
        }))
    }

    fn send(&self, nth: usize) -> Result<Seen> {
        let (mut seen, mut client) = (Seen::default(), Client::new(&self.endpoint)?);
        let (mut at, mut body) = (nth, Vec::new());
        let counts = self.begin + WARM_UP..self.begin + WARM_UP + self.length;
        loop {
            let template = &self.bodies[at % self.bodies.len()];
            at += SENDERS;
            let before = self.sent.fetch_add(template.items, Ordering::Relaxed);
            let mut due = Instant::now();
            if let Some(after) = before.saturating_mul(1_000_000_000).checked_div(self.rate) {
                // Latency is from when it should have gone: a server that stalls is not
                // spared what waits meanwhile.
                due = self.begin + Duration::from_nanos(after);
            }
            if due >= counts.end {
                return Ok(seen);
            }
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            template.renew(self.seed.wrapping_add(before), &mut body);
            let rejected = self.deliver(&mut client, template, &body, &mut seen)?;
            let answered = Instant::now();
            let acked = template.items.saturating_sub(rejected);
            seen.acked_total += acked;
            seen.rejected += rejected;
            seen.bytes += body.len() as u64;
            if counts.contains(&answered) {
                seen.acked += acked;
            }
            if counts.contains(&due) {
                seen.latencies.push((answered - due).as_micros() as u64);
            }
        }
    }

    /// Until a server takes it; the items that it rejected.
    fn deliver(&self, client: &mut Client, of: &Body, body: &[u8], seen: &mut Seen) -> Result<u64> {
        loop {
            match client.post(of.signal.path(), body)? {
                (200, answer) => return of.signal.rejected(&answer),
                (429 | 502 | 503 | 504, _) => {
                    seen.retries += 1;
                    std::thread::sleep(PAUSE);
                }
                (status, answer) => {
                    let answer = String::from_utf8_lossy(&answer);
                    return Err(format!("{} answered {status}: {answer}", self.endpoint).into());
                }
            }
        }
    }

    fn watch(&self) -> Result<Option<Watched>> {
        let Some(pid) = self.pid else { return Ok(None) };
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}"));
        let stat = read("stat")?;
        // The name of a process may have spaces in it.
        let (_, fields) = stat.rsplit_once(')').ok_or("/proc has another form")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let ticks: u64 = ticks.sum::<std::result::Result<u64, _>>()?;
        let status = read("status")?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak =
            peak.and_then(|peak| peak.split_whitespace().next()).ok_or("no VmHWM in /proc")?;
        let cpu = ticks as f64 / TICKS;
        Ok(Some(Watched { cpu, peak: peak.parse::<u64>()? << 10 }))
    }
}
