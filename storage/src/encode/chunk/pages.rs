//! The pages of a chunk that are written, whatever their values are.

use ::parquet::basic::{BoundaryOrder, Compression, Encoding, EncodingMask, PageType};
use ::parquet::bloom_filter::Sbbf;
use ::parquet::column::page::{CompressedPage, Page, PageWriteSpec, PageWriter};
use ::parquet::column::writer::ColumnCloseResult;
use ::parquet::file::metadata::{
    ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats,
};
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use ::parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use ::parquet::schema::types::ColumnDescPtr;
use bytes::Bytes;

use super::bounds::Bounds;
use super::hybrid::{pack, width};
use super::open::Open;
use super::press::Press;
use crate::Error;

pub struct Pages<B: Bounds> {
    pub column: ColumnDescPtr,
    codec: Compression,
    /// Whether there are bounds for each page.
    pub is_paged: bool,
    /// Rows after which a page ends.
    pub page_rows: usize,
    bounds: B,
    nulls: u64,
    rows: u64,
    levels: u64,
    index: ColumnIndexBuilder,
    offsets: OffsetIndexBuilder,
    order: Order<B::Bound>,
    coded: i32,
    plain: i32,
    raw: u64,
    /// The page of the dictionary: known last, and first in the file.
    dictionary: Vec<u8>,
    out: TrackedWrite<Vec<u8>>,
}

impl<B: Bounds> Pages<B> {
    pub fn new(column: ColumnDescPtr, properties: &WriterProperties) -> Pages<B> {
        let path = column.path();
        Pages {
            codec: properties.compression(path),
            is_paged: properties.statistics_enabled(path) == EnabledStatistics::Page,
            page_rows: properties.data_page_row_count_limit(),
            bounds: B::default(),
            nulls: 0,
            rows: 0,
            levels: 0,
            index: ColumnIndexBuilder::new(column.physical_type()),
            offsets: OffsetIndexBuilder::new(),
            order: Order::default(),
            coded: 0,
            plain: 0,
            raw: 0,
            dictionary: Vec::new(),
            out: TrackedWrite::new(Vec::new()),
            column,
        }
    }

    /// Bytes so far.
    pub fn size(&self) -> usize {
        self.out.bytes_written()
    }

    /// Whether some page has codes, which need their dictionary.
    pub fn are_coded(&self) -> bool {
        self.coded > 0
    }

