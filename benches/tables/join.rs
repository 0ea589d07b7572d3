//! Eight files that all cover every service and time become one.

use std::time::Instant;

use schema::Catalog;

use crate::load::BASE;
use crate::node::{DAY, Node, memory, mib, rows};

const FILES: u64 = 8;
const BATCH: u64 = 1_000;

pub async fn run(spans: u64) {
    let dir = tempfile::tempdir().expect("a folder");
    let node = Node::start(dir.path(), false).await;
    let catalog = Catalog::default();
    for file in 0..FILES {
        for at in (0..spans).step_by(BATCH as usize) {
            let first = file * spans + at;
            let rows = rows(&catalog, first..first + BATCH.min(spans - at), BASE..BASE + DAY);
            node.append(rows).await;
        }
        node.storage.flush().await.expect("it is committed");
    }
    let before = memory("VmRSS");
    // The peak is counted anew from here on.
    std::fs::write("/proc/self/clear_refs", "5").expect("Linux");
    let started = Instant::now();
    let joined = node.storage.compact().await.expect("all is joined");
    let took = started.elapsed().as_secs_f64();
    let peak = memory("VmHWM").saturating_sub(before);
    for table in joined.iter().filter(|table| table.jobs > 0) {
        println!(
            "{}: {} files of {:.1} MiB into {} of {:.1} MiB",
            table.table,
            table.files_in,
            mib(table.bytes_in),
            table.files_out,
            mib(table.bytes_out)
        );
    }
    let bytes: u64 = joined.iter().map(|table| table.bytes_in).sum();
    let rows = FILES * spans;
    println!(
        "{rows} spans and their index joined in {took:.1} s: {:.0} spans, {:.1} MiB of Parquet per second; \
         at most {:.0} MiB of memory beside {:.0} MiB before",
        rows as f64 / took,
        mib(bytes) / took,
        mib(peak),
        mib(before)
    );
    node.stop().await;
}
