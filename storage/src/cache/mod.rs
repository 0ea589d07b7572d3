//! Local copies of recent files of a remote store: a read cache that costs no
//! download, because every file was on this disk before it went up.
//!
//! Beside the route out. A file whose commit is published is linked from the
//! stage into the cache's folder and answers for the object of that name, which
//! never has another content (C4). Nothing depends on it: whatever is wrong with
//! a copy, the store is asked. A copy is read in blocks, each checked against
//! the sum it had when it was taken, so that a rotten one cannot give wrong rows
//! (faults.md F25).
//!
//! ```text
//! {cache.dir}/{tenant}/{table}/date=…/{name}.parquet
//! {cache.dir}/{tenant}/{table}/date=…/{name}.parquet.sums    size, a CRC-32 per block, one over all
//! ```
//!
//! | file | what it does |
//! | --- | --- |
//! | [`copies`] | [`Cache`]: what is kept, newest first within `cache.max_bytes`; what goes |
//! | [`sums`] | the sums of a copy: taken, kept beside it, checked |
//! | [`store`] | [`Cached`]: a store that asks the cache first |
//!
//! Deliberately not here: files that others wrote or that were only read
//! (nothing is ever fetched to be kept), and Delta logs.

pub mod copies;
pub mod store;
mod sums;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use copies::{Cache, Copy};
pub use store::Cached;

/// Files that may wait to be kept; more of them are not.
const QUEUE: usize = 256;

/// A local file, and the object that it is a copy of.
pub type Offer = (PathBuf, String);

/// Where committed files are offered, and what [`run`] listens to.
pub fn channel() -> (mpsc::Sender<Offer>, mpsc::Receiver<Offer>) {
    mpsc::channel(QUEUE)
}

/// Takes in what is offered, off the commit path, until it is cancelled.
pub async fn run(cache: Arc<Cache>, mut offers: mpsc::Receiver<Offer>, cancel: CancellationToken) {
    while let Some(Some((from, path))) = cancel.run_until_cancelled(offers.recv()).await {
        let cache = cache.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || cache.keep(&from, &path)).await {
            tracing::error!(%error, "keeping a local copy broke off");
        }
    }
}
