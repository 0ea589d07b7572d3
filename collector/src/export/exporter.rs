//! The route itself: [`Exporter`].
//!
//! Once a batch is handed to the sink it runs to its end in a task that the
//! collector owns, whether or not anyone still waits (G18): a request is stored
//! whole or not at all.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use schema::usage::Shares;
use schema::{Batch, Catalog, Clock, ErrorKind, Meter, Signal, Sink, Tenant};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Components, Decoders, Failure, Stored, Upload};
use crate::Settings;
use crate::admission::{Admission, Permit};
use crate::decode::{self, Context, Decoded, Encoding};
use crate::gate::{Gate, State};
use crate::metrics::Metrics;
use crate::quarantine::{Fingerprint, Quarantine};

/// The function that turns bodies into rows; a field, so that tests can give
/// one that panics.
pub(crate) type Decode =
    fn(Signal, Encoding, &[u8], &Context<'_>) -> Result<Decoded, decode::Error>;

/// A request as rows, and what that tells of its cost.
struct Arrived {
    decoded: Decoded,
    permit: Permit,
    shares: Shares,
    /// Of the body, decompressed.
    bytes: u64,
}

pub(crate) struct Exporter {
    pub(crate) admission: Admission,
    pub(crate) metrics: Metrics,
    pub(crate) decode: Decode,
    sink: Arc<dyn Sink>,
    catalog: Arc<Catalog>,
    clock: Arc<dyn Clock>,
    meter: Meter,
    node_id: String,
    limits: decode::Limits,
    pub(super) max_request_bytes: u64,
    deadline: Duration,
    quarantine: Quarantine,
    /// Decoding takes the cores it has and leaves the I/O threads alone.
    cores: Semaphore,
    decoders: Decoders,
    tasks: TaskTracker,
}

impl Exporter {
    pub(crate) fn new(
        settings: &Settings,
        components: Components,
        metrics: Metrics,
    ) -> io::Result<Exporter> {
        let cores = match settings.decode_concurrency {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        Ok(Exporter {
            admission: Admission::new(components.budget, settings.amplification),
            metrics,
            decode: decode::decode,
            sink: components.sink,
            catalog: components.catalog,
            clock: components.clock,
            meter: components.meter,
            node_id: components.node_id,
            limits: settings.decode,
            max_request_bytes: settings.max_request_bytes,
            deadline: settings.deadline,
            quarantine: Quarantine::default(),
            cores: Semaphore::new(cores),
            decoders: Decoders::start(cores)?,
            tasks: TaskTracker::new(),
        })
    }

    /// The largest body a door may take in.
    pub(crate) fn limit(&self) -> u64 {
        self.max_request_bytes.min(self.admission.largest())
    }

    /// Waits for a request's turn, before anything of it is read.
    pub(crate) async fn turn(&self, gate: &Gate) -> Result<(), Failure> {
        self.serving(gate)?;
        self.admission.turn().await;
        Ok(())
    }

    /// Lets a request in by the length it declares, before a byte of it is kept.
    pub(crate) fn admit(&self, gate: &Gate, declared: Option<u64>) -> Result<Permit, Failure> {
        self.serving(gate)?;
        if declared.is_some_and(|bytes| bytes > self.limit()) {
            return Err(self.too_large());
        }
        self.admission.open(declared).map_err(|shortage| self.short(shortage))
    }

    fn serving(&self, gate: &Gate) -> Result<(), Failure> {
        match gate.state() {
            State::Serving => Ok(()),
            State::Starting => Err(self.unavailable("not_ready", "still starting")),
            State::Draining => Err(self.unavailable("draining", "shutting down")),
        }
    }

    /// Takes an arrived body to its end. Dropping the future before the append
    /// gives the request up; after it, only the answer.
    pub(crate) async fn export(self: &Arc<Self>, upload: Upload) -> Result<Stored, Failure> {
        let cap = Instant::now() + self.deadline;
        let until = upload.until.map_or(cap, |until| until.min(cap));
        let left = CancellationToken::new();
        let _leaving = left.clone().drop_guard();
        let task = self.tasks.spawn(self.clone().store(upload, left));
        match timeout_at(until, task).await {
            Ok(Ok(outcome)) => outcome,
            // Past decoding, so not the sender's bytes: let it come back (G21).
            Ok(Err(panic)) => Err(self.unexpected(&panic)),
            Err(_elapsed) => {
                let message = "took too long to store: it may be stored or not, retry";
                Err(self.fail("deadline", ErrorKind::DeadlineExceeded, message))
            }
        }
    }

    /// Waits until no request is under way any more.
    pub(crate) async fn drained(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn store(
        self: Arc<Self>,
        upload: Upload,
        left: CancellationToken,
    ) -> Result<Stored, Failure> {
        let (signal, door) = (upload.signal, upload.door);
        self.metrics.received(signal, door, upload.body.len() as u64);
        let Arrived { decoded, permit, shares, bytes } = {
            let _core = self.cores.acquire().await.map_err(|_closed| self.closing())?;
            if left.is_cancelled() {
                return Err(self.cancelled());
            }
            let exporter = self.clone();
            let work = self.tasks.track_future(async move { exporter.rows(upload) });
            self.decoders.spawn(work).await.map_err(|panic| self.unexpected(&panic))??
        };
        for (reason, items) in decoded.rejected.reasons() {
            self.metrics.rejected(signal, door, reason.as_str(), items);
        }
        for (warning, times) in decoded.warnings.kinds() {
            self.metrics.warned(signal, door, warning.as_str(), times);
        }
        let stored = Stored {
            rejected: decoded.rejected.count(),
            message: decoded.message().unwrap_or_default(),
        };
        let Some(rows) = decoded.rows else {
            // Nothing left of a request that had something: not a success (G5).
            if stored.rejected > 0 {
                return Err(self.fail("all_rejected", ErrorKind::Invalid, stored.message));
            }
            return Ok(stored);
        };
        if left.is_cancelled() {
            return Err(self.cancelled());
        }
        let held = rows.bytes();
        let reservation = permit.settle(held).map_err(|shortage| self.short(shortage))?;
        let (tenant, table) = (Tenant::default(), self.catalog.of(signal).clone());
        let batch = Batch { tenant: tenant.clone(), table, door, rows, reservation };
        match self.sink.append(batch).await {
            Ok(_ack) => {
                self.metrics.accepted(signal, door, decoded.accepted);
                self.meter.received(&tenant, signal, &shares, bytes);
                Ok(stored)
            }
            Err(refusal) => Err(self.not_stored(refusal)),
        }
    }

    /// CPU work, off the I/O threads.
    fn rows(&self, upload: Upload) -> Result<Arrived, Failure> {
        let Upload { signal, encoding, compression, body, mut permit, .. } = upload;
        let body = match compression {
            None => body,
            Some(compression) => {
                let wire = body.len() as u64;
                let pay = |plain| permit.cover(wire + plain);
                let plain = compression.inflate(&body, self.max_request_bytes, pay);
                Bytes::from(plain.map_err(|fault| self.not_inflated(fault))?)
            }
        };
        if !self.quarantine.is_empty()
            && self.quarantine.contains(Fingerprint::of(signal, &encoding, &body))
        {
            let message = "this payload made the decoder fail before: do not send it again";
            return Err(self.fail("quarantined", ErrorKind::Internal, message));
        }
        let context = Context {
            node_id: &self.node_id,
            ingest_unix_nano: self.clock.now_unix_nano(),
            table: self.catalog.of(signal),
            limits: &self.limits,
        };
        let decoded =
            catch_unwind(AssertUnwindSafe(|| (self.decode)(signal, encoding, &body, &context)));
        match decoded {
            Ok(Ok(decoded)) => {
                let (shares, bytes) = (Shares::of(&decoded.rows), body.len() as u64);
                Ok(Arrived { decoded, permit, shares, bytes })
            }
            Ok(Err(error)) => Err(self.undecodable(&error)),
            Err(_panic) => {
                self.quarantine.insert(Fingerprint::of(signal, &encoding, &body));
                self.metrics.quarantined();
                let bytes = body.len();
                tracing::error!(%signal, bytes, "a payload made the decoder panic, it is quarantined");
                let message = "this payload made the decoder fail: do not send it again";
                Err(self.fail("panic", ErrorKind::Internal, message))
            }
        }
    }
}
