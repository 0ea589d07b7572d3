//! Time per request of decoding OTLP to rows, beside prost's decode of the
//! same bytes (then drop), in turns on one thread, both with
//! the daemon's allocator:
//!
//! ```text
//! otlpload dump --signal traces --requests 64 --out DIR
//! cargo run --release -p cloudsail-collector --example decode -- traces DIR [ROUNDS]
//! ```
//!
//! Prints microseconds per request and the ratio to prost: per body the lower
//! quartile of the rounds, of which others on the machine take nothing.
#![expect(clippy::print_stdout, reason = "a command's answer")]

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use collector::decode::{Context, Encoding, Limits, decode};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use schema::{Catalog, Signal};

/// As in the daemon.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn prost(signal: Signal, body: &[u8]) -> Outcome<()> {
    match signal {
        Signal::Traces => drop(black_box(ExportTraceServiceRequest::decode(body)?)),
        Signal::Logs => drop(black_box(ExportLogsServiceRequest::decode(body)?)),
        Signal::Metrics => drop(black_box(ExportMetricsServiceRequest::decode(body)?)),
    }
    Ok(())
}

fn bodies(dir: &Path, signal: Signal) -> Outcome<Vec<Vec<u8>>> {
    let mut bodies = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(signal.as_str()) && name.ends_with(".pb") {
            bodies.push(std::fs::read(&path)?);
        }
    }
    if bodies.is_empty() {
        return Err(format!("no {signal}-*.pb in {}", dir.display()).into());
    }
    Ok(bodies)
}

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, dir, rounds @ ..] = args.as_slice() else {
        return Err("say SIGNAL DIR [ROUNDS]".into());
    };
    let signal = Signal::ALL.into_iter().find(|signal| signal.as_str() == name);
    let signal = signal.ok_or("SIGNAL is traces, logs or metrics")?;
    let rounds: usize = rounds.first().map_or(Ok(20), |rounds| rounds.parse())?;
    let bodies = bodies(Path::new(dir), signal)?;
    let (catalog, limits) = (Catalog::default(), Limits::default());
    let ingest_unix_nano = 1_795_000_000_000_000_000;
    let table = catalog.of(signal);
    let context = Context { node_id: "node", ingest_unix_nano, table, limits: &limits };
    let ours = |body: &[u8]| -> Outcome<()> {
        drop(black_box(decode(signal, Encoding::Protobuf, body, &context)?));
        Ok(())
    };
    // Per body what each round took.
    let mut spent = [0, 1].map(|_| vec![Vec::new(); bodies.len()]);
    for _ in 0..rounds {
        for (turn, spent) in spent.iter_mut().enumerate() {
            for (body, spent) in bodies.iter().zip(spent) {
                let start = Instant::now();
                if turn == 0 {
                    prost(signal, body)?
                } else {
                    ours(body)?
                }
                spent.push(start.elapsed());
            }
        }
    }
    let [prost, ours] = spent.map(|bodies| {
        let count = bodies.len() as f64;
        let quartile = |mut spent: Vec<Duration>| {
            spent.sort_unstable();
            spent[spent.len() / 4].as_secs_f64()
        };
        bodies.into_iter().map(quartile).sum::<f64>() * 1e6 / count
    });
    println!("{signal}: prost {prost:.1} us, rows {ours:.1} us, {:.2} of prost", ours / prost);
    Ok(())
}
