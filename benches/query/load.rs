//! Sends the query bench's data set to a daemon by OTLP/HTTP: the shape of a
//! shop of 25 services, traces of 16 spans over a day, deterministic.
//!
//! usage: query-load HOST:PORT [SPANS] [LOGS] [HOURS]
//!
//! Requests go out in the order of time, 32 traces each with their logs, as a
//! collector in front of the daemon would batch them.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

mod shop;

use shop::{PER_TRACE, Shop};

/// Traces per request.
const BATCH: usize = 32;
/// Requests in flight; the daemon puts them in one group commit.
const SENDERS: usize = 4;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

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
            client.post("/v1/traces", &shop.spans(hour, traces.clone()))?;
            let records = shop.records(hour, traces);
            if !records.is_empty() {
                client.post("/v1/logs", &records)?;
            }
        }
    };
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS).map(|_| scope.spawn(send)).collect();
        senders.into_iter().try_for_each(|sender| sender.join().map_err(|_| "a sender broke")?)
    })
}

/// One connection, kept open.
struct Client<'a> {
    endpoint: &'a str,
    stream: BufReader<TcpStream>,
}

impl Client<'_> {
    fn new(endpoint: &str) -> Result<Client<'_>> {
        let stream = TcpStream::connect(endpoint)?;
        stream.set_nodelay(true)?;
        Ok(Client { endpoint, stream: BufReader::new(stream) })
    }

    /// Sends until it is taken: the daemon may ask to come back later.
    fn post(&mut self, path: &str, body: &[u8]) -> Result<()> {
        loop {
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
                self.endpoint,
                body.len()
            );
            let stream = self.stream.get_mut();
            stream.write_all(head.as_bytes())?;
            stream.write_all(body)?;
            match self.answer()? {
                (200, text) if text.is_empty() => return Ok(()),
                (429 | 502 | 503 | 504, _) => std::thread::sleep(Duration::from_millis(100)),
                (status, text) => {
                    let text = String::from_utf8_lossy(&text);
                    return Err(format!("{path} answered {status}: {text}").into());
                }
            }
        }
    }

    fn answer(&mut self) -> Result<(u16, Vec<u8>)> {
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err("the daemon closed the connection".into());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            } else if status == 0 {
                status = line.split(' ').nth(1).ok_or("no status")?.parse()?;
            } else if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((status, body))
    }
}
