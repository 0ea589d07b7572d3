//! One group of requests into the log: encoded and written, with and without
//! the fsync that an ack waits for.

use std::sync::Arc;

use collector::decode::Encoding;
use criterion::{BatchSize, Criterion, Throughput};
use schema::{Catalog, Door, Signal, Tenant};
use storage::wal::{Disk, Entry, Files, Log, Memory};
use storage::{Settings, WalSettings};

use crate::load::{BASE, ITEMS, body, rows};

/// Requests that share an fsync.
const GROUP: usize = 8;

fn log(files: Arc<dyn Files>, settings: &WalSettings, catalog: &Catalog) -> Log {
    Log::open(files, settings, catalog).expect("the log opens").log
}

pub fn benches(c: &mut Criterion) {
    let catalog = Catalog::default();
    let requests: Vec<Entry> = (0..GROUP as u64)
        .map(|seed| {
            let body = body(Signal::Traces, Encoding::Protobuf, seed);
            let rows = rows(&catalog, Signal::Traces, Encoding::Protobuf, &body).rows;
            Entry {
                tenant: Tenant::default(),
                table: catalog.of(Signal::Traces).clone(),
                counts: vec![(Door::OtlpGrpc, ITEMS as u64)],
                rows: rows.expect("rows"),
                received_unix_nano: BASE as i64,
            }
        })
        .collect();
    let dir = tempfile::tempdir().expect("a folder");
    let settings = Settings::under(dir.path()).wal;
    let disk = Arc::new(Disk::open(&settings.dir).expect("a folder for the log"));
    let mut group = c.benchmark_group("wal");
    group.throughput(Throughput::Elements((GROUP * ITEMS) as u64));
    let kinds: [(&str, Arc<dyn Files>, bool); 3] = [
        ("append/memory", Arc::new(Memory::new()), false),
        ("append/disk", disk.clone(), false),
        ("append+fsync/disk", disk, true),
    ];
    for (name, files, sync) in kinds {
        let mut log = log(files, &settings, &catalog);
        group.bench_function(name, |b| {
            b.iter_batched(
                || requests.clone(),
                |group| {
                    let positions = log.append(group).expect("it is appended");
                    if sync {
                        log.sync().expect("it is synced");
                    }
                    // As if staged at once, so that the log does not grow.
                    log.release(positions[GROUP - 1]).expect("it is released")
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}
