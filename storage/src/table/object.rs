//! A Parquet file on an object store, read range by range.

use std::ops::Range;
use std::sync::Arc;

use ::parquet::arrow::arrow_reader::ArrowReaderOptions;
use ::parquet::arrow::async_reader::AsyncFileReader;
use ::parquet::errors::{ParquetError, Result as ParquetResult};
use ::parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use crate::{DataFile, Error};

/// The bytes of a [`DataFile`].
#[derive(Debug, Clone)]
pub struct Object {
    objects: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
}

impl Object {
    pub fn of(objects: Arc<dyn ObjectStore>, file: &DataFile) -> Result<Object, Error> {
        Ok(Object { objects, path: file.location()?, size: file.size })
    }

    /// Of an object as it was listed.
    pub fn at(objects: Arc<dyn ObjectStore>, object: &ObjectMeta) -> Object {
        Object { objects, path: object.location.clone(), size: object.size }
    }
}

impl AsyncFileReader for Object {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        async move {
            let wanted = range.end - range.start;
            let read = self.objects.get_range(&self.path, range).await;
            let bytes = read.map_err(|error| ParquetError::External(error.into()))?;
            // The library takes the length for granted, and panics (F25).
            match bytes.len() as u64 == wanted {
                true => Ok(bytes),
                false => Err(ParquetError::EOF(format!(
                    "{} gave {} bytes of {wanted}",
                    self.path,
                    bytes.len()
                ))),
            }
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let size = self.size;
        async move { Ok(Arc::new(ParquetMetaDataReader::new().load_and_finish(self, size).await?)) }
            .boxed()
    }
}
