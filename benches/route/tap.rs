//! What guards cost ingest: a request of spans through the tap into a sink that
//! does nothing, beside that sink alone. `decode` is what they compare with.

use std::sync::Arc;

use async_trait::async_trait;
use collector::decode::Encoding;
use criterion::{BatchSize, Criterion, Throughput};
use experiments::guard::reduce::plan;
use experiments::guard::subject::{Stream, Subject};
use experiments::tap::tap;
use schema::{Ack, Batch, Budget, Catalog, Door, Position, Refusal, Signal, Sink, Tenant};

use crate::load::{ITEMS, body, rows};

struct Nothing;

#[async_trait]
impl Sink for Nothing {
    async fn append(&self, _: Batch) -> Result<Ack, Refusal> {
        Ok(Ack { position: Position(0) })
    }
}

pub fn benches(c: &mut Criterion) {
    let catalog = Catalog::default();
    let body = body(Signal::Traces, Encoding::Protobuf, 1);
    let rows = rows(&catalog, Signal::Traces, Encoding::Protobuf, &body).rows.expect("rows");
    let budget = Budget::new(1 << 30);
    let batch = || Batch {
        tenant: Tenant::default(),
        table: catalog.of(Signal::Traces).clone(),
        door: Door::OtlpGrpc,
        rows: rows.clone(),
        reservation: budget.try_reserve(1).expect("room"),
    };
    let of = |service: &str| {
        let service = service.to_owned();
        (Tenant::default(), Subject { stream: Stream::Served, service, endpoint: None })
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut group = c.benchmark_group("tap");
    group.throughput(Throughput::Elements(ITEMS as u64));
    let inner: Arc<dyn Sink> = Arc::new(Nothing);
    group.bench_function("without", |b| {
        b.iter_batched(batch, |batch| runtime.block_on(inner.append(batch)), BatchSize::SmallInput);
    });
    for (name, services) in [
        ("no guard is live", vec![]),
        ("nothing matches", vec!["nobody"]),
        ("one service of 25 matches", vec!["service-01"]),
    ] {
        let (tap, mut feed) = tap(inner.clone());
        let tenant = (!services.is_empty()).then(Tenant::default);
        feed.watch(plan(tenant, services.into_iter().map(of)));
        group.bench_function(name, |b| {
            b.iter_batched(
                batch,
                |batch| {
                    let acked = runtime.block_on(tap.append(batch));
                    (acked, feed.ready())
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}
