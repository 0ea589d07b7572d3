//! An object store that can be away, and that counts what it is asked.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::*;
use storage::store::Store;

/// Wraps a store; clones share the switch and the counters.
#[derive(Debug, Clone)]
pub struct Away {
    inner: Arc<dyn ObjectStore>,
    seen: Arc<Seen>,
}

/// An open store with the switch to it.
pub fn away(url: &str) -> (Store, Away) {
    let store = Store::open(url, &Default::default()).unwrap();
    let away = Away::new(store.objects());
    (store.wrapped(|_| Arc::new(away.clone())), away)
}

#[derive(Debug, Default)]
struct Seen {
    away: AtomicBool,
    parquet_reads: AtomicU64,
    entries: AtomicU64,
}

impl Away {
    pub fn new(inner: Arc<dyn ObjectStore>) -> Away {
        Away { inner, seen: Arc::default() }
    }

    pub fn set_away(&self, away: bool) {
        self.seen.away.store(away, Ordering::SeqCst);
    }

    /// Reads of Parquet files.
    pub fn parquet_reads(&self) -> u64 {
        self.seen.parquet_reads.load(Ordering::SeqCst)
    }

    /// Attempts to put a log entry.
    pub fn entries(&self) -> u64 {
        self.seen.entries.load(Ordering::SeqCst)
    }

    fn here(&self) -> Result<()> {
        match self.seen.away.load(Ordering::SeqCst) {
            false => Ok(()),
            true => Err(Error::Generic { store: "away", source: "503 Slow Down".into() }),
        }
    }
}

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Away({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Away {
    async fn put_opts(&self, at: &Path, data: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if at.as_ref().contains("_delta_log/") && at.as_ref().ends_with(".json") {
            self.seen.entries.fetch_add(1, Ordering::SeqCst);
        }
        self.here()?;
        self.inner.put_opts(at, data, opts).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.here()?;
        self.inner.put_multipart_opts(at, opts).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        if at.as_ref().ends_with(".parquet") && !options.head {
            self.seen.parquet_reads.fetch_add(1, Ordering::SeqCst);
        }
        self.here()?;
        self.inner.get_opts(at, options).await
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if at.as_ref().ends_with(".parquet") {
            self.seen.parquet_reads.fetch_add(1, Ordering::SeqCst);
        }
        self.here()?;
        self.inner.get_ranges(at, ranges).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        match self.here() {
            Ok(()) => self.inner.delete_stream(paths),
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.here() {
            Ok(()) => self.inner.list(prefix),
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.here()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.here()?;
        self.inner.copy_opts(from, to, options).await
    }
}
