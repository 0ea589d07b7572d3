//! An object store that fails on demand, in the ways that matter to a commit.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::*;
use parking_lot::Mutex;

/// What happens to a put of a log entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Fine,
    /// Nothing is stored, and an error is answered.
    Before,
    /// It is stored, and an error is answered.
    After,
    /// It is stored, and nothing is ever answered.
    Silent,
    /// It replaces what is there, and success is answered.
    Overwrites,
}

/// Wraps a store; each put below `_delta_log` meets the next fault in line.
#[derive(Debug, Clone)]
pub struct Faulty {
    inner: Arc<dyn ObjectStore>,
    plan: Arc<Mutex<VecDeque<Fault>>>,
}

impl Faulty {
    pub fn new(inner: Arc<dyn ObjectStore>, plan: impl IntoIterator<Item = Fault>) -> Faulty {
        Faulty { inner, plan: Arc::new(Mutex::new(plan.into_iter().collect())) }
    }

    pub fn left(&self) -> usize {
        self.plan.lock().len()
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({})", self.inner)
    }
}

fn reset() -> Error {
    Error::Generic { store: "faulty", source: "connection reset".into() }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        at: &Path,
        data: PutPayload,
        mut opts: PutOptions,
    ) -> Result<PutResult> {
        let entry = at.as_ref().contains("_delta_log/") && at.as_ref().ends_with(".json");
        let planned = if entry { self.plan.lock().pop_front() } else { None };
        match planned.unwrap_or(Fault::Fine) {
            Fault::Fine => self.inner.put_opts(at, data, opts).await,
            Fault::Before => Err(reset()),
            Fault::After => {
                self.inner.put_opts(at, data, opts).await?;
                Err(reset())
            }
            Fault::Silent => {
                self.inner.put_opts(at, data, opts).await?;
                std::future::pending().await
            }
            Fault::Overwrites => {
                // Another writer's entry takes the name a moment later.
                opts.mode = PutMode::Overwrite;
                self.inner.put_opts(at, data, opts.clone()).await?;
                let other = r#"{"commitInfo":{"operation":"WRITE"}}"#;
                self.inner.put_opts(at, other.into(), opts).await
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, opts).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(at, options).await
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(at, ranges).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
