//! A store whose answers are as long as they say, or fail (F25).
//!
//! Clients check the range that a server names, and not the body that comes with
//! it. Whoever reads takes the length for granted: ranges that are asked for
//! together are cut out of one body, and readers of Parquet panic.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// `get_ranges` is not handed on: what lies together is cut out of bodies that
/// were measured here.
#[derive(Debug)]
pub struct Whole(Arc<dyn ObjectStore>);

/// A body was shorter or longer than the store had said.
#[derive(Debug, thiserror::Error)]
#[error("{path}: the store sent {sent} bytes of {said}")]
pub struct NotWhole {
    path: Path,
    said: u64,
    /// So far, where there are too many.
    sent: u64,
}

impl Whole {
    pub fn new(store: Arc<dyn ObjectStore>) -> Whole {
        Whole(store)
    }
}

fn measured(
    path: Path,
    said: u64,
    body: BoxStream<'static, Result<Bytes>>,
) -> BoxStream<'static, Result<Bytes>> {
    let wrong = move |path, sent| {
        let source = Box::new(NotWhole { path, said, sent });
        Err(Error::Generic { store: "store", source })
    };
    stream::unfold(Some((body, path, 0)), move |state| async move {
        let (mut body, path, before) = state?;
        match body.next().await {
            Some(Ok(bytes)) => match before + bytes.len() as u64 {
                sent if sent <= said => Some((Ok(bytes), Some((body, path, sent)))),
                sent => Some((wrong(path, sent), None)),
            },
            Some(error) => Some((error, None)),
            None if before < said => Some((wrong(path, before), None)),
            None => None,
        }
    })
    .boxed()
}

impl fmt::Display for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Whole {
    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        let head = options.head;
        let mut found = self.0.get_opts(at, options).await?;
        if let GetResultPayload::Stream(body) = found.payload {
            found.payload = GetResultPayload::Stream(match head {
                true => body,
                false => measured(at.clone(), found.range.end - found.range.start, body),
            });
        }
        Ok(found)
    }

    async fn put_opts(&self, at: &Path, data: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.0.put_opts(at, data, opts).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(at, opts).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}
