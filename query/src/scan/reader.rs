//! Reads Parquet bytes for a statement and counts them.

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::common::DataFusionError;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::ParquetFileReaderFactory;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::ParquetMetaData;

use crate::engine::Stats;

/// Bytes fetched at once from the end of a file.
const FOOTER: usize = 512 * 1024;

type Result<T> = std::result::Result<T, parquet::errors::ParquetError>;

/// Opens files with their footers cached: a name never has two contents (C4),
/// so a cached footer is never stale.
#[derive(Debug)]
pub(super) struct Readers {
    table: &'static str,
    store: Arc<dyn ObjectStore>,
    inner: CachedParquetFileReaderFactory,
    stats: Stats,
}

impl Readers {
    pub fn new(
        table: &'static str,
        store: Arc<dyn ObjectStore>,
        cache: Arc<FileMetadataCache>,
        stats: Stats,
    ) -> Readers {
        let inner = CachedParquetFileReaderFactory::new(store.clone(), cache);
        Readers { table, store, inner, stats }
    }

    /// The columns of a file by its footer, which is then cached; `None` when
    /// it cannot be read, which is for whoever reads the rows to say.
    pub async fn schema(&self, file: &PartitionedFile) -> Option<SchemaRef> {
        let unmeasured = ExecutionPlanMetricsSet::new();
        let reader = self.inner.create_reader(0, file.clone(), Some(FOOTER), &unmeasured);
        let footer = reader.ok()?.get_metadata(None).await.ok()?;
        let footer = footer.file_metadata();
        parquet_to_arrow_schema(footer.schema_descr(), footer.key_value_metadata())
            .ok()
            .map(Arc::new)
    }
}

impl ParquetFileReaderFactory for Readers {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> std::result::Result<Box<dyn AsyncFileReader + Send>, DataFusionError> {
        let path = file.object_meta.location.clone();
        let store = self.store.clone();
        let inner = self.inner.create_reader(partition, file, size_hint, metrics)?;
        let (table, stats) = (self.table, self.stats.clone());
        Ok(Box::new(Counted { table, inner, store, path, stats }))
    }
}

struct Counted {
    table: &'static str,
    inner: Box<dyn AsyncFileReader + Send>,
    store: Arc<dyn ObjectStore>,
    path: Path,
    stats: Stats,
}

impl AsyncFileReader for Counted {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        self.stats.read(self.table, range.end - range.start);
        self.inner.get_bytes(range)
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        let bytes = ranges.iter().map(|range| range.end - range.start).sum();
        self.stats.read(self.table, bytes);
        self.inner.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        self.stats.opened(self.path.as_ref());
        async move {
            // Asked to leave the page index out, the cache would never have it
            // and each statement would read and decode it again.
            match self.inner.get_metadata(None).await {
                Ok(metadata) => Ok(metadata),
                // The reader says a store's failure as text. A file that is
                // gone and one that is damaged need different answers.
                Err(error) => match self.store.head(&self.path).await {
                    Ok(_) => Err(error),
                    Err(cause) => Err(cause.into()),
                },
            }
        }
        .boxed()
    }
}
