//! A row group in memory, as batches of rows.
//!
//! All columns of all files that are open are unpacked by one zstd context; Parquet's
//! library has one for each of them, and those were nearly half of all that a node which
//! joins had in use (benches/README.md). So it is told that nothing is packed, and what it
//! hands out is unpacked here.

use std::io::{self, Read};
use std::iter::once;
use std::sync::Arc;

use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReader, RowGroups};
use ::parquet::arrow::async_reader::AsyncFileReader;
use ::parquet::arrow::{FieldLevels, parquet_to_arrow_field_levels};
use ::parquet::basic::Compression;
use ::parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use ::parquet::errors::{ParquetError, Result};
use ::parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use ::parquet::file::reader::{ChunkReader, Length};
use ::parquet::file::serialized_reader::SerializedPageReader;
use bytes::Bytes;
use bytes::buf::{Buf, Reader};
use parking_lot::Mutex;
use zstd::bulk::Decompressor;
use zstd::zstd_safe::get_frame_content_size;

use crate::Error;
use crate::table::object::Object;

/// No page is longer, whatever a footer and a frame say: its header counts so far.
const LONGEST_PAGE: u64 = i32::MAX as u64;

/// What unpacks pages; clones share it.
#[derive(Clone)]
pub struct Unpacker(Arc<Mutex<Decompressor<'static>>>);

impl Unpacker {
    pub fn new() -> std::result::Result<Unpacker, Error> {
        let new = Decompressor::new().map_err(|error| Error::Internal(error.to_string()))?;
        Ok(Unpacker(Arc::new(Mutex::new(new))))
    }

    /// Of at most so many bytes: what a page claims to hold is not believed.
    fn unpack(&self, packed: &[u8], most: u64) -> io::Result<Vec<u8>> {
        let most = most.min(LONGEST_PAGE);
        if let Ok(Some(size)) = get_frame_content_size(packed)
            && size <= most
            && let Ok(bytes) = self.0.lock().decompress(packed, size as usize)
        {
            return Ok(bytes);
        }
        // Frames of others that do not say how much they hold, or several in a page.
        let (mut bytes, frames) = (Vec::new(), zstd::stream::Decoder::with_buffer(packed)?);
        frames.take(most + 1).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > most {
            true => {
                Err(io::Error::other(format!("a page has more than the {most} bytes that it may")))
            }
            false => Ok(bytes),
        }
    }
}

/// The fields of a file, as they are read.
pub fn levels(metadata: &ArrowReaderMetadata) -> Result<FieldLevels> {
    let (all, fields) = (ProjectionMask::all(), metadata.schema().fields());
    parquet_to_arrow_field_levels(metadata.parquet_schema(), all, Some(fields))
}

/// Fetches a row group and hands it out in batches of so many rows.
pub async fn read(
    object: &mut Object,
    metadata: &Arc<ParquetMetaData>,
    levels: &FieldLevels,
    group: usize,
    rows: usize,
    unpacker: &Unpacker,
) -> Result<ParquetRecordBatchReader> {
    let columns = metadata.row_group(group).columns();
    let range = |column: &ColumnChunkMetaData| {
        let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
        let (start, length) = (u64::try_from(start)?, u64::try_from(column.compressed_size())?);
        Ok(start..start.saturating_add(length))
    };
    let ranges = columns.iter().map(range).collect::<Result<Vec<_>>>()?;
    let starts: Vec<u64> = ranges.iter().map(|range| range.start).collect();
    let bytes = object.get_byte_ranges(ranges).await?;
    let chunk = |(start, bytes)| Arc::new(Chunk { start, bytes });
    let chunks = starts.into_iter().zip(bytes).map(chunk).collect();
    let group = Group { metadata: metadata.clone(), group, chunks, unpacker: unpacker.clone() };
    ParquetRecordBatchReader::try_new_with_row_groups(levels, &group, rows, None)
}

struct Group {
    metadata: Arc<ParquetMetaData>,
    group: usize,
    chunks: Vec<Arc<Chunk>>,
    unpacker: Unpacker,
}

impl RowGroups for Group {
    fn num_rows(&self) -> usize {
        usize::try_from(self.metadata.row_group(self.group).num_rows()).unwrap_or(0)
    }

    fn column_chunks(&self, leaf: usize) -> Result<Box<dyn PageIterator>> {
        let chunk = self.chunks.get(leaf).cloned();
        let chunk = chunk.ok_or_else(|| ParquetError::General(format!("no column {leaf}")))?;
        let pages =
            self.metadata.offset_index().and_then(|groups| groups.get(self.group)?.get(leaf));
        let pages = pages.map(|pages| pages.page_locations().clone());
        let pages = pages.filter(|pages| !pages.is_empty());
        let column = self.metadata.row_group(self.group).column(leaf);
        let reader = |column| SerializedPageReader::new(chunk, column, self.num_rows(), pages);
        let reader: Box<dyn PageReader> = match column.compression() {
            Compression::ZSTD(_) => {
                // What joins may hold is reckoned by footers.
                let most = u64::try_from(column.uncompressed_size())?;
                let column = column.clone().into_builder();
                let column = column.set_compression(Compression::UNCOMPRESSED).build()?;
                Box::new(Packed { pages: reader(&column)?, most, unpacker: self.unpacker.clone() })
            }
            _ => Box::new(reader(column)?),
        };
        Ok(Box::new(Only(Some(reader).into_iter())))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(once(self.metadata.row_group(self.group)))
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }
}

/// Part of a file, which is asked for by where it is in that.
struct Chunk {
    start: u64,
    bytes: Bytes,
}

impl Chunk {
    fn from(&self, start: u64) -> Result<Bytes> {
        let at = start.checked_sub(self.start).and_then(|at| usize::try_from(at).ok());
        let at = at.filter(|at| *at <= self.bytes.len());
        let beyond = || ParquetError::EOF(format!("a page at {start} is outside of its column"));
        at.map(|at| self.bytes.slice(at..)).ok_or_else(beyond)
    }
}

impl Length for Chunk {
    fn len(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl ChunkReader for Chunk {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Reader<Bytes>> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let bytes = self.from(start)?;
        match length <= bytes.len() {
            true => Ok(bytes.slice(..length)),
            false => {
                let why = format!("a page of {length} bytes at {start} is longer than its column");
                Err(ParquetError::EOF(why))
            }
        }
    }
}

/// Pages of a column, packed by zstd, which their reader knows nothing of.
struct Packed {
    pages: SerializedPageReader<Chunk>,
    /// Bytes of the column before it was packed, as the footer says.
    most: u64,
    unpacker: Unpacker,
}

impl Packed {
    fn unpacked(&self, mut page: Page) -> Result<Page> {
        let (bytes, plain) = match &mut page {
            Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => (buf, 0),
            // Levels stand before what is packed.
            Page::DataPageV2 {
                buf,
                is_compressed: true,
                def_levels_byte_len: def,
                rep_levels_byte_len: rep,
                ..
            } => (buf, *def as usize + *rep as usize),
            Page::DataPageV2 { is_compressed: false, .. } => return Ok(page),
        };
        let (before, packed) = bytes.split_at_checked(plain).ok_or_else(|| {
            ParquetError::EOF("the levels of a page are longer than the page".into())
        })?;
        // A page of NULLs alone may have nothing.
        if !packed.is_empty() {
            let unpacked = self.unpacker.unpack(packed, self.most)?;
            *bytes = match before {
                [] => unpacked.into(),
                before => [before, &unpacked].concat().into(),
            };
        }
        Ok(page)
    }
}

impl Iterator for Packed {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Result<Page>> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Packed {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        page.map(|page| self.unpacked(page)).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.pages.at_record_boundary()
    }
}

/// The pages of the only row group.
struct Only(std::option::IntoIter<Box<dyn PageReader>>);

impl Iterator for Only {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(Ok)
    }
}

impl PageIterator for Only {}

#[cfg(test)]
mod tests;
