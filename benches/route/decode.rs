//! OTLP bytes to Arrow rows.

use collector::decode::Encoding;
use criterion::{Criterion, Throughput};
use schema::{Catalog, Signal};

use crate::load::{ITEMS, body, rows};

pub fn benches(c: &mut Criterion) {
    let catalog = Catalog::default();
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(ITEMS as u64));
    for signal in Signal::ALL {
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            let body = body(signal, encoding, 1);
            group.bench_function(format!("{signal}/{encoding:?}"), |b| {
                b.iter(|| rows(&catalog, signal, encoding, &body));
            });
        }
    }
    group.finish();
}
