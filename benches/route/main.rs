//! Criterion benches of the route, one stage each:
//! `cargo bench --bench route -- decode`.
//!
//! | file | what it measures |
//! | --- | --- |
//! | [`load`] | the requests that all of them work on |
//! | [`decode`] | OTLP bytes to Arrow rows, protobuf and JSON |
//! | [`tap`] | what guards hear of a request, and what that costs |
//! | [`wal`] | one group appended and synced, and encoding alone |
//! | [`encode`] | rows of many requests to one sorted Parquet file |
//! | [`scan`] | SQL over hot rows and over committed files |
//!
//! The end-to-end bench is `benches/load.sh`; figures are in `README.md`.

mod decode;
mod encode;
mod load;
mod scan;
mod tap;
mod wal;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    route,
    decode::benches,
    tap::benches,
    wal::benches,
    encode::benches,
    scan::benches
);
criterion_main!(route);
