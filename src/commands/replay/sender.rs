//! Requests on the wire: some in flight, retried as OTLP asks, counted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use collector::rewrite::{self, Encoding};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::{Request, Response};
use schema::Signal;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::seconds;
use crate::client::{Client, error_body, retry_after, said};

/// How long one request is retried: what the Collector's exporter does.
const PATIENCE: Duration = Duration::from_secs(300);
const ATTEMPT: Duration = Duration::from_secs(60);
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A request ready for the wire: its body is gzip.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub signal: Signal,
    pub encoding: Encoding,
    pub items: u64,
    pub body: Bytes,
}

/// What became of everything.
#[derive(Debug, Default)]
pub struct Tally {
    requests: u64,
    bytes: u64,
    /// Items acked, per signal.
    acked: BTreeMap<Signal, u64>,
    retries: u64,
    /// Items that the receiver took the request for but not them.
    rejected: u64,
    /// Items of refused requests.
    refused: u64,
    /// The first reason of a rejection or refusal.
    reason: Option<String>,
    elapsed: Duration,
}

impl Tally {
    /// Whether every item was taken.
    pub fn complete(&self) -> bool {
        self.rejected == 0 && self.refused == 0
    }

    pub fn summary(&self, shift: i64) -> String {
        let items: u64 = self.acked.values().sum();
        let mut text = String::from("sent ");
        let parts: Vec<String> = self
            .acked
            .iter()
            .map(|(signal, count)| format!("{count} {}", items_of(*signal)))
            .collect();
        text.push_str(&if parts.is_empty() { "nothing".into() } else { parts.join(", ") });
        let per_second = items as f64 / self.elapsed.as_secs_f64().max(0.001);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            " in {} requests ({:.1} MiB gzip) in {}: {per_second:.0} items/s",
            self.requests,
            self.bytes as f64 / (1 << 20) as f64,
            seconds(self.elapsed)
        );
        let counts = [
            (self.retries, "retries"),
            (self.rejected, "items rejected"),
            (self.refused, "items refused"),
        ];
        for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
            let _ = write!(text, ", {count} {what}");
        }
        if shift != 0 {
            let _ = write!(text, ", moved by {:.3} s", shift as f64 / 1e9);
        }
        if let Some(reason) = &self.reason {
            let _ = write!(text, "\nfirst reason: {reason}");
        }
        text
    }
}

fn items_of(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "spans",
        Signal::Metrics => "data points",
        Signal::Logs => "log records",
    }
}

/// What became of one request.
struct Outcome {
    signal: Signal,
    items: u64,
    bytes: u64,
    retries: u64,
    end: End,
}

enum End {
    Acked { rejected: u64, reason: Option<String> },
    Refused(String),
}

pub struct Sender {
    client: Client,
    in_flight: usize,
    rate: Option<f64>,
    tally: Tally,
}

impl Sender {
    pub fn new(client: Client, in_flight: u16, rate: Option<f64>) -> Sender {
        Sender { client, in_flight: in_flight.into(), rate, tally: Tally::default() }
    }

    /// Sends until there are no more; `watch` is called now and then.
    pub async fn send_all(
        &mut self,
        mut requests: mpsc::Receiver<Prepared>,
        watch: impl Fn(),
    ) -> Result<Tally> {
        let started = Instant::now();
        let mut flying: JoinSet<Result<Outcome>> = JoinSet::new();
        let (mut begun, mut answered) = (0_u64, false);
        while let Some(request) = requests.recv().await {
            if let Some(rate) = self.rate {
                tokio::time::sleep_until(started + Duration::from_secs_f64(begun as f64 / rate))
                    .await;
            }
            // The first request goes alone: a wrong address is told at once.
            let most = if answered { self.in_flight } else { 1 };
            while flying.len() >= most
                && let Some(outcome) = flying.join_next().await
            {
                self.count(outcome.context("sending broke off")??);
                answered = true;
            }
            begun += request.items;
            let client = self.client.clone();
            let fail_fast = !answered;
            flying.spawn(async move { send(&client, request, fail_fast).await });
            watch();
        }
        while let Some(outcome) = flying.join_next().await {
            self.count(outcome.context("sending broke off")??);
            watch();
        }
        self.tally.elapsed = started.elapsed();
        Ok(std::mem::take(&mut self.tally))
    }

    fn count(&mut self, outcome: Outcome) {
        let tally = &mut self.tally;
        tally.requests += 1;
        tally.bytes += outcome.bytes;
        tally.retries += outcome.retries;
        let reason = match outcome.end {
            End::Acked { rejected, reason } => {
                *tally.acked.entry(outcome.signal).or_default() +=
                    outcome.items.saturating_sub(rejected);
                tally.rejected += rejected;
                reason
            }
            End::Refused(reason) => {
                tally.refused += outcome.items;
                Some(reason)
            }
        };
        tally.reason = tally.reason.take().or(reason);
    }
}

