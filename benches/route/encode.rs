//! Rows of many requests to one sorted Parquet file, as a flush does it.

use collector::decode::Encoding;
use criterion::{Criterion, Throughput};
use schema::{Catalog, Rows, Signal};
use storage::encode::{days, write};

use crate::load::{ITEMS, body, rows};

/// Requests in a file.
const REQUESTS: usize = 40;

pub fn benches(c: &mut Criterion) {
    let catalog = Catalog::default();
    let mut group = c.benchmark_group("encode");
    group.sample_size(10);
    group.throughput(Throughput::Elements((REQUESTS * ITEMS) as u64));
    for signal in Signal::ALL {
        let table = catalog.of(signal);
        let batches: Vec<Rows> = (0..REQUESTS as u64)
            .map(|seed| {
                let body = body(signal, Encoding::Protobuf, seed);
                rows(&catalog, signal, Encoding::Protobuf, &body).rows.expect("rows")
            })
            .collect();
        group.bench_function(signal.as_str(), |b| {
            b.iter(|| {
                let batches = Rows::share(batches.clone()).expect("the rows are of one table");
                let days = days(table, &batches).expect("the rows have days");
                assert_eq!(days.len(), 1);
                write(table, &batches, &days[0], std::io::sink()).expect("it is written")
            });
        });
    }
    group.finish();
}
