//! `experiment guard bench`: from another process than the daemon's, how long it
//! takes from the first byte of failed spans to a stop that this process sees.
//! `for:` is zero here; in a document it is added on top.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use experiments::Error;
use hyper::Method;
use hyper::header::CONTENT_TYPE;
use schema::{Clock as _, ErrorKind};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::args::Bench;
use super::daemon::{Daemon, Guard};
use crate::client::{Client, accepted};
use crate::clock::SystemClock;

/// How long a guard may take to listen, and then to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// One round, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Round {
    /// From the send to the ack.
    acked: f64,
    /// From the send to the stop that was seen.
    stopped: f64,
}

pub async fn run(asked: Bench) -> Result<ExitCode> {
    let daemon = Daemon::new(&asked.server)?;
    let otlp = Client::new(&asked.endpoint, "--endpoint")?;
    let base = SystemClock.now_unix_nano();
    let mut rounds = Vec::new();
    for number in 0..asked.rounds {
        let name = format!("guard-bench-{base}-{number}");
        rounds.push(round(&daemon, &otlp, &name, asked.spans).await?);
    }
    let column = |of: fn(&Round) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let (stopped, acked) = (column(|round| round.stopped), column(|round| round.acked));
    // What guards add to ingest; below zero where the stop was seen before the ack.
    let after = column(|round| round.stopped - round.acked);
    let text = match asked.json {
        true => json!({
            "rounds": asked.rounds,
            "spans": asked.spans,
            "stopped_ms": shown(&stopped),
            "acked_ms": shown(&acked),
            "stopped_after_ack_ms": shown(&after),
            "each_stopped_ms": rounds.iter().map(|r| rounded(r.stopped)).collect::<Vec<f64>>(),
        })
        .to_string(),
        false => format!(
            "{} rounds of {} failed spans, milliseconds from their sending\n{:>10}{:>10}{:>10}{:>10}{:>10}\n{}\n{}\n{}",
            asked.rounds,
            asked.spans,
            "",
            "p50",
            "p90",
            "p99",
            "max",
            line("acked", &acked),
            line("stopped", &stopped),
            line("after ack", &after)
        ),
    };
    super::say(&format!("{text}\n"))?;
    let limit = asked.limit.0.as_secs_f64() * 1e3;
    if quantile(&stopped, 0.99) > limit {
        eprintln!("the 99th percentile is above {}", asked.limit);
        return Ok(ExitCode::from(1));
    }
    Ok(ExitCode::SUCCESS)
}

/// The smallest value that at least the share `q` does not exceed.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

fn rounded(millis: f64) -> f64 {
    (millis * 10.0).round() / 10.0
}

fn shown(sorted: &[f64]) -> Value {
    let of = |q: f64| rounded(quantile(sorted, q));
    json!({"p50": of(0.5), "p90": of(0.9), "p99": of(0.99), "max": of(1.0)})
}

fn line(name: &str, sorted: &[f64]) -> String {
    let columns = [0.5, 0.9, 0.99, 1.0].map(|q| format!("{:>10.1}", quantile(sorted, q)));
    format!("{name:>10}{}", columns.concat())
}

async fn round(daemon: &Daemon, otlp: &Client, name: &str, spans: u32) -> Result<Round> {
    let document = json!({
        "apiVersion": "chaos/v1", "kind": "Experiment", "title": name,
        "target": {"services": [name]},
        "window": {"baseline": "10s", "recovery": "0s", "late": "60s", "overlap": "mark"},
        "effect-check": "none",
        "steady-state-hypothesis": {"probes": [{"service": name, "indicator": "error_ratio", "max": 0.5}]},
        "guard": [{"name": "bench", "service": name, "indicator": "error_ratio", "when": "> 0.5", "for": "0s", "min-samples": spans}],
    });
    // Without an id of its own: while the store is away nobody can tell whether one is free.
    let run = daemon.open(&json!({ "document": document })).await?;
    listening(daemon, &run).await?;
    let body = Bytes::from(failed(name, spans).to_string());
    let watching = async {
        loop {
            match daemon.guard(&run, "30s").await? {
                (Guard::Stop { guard, .. }, _) if guard == "bench" => break,
                (Guard::Stop { guard, detail }, _) => bail!("{guard} stopped the run: {detail}"),
                _ => {}
            }
        }
        Ok(Instant::now())
    };
    let sending = async {
        let headers = [(CONTENT_TYPE, "application/json")];
        let sent = otlp.send(Method::POST, "/v1/traces", &headers, body).await?;
        accepted(sent).await?;
        Ok(Instant::now())
    };
    let begun = Instant::now();
    let both = async { tokio::try_join!(watching, sending) };
    let (stopped, acked) = timeout(PATIENCE, both).await.context("no stop was seen in time")??;
    let millis = |at: Instant| at.duration_since(begun).as_secs_f64() * 1e3;
    daemon.mark(&run, "end", &Value::Null).await?;
    Ok(Round { acked: millis(acked), stopped: millis(stopped) })
}

/// Until the run's guards are evaluated at all.
async fn listening(daemon: &Daemon, run: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (_, answer) = daemon.guard(run, "0s").await?;
        if answer["guard"].is_string() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let message = format!("the guards of {run} are not evaluated");
            return Err(Error::Engine { kind: ErrorKind::Unavailable, message }.into());
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// One export request of server spans with status ERROR.
fn failed(service: &str, spans: u32) -> Value {
    let now = SystemClock.now_unix_nano();
    let span = |at: u32| {
        let id = now.wrapping_add(i64::from(at));
        json!({
            "traceId": format!("{id:032x}"), "spanId": format!("{id:016x}"), "name": "sentinel",
            "kind": 2, "startTimeUnixNano": (now - 1_000_000 - i64::from(at)).to_string(),
            "endTimeUnixNano": now.to_string(), "status": {"code": 2},
        })
    };
    let spans: Vec<Value> = (0..spans).map(span).collect();
    let name = json!({"key": "service.name", "value": {"stringValue": service}});
    json!({"resourceSpans": [{"resource": {"attributes": [name]}, "scopeSpans": [{"spans": spans}]}]})
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a hundred rounds of 1 to 100 ms.
    /// Guarantees: the quantiles are values that were measured, the last one the largest.
    #[test]
    fn quantiles_are_measured_values() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!([0.5, 0.99, 1.0].map(|q| quantile(&values, q)), [50.0, 99.0, 100.0]);
        assert_eq!(quantile(&[7.0], 0.5), 7.0);
    }
}
