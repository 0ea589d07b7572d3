//! A storage on a folder, and spans by number: the same number, the same rows.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use collector::decode::{Context, Encoding, Limits, decode};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prometheus_client::registry::Registry;
use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use schema::{Batch, Budget, Catalog, Clock, Door, Rows, Signal, Sink, Tenant};
use storage::storage::{Components, Storage};
use storage::store::Store;
use storage::{Settings, Source};

use crate::load::{BASE, SERVICES, id, record, resource, scope};

const SECOND: u64 = 1_000_000_000;
pub const DAY: u64 = 86_400 * SECOND;
/// Spans of a trace; they follow each other.
const TRACE: u64 = 5;

/// Noon of the day of the rows: it is still written to.
#[derive(Debug)]
pub struct Noon;

impl Clock for Noon {
    fn now_unix_nano(&self) -> i64 {
        (BASE + DAY / 2) as i64
    }
}

pub fn store(dir: &Path) -> Store {
    let url = format!("file://{}", dir.join("store").display());
    Store::open(&url, &Default::default()).expect("the store opens")
}

pub struct Node {
    pub storage: Arc<Storage>,
    budget: Budget,
}

impl Node {
    /// Rows are written out when they are flushed, and not before.
    pub async fn start(dir: &Path, joins: bool) -> Node {
        let mut settings = Settings { disk_reserve: 0.0, ..Settings::under(dir) };
        settings.flush.max_age = Duration::from_secs(86_400);
        settings.flush.max_bytes = u64::MAX;
        settings.wal.max_bytes = 8 << 30;
        settings.compaction.enabled = joins;
        settings.compaction.grace = Duration::from_secs(1);
        let budget = Budget::new(4 << 30);
        let components = Components {
            settings,
            catalog: Arc::new(Catalog::default()),
            store: store(dir),
            budget: budget.clone(),
            clock: Arc::new(Noon),
            meter: Default::default(),
            chance: storage::Chance::system(),
        };
        let opened = Storage::open(components, &mut Registry::default()).await;
        Node { storage: opened.expect("the storage opens"), budget }
    }

    pub async fn append(&self, rows: Rows) {
        let bytes = rows.bytes();
        let batch = Batch {
            tenant: Tenant::default(),
            table: self.storage.catalog().of(Signal::Traces).clone(),
            door: Door::OtlpGrpc,
            rows,
            reservation: self.budget.try_reserve(bytes).expect("the budget holds it"),
        };
        self.storage.append(batch).await.expect("it is acked");
    }

    /// Files that the newest versions name.
    pub fn live_files(&self) -> usize {
        let tables = self.storage.catalog().tables().iter();
        let live = |name| self.storage.snapshot(&Tenant::default(), name);
        tables.filter_map(|table| live(table.name)).map(|snapshot| snapshot.committed.len()).sum()
    }

    pub async fn stop(self) {
        let late = self.storage.shutdown(Duration::from_secs(60)).await;
        assert!(late.is_empty(), "{late:?}");
    }
}

/// The id of the trace that the span of this number is of.
pub fn trace_id(span: u64) -> [u8; 16] {
    let number = (span / TRACE + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (u128::from(number) << 64 | u128::from(number.rotate_left(29))).to_be_bytes()
}

/// Spans of all services, one after the other, their times in `times`.
pub fn rows(catalog: &Catalog, numbers: Range<u64>, times: Range<u64>) -> Rows {
    let chance = &mut StdRng::seed_from_u64(numbers.start);
    let mut services: Vec<Vec<Span>> = vec![Vec::new(); SERVICES];
    for number in numbers {
        let start = chance.random_range(times.clone());
        services[number as usize % SERVICES].push(Span {
            trace_id: trace_id(number).to_vec(),
            span_id: id(chance, 8),
            parent_span_id: id(chance, 8),
            name: format!("GET /api/v1/items/{}", chance.random_range(0..40)),
            kind: chance.random_range(1..6),
            start_time_unix_nano: start,
            end_time_unix_nano: start + chance.random_range(0..SECOND),
            attributes: record(chance),
            ..Default::default()
        });
    }
    let resource_spans = services.into_iter().enumerate().map(|(service, spans)| ResourceSpans {
        resource: resource(service),
        scope_spans: vec![ScopeSpans { scope: scope(), spans, ..Default::default() }],
        ..Default::default()
    });
    let request = ExportTraceServiceRequest { resource_spans: resource_spans.collect() };
    let context = Context {
        node_id: "bench",
        ingest_unix_nano: (BASE + DAY) as i64,
        table: catalog.of(Signal::Traces),
        limits: &Limits::default(),
    };
    let body = request.encode_to_vec();
    let decoded = decode(Signal::Traces, Encoding::Protobuf, &body, &context);
    decoded.expect("the request is sound").rows.expect("rows")
}

/// Bytes by the kernel's count.
pub fn memory(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with(key)).expect("it is counted");
    let kib: u64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
    kib << 10
}

pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// What the threads that live have taken of the processors.
pub fn cpu() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").expect("Linux").flatten();
    let nanos = threads.filter_map(|thread| {
        let line = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}