/// One request until it is answered for good.
async fn send(client: &Client, request: Prepared, fail_fast: bool) -> Result<Outcome> {
    let begun = Instant::now();
    let media = match request.encoding {
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Json => "application/json",
    };
    let uri = format!("{}/v1/{}", client.base(), request.signal);
    let mut wait = FIRST_WAIT;
    let mut retries = 0;
    let end = loop {
        let attempt = Request::post(&uri)
            .header(CONTENT_TYPE, media)
            .header(CONTENT_ENCODING, "gzip")
            .body(Full::new(request.body.clone()))?;
        let (problem, asked) = match tokio::time::timeout(ATTEMPT, client.try_send(attempt)).await {
            Ok(Ok(answer)) if answer.status().is_success() => {
                break acked(answer, request.encoding).await?;
            }
            Ok(Ok(answer)) => {
                let (status, asked) = (answer.status(), retry_after(answer.headers()));
                let reason = said(status, &error_body(answer).await);
                if !matches!(status.as_u16(), 429 | 502 | 503 | 504) {
                    break End::Refused(reason);
                }
                (reason, asked)
            }
            Ok(Err(error)) if error.is_connect() && fail_fast => {
                return Err(anyhow::Error::new(error)).with_context(|| {
                    format!("cannot reach {}; is the daemon running there?", client.base())
                });
            }
            Ok(Err(error)) => (format!("{:#}", anyhow!(error)), None),
            Err(_) => (format!("no answer within {} s", ATTEMPT.as_secs()), None),
        };
        let pause = asked.unwrap_or(wait).max(wait);
        if begun.elapsed() + pause > PATIENCE {
            bail!("{uri} was tried for {}: {problem}", seconds(begun.elapsed()));
        }
        tracing::debug!(problem, "a request is retried");
        tokio::time::sleep(pause).await;
        wait = (wait * 2).min(LONGEST_WAIT);
        retries += 1;
    };
    let Prepared { signal, items, body, .. } = request;
    Ok(Outcome { signal, items, bytes: body.len() as u64, retries, end })
}

async fn acked(answer: Response<Incoming>, encoding: Encoding) -> Result<End> {
    let body = answer.into_body().collect().await.context("the answer broke off")?.to_bytes();
    let partial = rewrite::partial_success(encoding, &body)?;
    Ok(match partial {
        Some((rejected, reason)) => {
            End::Acked { rejected, reason: Some(reason).filter(|reason| !reason.is_empty()) }
        }
        None => End::Acked { rejected: 0, reason: None },
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use axum::Router;
    use axum::http::{StatusCode, header};
    use axum::response::IntoResponse;
    use axum::routing::post;

    use super::*;

    /// A receiver that answers the n-th request in turn, and counts them.
    async fn receiver(
        answers: &'static [(u16, &'static str)],
    ) -> (Client, Arc<AtomicU64>, JoinSet<std::io::Result<()>>) {
        let count = Arc::new(AtomicU64::new(0));
        let seen = count.clone();
        let answer = move || {
            let (status, body) =
                answers[(seen.fetch_add(1, Ordering::Relaxed) as usize) % answers.len()];
            let status = StatusCode::from_u16(status).unwrap();
            async move { (status, [(header::RETRY_AFTER, "0")], body).into_response() }
        };
        let router = Router::new().route("/v1/logs", post(answer));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut owner = JoinSet::new();
        owner.spawn(async move { axum::serve(listener, router).await });
        (Client::new(&url, "--endpoint").unwrap(), count, owner)
    }

    async fn sent(client: Client, requests: u64) -> Result<Tally> {
        let (sender, receiver) = mpsc::channel(16);
        let body = Bytes::from_static(b"gzip");
        for _ in 0..requests {
            let encoding = Encoding::Json;
            let request = Prepared { signal: Signal::Logs, encoding, items: 5, body: body.clone() };
            sender.send(request).await.unwrap();
        }
        drop(sender);
        Sender::new(client, 3, None).send_all(receiver, || ()).await
    }

    /// Scenario: a receiver refuses retryably, then takes part of a request.
    /// Guarantees: what is retryable is sent again; what was rejected is counted and told.
    #[tokio::test]
    async fn retries_and_rejections_are_counted() {
        let partial = r#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"too old"}}"#;
        let answers = Box::leak(Box::new([(503, ""), (200, "{}"), (429, ""), (200, partial)]));
        let (client, count, _owner) = receiver(answers).await;
        let tally = sent(client, 2).await.unwrap();
        assert_eq!((count.load(Ordering::Relaxed), tally.retries, tally.rejected), (4, 2, 2));
        assert!(!tally.complete());
        let summary = tally.summary(1_500_000_000);
        assert!(summary.starts_with("sent 8 log records in 2 requests"), "{summary}");
        assert!(summary.contains("moved by 1.500 s\nfirst reason: too old"), "{summary}");
    }

    /// Scenario: a request that must not be repeated, and an address with nobody behind it.
    /// Guarantees: the first is counted and not sent again, the second ends at once.
    #[tokio::test]
    async fn what_cannot_be_retried_is_not() {
        let answers = Box::leak(Box::new([(400, r#"{"code":3,"message":"bad"}"#)]));
        let (client, count, _owner) = receiver(answers).await;
        let tally = sent(client, 1).await.unwrap();
        assert_eq!((count.load(Ordering::Relaxed), tally.refused), (1, 5));
        assert!(tally.summary(0).contains("bad"), "{}", tally.summary(0));

        let nobody = Client::new("http://127.0.0.1:9", "--endpoint").unwrap();
        let error = sent(nobody, 1).await.unwrap_err().to_string();
        assert!(error.contains("cannot reach http://127.0.0.1:9"), "{error}");
    }
}
