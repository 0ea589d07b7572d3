//! Reads Parquet bytes for a statement, counts them, and believes no answer that
//! cannot be the file's (F25): readers of Parquet take it for that, and panic.

use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::common::DataFusionError;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use crate::engine::Stats;

/// Bytes fetched at once from the end of a file.
const FOOTER: usize = 512 * 1024;

type Result<T> = std::result::Result<T, ParquetError>;

/// Rows that the table's log says a file has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows(pub u64);

/// Opens files with their footers cached: a name never has two contents (C4),
/// so a cached footer is never stale.
#[derive(Debug)]
pub(super) struct Readers {
    table: &'static str,
    footers: Footers,
    inner: CachedParquetFileReaderFactory,
    stats: Stats,
}

#[derive(Debug, Clone)]
struct Footers {
    store: Arc<dyn ObjectStore>,
    cache: Arc<FileMetadataCache>,
}

impl Footers {
    /// The footer with its page index: asked to leave that out, the cache would
    /// never have it and each statement would read and decode it again.
    async fn of(&self, file: &ObjectMeta, rows: Option<Rows>) -> Result<Arc<ParquetMetaData>> {
        let footer = DFParquetMetadata::new(&self.store, file)
            .with_file_metadata_cache(Some(self.cache.clone()))
            .with_metadata_size_hint(Some(FOOTER));
        // What is no footer can make its decoder count below zero.
        let found = AssertUnwindSafe(footer.fetch_metadata()).catch_unwind().await;
        let path = &file.location;
        let found = found.map_err(|_| ParquetError::General(format!("{path} has no footer")))?;
        let footer = match found {
            Ok(footer) => footer,
            Err(error) => return Err(self.unread(file, error).await),
        };
        let has = u64::try_from(footer.file_metadata().num_rows()).unwrap_or_default();
        match rows {
            Some(Rows(said)) if said != has => {
                self.cache.remove(path);
                let wrong = format!("{path} has {has} rows, its table's log says {said}");
                Err(ParquetError::General(wrong))
            }
            _ => Ok(footer),
        }
    }

    /// A file that is gone, one that is not all there and one that is damaged need
    /// different answers.
    async fn unread(&self, file: &ObjectMeta, error: DataFusionError) -> ParquetError {
        let path = &file.location;
        match self.store.head(path).await {
            Ok(found) if found.size != file.size => ParquetError::EOF(format!(
                "{path} has {} bytes, its table's log says {}",
                found.size, file.size
            )),
            Ok(_) => ParquetError::External(error.into()),
            Err(cause) => cause.into(),
        }
    }
}

impl Readers {
    pub fn new(
        table: &'static str,
        store: Arc<dyn ObjectStore>,
        cache: Arc<FileMetadataCache>,
        stats: Stats,
    ) -> Readers {
        let inner = CachedParquetFileReaderFactory::new(store.clone(), cache.clone());
        Readers { table, footers: Footers { store, cache }, inner, stats }
    }

    /// The columns of a file by its footer, which is then cached; `None` when
    /// it cannot be read, which is for whoever reads the rows to say.
    pub async fn schema(&self, file: &PartitionedFile) -> Option<SchemaRef> {
        let rows = file.extensions.get::<Rows>().copied();
        let footer = self.footers.of(&file.object_meta, rows).await.ok()?;
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
        let rows = file.extensions.get::<Rows>().copied();
        let meta = file.object_meta.clone();
        let inner = self.inner.create_reader(partition, file, size_hint, metrics)?;
        let (table, stats, footers) = (self.table, self.stats.clone(), self.footers.clone());
        Ok(Box::new(Counted { table, inner, footers, meta, rows, stats }))
    }
}

struct Counted {
    table: &'static str,
    inner: Box<dyn AsyncFileReader + Send>,
    footers: Footers,
    meta: ObjectMeta,
    rows: Option<Rows>,
    stats: Stats,
}

impl Counted {
    /// A range beyond the end of an object is answered as far as it goes.
    fn whole(meta: &ObjectMeta, range: &Range<u64>, bytes: &Bytes) -> Result<()> {
        let (path, came, wanted) = (&meta.location, bytes.len() as u64, range.end - range.start);
        match came == wanted {
            true => Ok(()),
            false => Err(ParquetError::EOF(format!("{path} gave {came} bytes of {wanted}"))),
        }
    }
}

impl AsyncFileReader for Counted {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        self.stats.read(self.table, range.end - range.start);
        async move {
            let bytes = self.inner.get_bytes(range.clone()).await?;
            Counted::whole(&self.meta, &range, &bytes)?;
            Ok(bytes)
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        let bytes = ranges.iter().map(|range| range.end - range.start).sum();
        self.stats.read(self.table, bytes);
        async move {
            let read = self.inner.get_byte_ranges(ranges.clone()).await?;
            for (range, bytes) in ranges.iter().zip(&read) {
                Counted::whole(&self.meta, range, bytes)?;
            }
            Ok(read)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        self.stats.opened(self.meta.location.as_ref());
        self.footers.of(&self.meta, self.rows).boxed()
    }
}
