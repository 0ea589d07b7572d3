//! A store that asks the cache first.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::{Cache, Copy};

/// Reads of objects that the cache has a copy of never reach the store.
#[derive(Debug)]
pub struct Cached {
    store: Arc<dyn ObjectStore>,
    cache: Arc<Cache>,
}

impl Cached {
    pub fn new(store: Arc<dyn ObjectStore>, cache: Arc<Cache>) -> Cached {
        Cached { store, cache }
    }

    /// Disk work leaves the I/O runtime; the memory stays with who asks.
    async fn read(
        &self,
        at: &Path,
        copy: &Arc<Copy>,
        ranges: Vec<Range<u64>>,
    ) -> Option<Vec<Bytes>> {
        let (cache, copy, path) = (self.cache.clone(), copy.clone(), at.to_string());
        // Where there is no memory the copy is sound; the store may have an answer.
        let rooms = ranges.iter().map(|range| copy.room(range)).collect::<io::Result<Vec<_>>>();
        let rooms = rooms.ok()?;
        let read = move || {
            let one = |(range, room)| cache.read(&path, &copy, range, room);
            ranges.into_iter().zip(rooms).map(one).collect::<Option<Vec<Bytes>>>()
        };
        // A panic in there is a copy that cannot be read.
        tokio::task::spawn_blocking(read).await.ok().flatten()
    }
}

impl fmt::Display for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cached({})", self.store)
    }
}

#[async_trait]
impl ObjectStore for Cached {
    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        let Some(copy) = self.cache.get(at.as_ref()).filter(|_| plain(&options)) else {
            return self.store.get_opts(at, options).await;
        };
        let range = options.range.as_ref().map(|range| range.as_range(copy.size()));
        // What is wrong with a range is the store's to say.
        let Ok(range) = range.unwrap_or(Ok(0..copy.size())) else {
            return self.store.get_opts(at, options).await;
        };
        let bytes = match options.head {
            true => Some(vec![Bytes::new()]),
            false => self.read(at, &copy, vec![range.clone()]).await,
        };
        let Some(bytes) = bytes else { return self.store.get_opts(at, options).await };
        let meta = ObjectMeta {
            location: at.clone(),
            last_modified: copy.since,
            size: copy.size(),
            e_tag: None,
            version: None,
        };
        let payload = GetResultPayload::Stream(stream::iter(bytes.into_iter().map(Ok)).boxed());
        Ok(GetResult { payload, meta, range, attributes: Default::default() })
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let inside = |copy: &Arc<Copy>| {
            ranges.iter().all(|range| range.start <= range.end && range.end <= copy.size())
        };
        if let Some(copy) = self.cache.get(at.as_ref()).filter(inside)
            && let Some(bytes) = self.read(at, &copy, ranges.to_vec()).await
        {
            return Ok(bytes);
        }
        self.store.get_ranges(at, ranges).await
    }

    async fn put_opts(&self, at: &Path, data: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.store.put_opts(at, data, opts).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(at, opts).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

/// Whether any copy of the object will do.
fn plain(options: &GetOptions) -> bool {
    options.if_match.is_none()
        && options.if_none_match.is_none()
        && options.if_modified_since.is_none()
        && options.if_unmodified_since.is_none()
        && options.version.is_none()
}
