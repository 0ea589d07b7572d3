//! A Parquet file on an object store, read range by range.

use std::ops::Range;
use std::sync::Arc;

use ::parquet::arrow::arrow_reader::ArrowReaderOptions;
use ::parquet::arrow::async_reader::AsyncFileReader;
use ::parquet::errors::{ParquetError, Result as ParquetResult};
use ::parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{
    OBJECT_STORE_COALESCE_DEFAULT, ObjectMeta, ObjectStore, ObjectStoreExt, coalesce_ranges,
};

use crate::{DataFile, Error};

/// Bytes up to which a file is read by one request: one of a few hundred rows has
/// a hundred columns, and more requests than kilobytes.
const SMALL: u64 = 256 << 10;
/// Where a footer is looked for first.
const FOOTER: usize = 64 << 10;

/// The bytes of a [`DataFile`].
#[derive(Debug, Clone)]
pub struct Object {
    objects: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
    /// All of it, if it is small and was opened.
    whole: Option<Bytes>,
}

impl Object {
    pub fn of(objects: Arc<dyn ObjectStore>, file: &DataFile) -> Result<Object, Error> {
        Ok(Object { objects, path: file.location()?, size: file.size, whole: None })
    }

    /// Of an object as it was listed.
    pub fn at(objects: Arc<dyn ObjectStore>, object: &ObjectMeta) -> Object {
        Object { objects, path: object.location.clone(), size: object.size, whole: None }
    }

    /// Lets go of what was read of it.
    pub fn forget(&mut self) {
        self.whole = None;
    }

    async fn part(&self, range: Range<u64>) -> ParquetResult<Bytes> {
        match &self.whole {
            Some(whole) if range.start <= range.end && range.end <= self.size => {
                Ok(whole.slice(range.start as usize..range.end as usize))
            }
            _ => self.read(range).await,
        }
    }

    async fn read(&self, range: Range<u64>) -> ParquetResult<Bytes> {
        if range.start > range.end || range.end > self.size {
            let (path, size) = (&self.path, self.size);
            return Err(ParquetError::EOF(format!("{path} of {size} bytes has no {range:?}")));
        }
        let wanted = range.end - range.start;
        // Of one range too: where it is a local file, that is one step instead of two.
        let mut read = match self.objects.get_ranges(&self.path, &[range]).await {
            Ok(read) => read,
            Err(error) if self.is_shorter().await => {
                return Err(ParquetError::EOF(error.to_string()));
            }
            Err(error) => return Err(ParquetError::External(error.into())),
        };
        let bytes = read.pop().unwrap_or_default();
        // The library takes the length for granted, and panics (F25).
        match bytes.len() as u64 == wanted {
            true => Ok(bytes),
            false => {
                let (path, came) = (&self.path, bytes.len());
                Err(ParquetError::EOF(format!("{path} gave {came} bytes of {wanted}")))
            }
        }
    }

    /// Whether the object is shorter than it is said to be: asked after an error, which
    /// is no fault of the store then, and will be the same another time.
    async fn is_shorter(&self) -> bool {
        let found = self.objects.head(&self.path).await;
        found.is_ok_and(|found| found.size < self.size)
    }
}

impl AsyncFileReader for Object {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.part(range).boxed()
    }

    /// What lies together comes by one request: a row group has a range per column.
    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        async move {
            let this = &*self;
            let read = |range| this.part(range);
            coalesce_ranges(&ranges, read, OBJECT_STORE_COALESCE_DEFAULT).await
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let size = self.size;
        let pages = options.map_or(PageIndexPolicy::Skip, |options| options.offset_index_policy());
        async move {
            if (1..=SMALL).contains(&size) && self.whole.is_none() {
                self.whole = Some(self.read(0..size).await?);
            }
            let reader = ParquetMetaDataReader::new().with_prefetch_hint(Some(FOOTER));
            let reader = reader.with_offset_index_policy(pages);
            Ok(Arc::new(reader.load_and_finish(self, size).await?))
        }
        .boxed()
    }
}
