//! Rows of any schema as one Parquet file: what a query answered, exported.

use std::io::Write;

use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::file::properties::WriterProperties;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::Error;

/// Encoded bytes after which a row group ends, so that an export of any size
/// streams.
const GROUP_BYTES: usize = 32 << 20;

/// Writes batches as they come. Nothing is complete before [`finish`](Self::finish).
pub struct RowsWriter<W: Write + Send>(ArrowWriter<W>);

impl<W: Write + Send> RowsWriter<W> {
    pub fn new(schema: SchemaRef, out: W) -> Result<RowsWriter<W>, Error> {
        let properties = WriterProperties::builder()
            .set_created_by(concat!("cloudsail ", env!("CARGO_PKG_VERSION")).into())
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .build();
        Ok(RowsWriter(ArrowWriter::try_new(out, schema, Some(properties))?))
    }

    pub fn write(&mut self, rows: &RecordBatch) -> Result<(), Error> {
        self.0.write(rows)?;
        if self.0.in_progress_size() > GROUP_BYTES {
            self.0.flush()?;
        }
        Ok(())
    }

    pub fn finish(mut self) -> Result<(), Error> {
        self.0.finish()?;
        self.0.inner_mut().flush().map_err(Error::disk("the Parquet file could not be written"))
    }
}