    /// Writes a page and leaves it empty; its values are codes of so many
    /// `distinct` ones, or are as they are.
    pub fn write(
        &mut self,
        page: &mut Open<B>,
        distinct: Option<usize>,
        press: &mut Press,
    ) -> Result<(), Error> {
        self.index(page);
        let (most_rep, most_def) = (self.column.max_rep_level(), self.column.max_def_level());
        press.body.clear();
        if most_rep > 0 {
            page.repetition.write(most_rep as u8, &mut press.body);
        }
        if most_def > 0 {
            page.definition.write(most_def as u8, &mut press.body);
        }
        let encoding = match distinct {
            Some(distinct) => {
                let bits = width(distinct.saturating_sub(1) as u32);
                press.body.push(bits);
                pack(&page.codes, bits, &mut press.body);
                self.coded += 1;
                Encoding::RLE_DICTIONARY
            }
            None => {
                press.body.extend_from_slice(&page.plain);
                self.plain += 1;
                Encoding::PLAIN
            }
        };
        let count = page.definition.count();
        let written = Page::DataPage {
            buf: press.take(self.codec == Compression::UNCOMPRESSED)?,
            num_values: count as u32,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let spec = put(written, press, &mut self.out)?;
        self.offsets.append_offset_and_size(spec.offset as i64, spec.compressed_size as i32);
        self.raw += spec.uncompressed_size as u64;
        self.bounds.join(&page.bounds);
        self.nulls += page.nulls;
        self.rows += page.rows as u64;
        self.levels += count as u64;
        page.clear();
        Ok(())
    }

    fn index(&mut self, page: &Open<B>) {
        self.offsets.append_row_count(page.rows as i64);
        let nulls = page.nulls as i64;
        match page.bounds.written() {
            _ if !self.is_paged => {}
            Some((low, high)) => {
                self.index.append(false, B::bytes(&low), B::bytes(&high), nulls);
                self.order.meet(low, high);
            }
            None if page.nulls == page.definition.count() as u64 => {
                self.index.append(true, Vec::new(), Vec::new(), nulls);
            }
            // There are values, and none has an order: an index cannot say so.
            None => self.index.to_invalid(),
        }
    }

    /// Writes what the codes stand for, so many values that are put together in the
    /// press.
    pub fn set_dictionary(&mut self, distinct: usize, press: &mut Press) -> Result<(), Error> {
        let page = Page::DictionaryPage {
            buf: press.take(self.codec == Compression::UNCOMPRESSED)?,
            num_values: distinct as u32,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        let mut out = TrackedWrite::new(Vec::new());
        self.raw += put(page, press, &mut out)?.uncompressed_size as u64;
        self.dictionary = out.into_inner()?;
        Ok(())
    }

    /// The chunk as it stands in a file, and what a file says of it; `texts` are the
    /// bytes of text in each page, whatever codes make of them.
    pub fn finish(
        mut self,
        texts: &[i64],
        bloom_filter: Option<Sbbf>,
    ) -> Result<(Bytes, ColumnCloseResult), Error> {
        let mut encodings = vec![Encoding::RLE];
        let mut stats = Vec::new();
        let mut stat = |page_type, encoding, count| {
            if count > 0 {
                encodings.push(encoding);
                stats.push(PageEncodingStats { page_type, encoding, count });
            }
        };
        stat(PageType::DICTIONARY_PAGE, Encoding::PLAIN, self.coded.min(1));
        stat(PageType::DATA_PAGE, Encoding::RLE_DICTIONARY, self.coded);
        stat(PageType::DATA_PAGE, Encoding::PLAIN, self.plain);
        // Readers size their batches by it; the only page has what the chunk has.
        let all_texts = Some(texts.iter().sum()).filter(|texts| *texts > 0);
        if texts.len() > 1 && all_texts.is_some() {
            let of_pages = texts.iter().copied().map(Some);
            of_pages.for_each(|texts| self.offsets.append_unencoded_byte_array_data_bytes(texts));
        }
        let dictionary = self.dictionary.len();
        let mut chunk = self.dictionary;
        chunk.append(&mut self.out.into_inner()?);
        let metadata = ColumnChunkMetaData::builder(self.column.clone())
            .set_compression(self.codec)
            .set_encodings_mask(EncodingMask::new_from_encodings(encodings.iter()))
            .set_page_encoding_stats(stats)
            .set_total_compressed_size(chunk.len() as i64)
            .set_total_uncompressed_size(self.raw as i64)
            .set_num_values(self.levels as i64)
            .set_unencoded_byte_array_data_bytes(all_texts)
            .set_data_page_offset(0)
            .set_statistics(self.bounds.statistics(self.nulls))
            .build()?;
        self.index.set_boundary_order(self.order.said());
        let is_indexed = self.is_paged && self.index.valid();
        let closed = ColumnCloseResult {
            bytes_written: chunk.len() as u64,
            rows_written: self.rows,
            metadata,
            bloom_filter,
            column_index: is_indexed.then(|| self.index.build()).transpose()?,
            offset_index: Some(self.offsets.build()),
        };
        Ok((chunk.into(), closed.update_dictionary_location(dictionary)?))
    }
}

fn put(page: Page, press: &Press, out: &mut TrackedWrite<Vec<u8>>) -> Result<PageWriteSpec, Error> {
    let page = CompressedPage::new(page, press.body.len());
    Ok(SerializedPageWriter::new(out).write_page(page)?)
}

/// How the bounds of pages follow each other, as they are written: a raised bound may
/// pass that of a later page.
struct Order<T> {
    last: Option<(T, T)>,
    rises: bool,
    falls: bool,
}

impl<T> Default for Order<T> {
    fn default() -> Order<T> {
        Order { last: None, rises: true, falls: true }
    }
}

impl<T: PartialOrd> Order<T> {
    fn meet(&mut self, low: T, high: T) {
        if let Some((below, above)) = &self.last {
            self.rises &= *below <= low && *above <= high;
            self.falls &= low <= *below && high <= *above;
        }
        self.last = Some((low, high));
    }

    fn said(&self) -> BoundaryOrder {
        match (self.rises, self.falls) {
            (true, _) => BoundaryOrder::ASCENDING,
            (false, true) => BoundaryOrder::DESCENDING,
            (false, false) => BoundaryOrder::UNORDERED,
        }
    }
}
