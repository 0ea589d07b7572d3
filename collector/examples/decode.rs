//! CPU time per request of decoding OTLP to rows, beside prost's decode of the
//! same bytes (then drop), in turns on one thread:
//!
//! ```text
//! otlpload dump --signal traces --requests 64 --out DIR
//! cargo run --release -p cloudsail-collector --example decode -- traces DIR [ROUNDS]
//! ```
//!
//! Prints microseconds per request, the lower quartile of the rounds, and the
//! ratio to prost. Linux only: it reads the thread's own time.
#![expect(clippy::print_stdout, reason = "a command's answer")]

use std::hint::black_box;
use std::path::Path;

use collector::decode::{Context, Encoding, Limits, decode};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use schema::{Catalog, Signal};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Nanoseconds of CPU that this thread has had.
fn cpu() -> Outcome<u64> {
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(spent.split(' ').next().unwrap_or_default().parse()?)
}

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
    let mut spent: [Vec<u64>; 2] = Default::default();
    for _ in 0..rounds {
        let start = cpu()?;
        for body in &bodies {
            prost(signal, body)?;
        }
        let between = cpu()?;
        for body in &bodies {
            drop(black_box(decode(signal, Encoding::Protobuf, body, &context)?));
        }
        spent[0].push(between - start);
        spent[1].push(cpu()? - between);
    }
    let [prost, ours] = spent.map(|mut spent| {
        spent.sort_unstable();
        spent[spent.len() / 4] as f64 / bodies.len() as f64 / 1000.0
    });
    println!("{signal}: prost {prost:.1} us, rows {ours:.1} us, {:.2} of prost", ours / prost);
    Ok(())
}
