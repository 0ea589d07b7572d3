//! How wide rows are, by what a footer says of them: so many are read at once.

use ::parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use ::parquet::file::page_index::offset_index::OffsetIndexMetaData;
use arrow::array::{Array, ArrayData, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Schema};

use crate::encode::codes::MOST_BYTES;

/// Rows read at once from each run at most. A chunk that is written gathers from
/// many.
const BATCH: usize = 2048;
/// Bytes of a value beside its text: a number, an offset, a code.
const VALUE: f64 = 8.0;

/// Of a row group: the rows that weigh about `share` bytes in memory where they are
/// widest. `is_coded` tells of each leaf whether its texts stay codes.
pub fn rows_at_once(
    footer: &ParquetMetaData,
    group: usize,
    share: usize,
    is_coded: &[bool],
) -> usize {
    let rows = footer.row_group(group).num_rows().max(1) as f64;
    let pages = footer.offset_index().and_then(|groups| groups.get(group));
    let width = |(leaf, chunk): (usize, &ColumnChunkMetaData)| {
        let values = chunk.num_values().max(0) as f64 / rows * VALUE;
        let pages = pages.and_then(|leaves| leaves.get(leaf));
        match is_coded.get(leaf) {
            Some(true) => values,
            _ => values + text(chunk, pages, rows, share as f64),
        }
    };
    let chunks = footer.row_group(group).columns().iter().enumerate();
    let width: f64 = chunks.map(width).sum();
    ((share as f64 / width.max(1.0)) as usize).clamp(1, BATCH)
}

/// Bytes of text per row, where as many rows as weigh `share` have the most: wide
/// ones lie together, as those of one service do. Without a word of the pages it is
/// the average; codes stand for more than they take.
fn text(
    chunk: &ColumnChunkMetaData,
    pages: Option<&OffsetIndexMetaData>,
    rows: f64,
    share: f64,
) -> f64 {
    let raw = chunk.uncompressed_size();
    let average = chunk.unencoded_byte_array_data_bytes().unwrap_or(raw).max(raw) as f64 / rows;
    let Some((pages, texts)) = pages.and_then(|pages| {
        let texts = pages.unencoded_byte_array_data_bytes()?;
        Some((pages.page_locations(), texts))
    }) else {
        return average;
    };
    let firsts = pages.iter().map(|page| page.first_row_index as f64).chain([rows]);
    let ends = firsts.clone().skip(1);
    let pages = firsts.zip(ends).zip(texts);
    let pages: Vec<(f64, f64)> =
        pages.map(|((first, end), text)| (end - first, *text as f64)).collect();
    let (mut rows, mut bytes, mut first, mut most) = (0.0, 0.0, 0, average);
    for (page_rows, page_bytes) in &pages {
        (rows, bytes) = (rows + page_rows, bytes + page_bytes);
        while let Some((fewer, less)) = pages.get(first)
            && bytes - less >= share
        {
            (rows, bytes, first) = (rows - fewer, bytes - less, first + 1);
        }
        if bytes >= share && rows > 0.0 {
            most = most.max(bytes / rows);
        }
    }
    most
}

/// Whether the texts of each leaf of a file that is read as `schema` stay codes.
pub fn coded_leaves(schema: &Schema) -> Vec<bool> {
    fn leaves(of: &DataType, all: &mut Vec<bool>) {
        match of {
            DataType::Dictionary(..) => all.push(true),
            DataType::List(field) | DataType::Map(field, _) => leaves(field.data_type(), all),
            DataType::Struct(fields) => fields.iter().for_each(|f| leaves(f.data_type(), all)),
            _ => all.push(false),
        }
    }
    let mut all = Vec::new();
    schema.fields().iter().for_each(|field| leaves(field.data_type(), &mut all));
    all
}

/// Bytes that reading a file holds beside its batches, in its largest row group: all
/// of that as it is stored, and of each column a page and a dictionary.
pub fn open_bytes(footer: &ParquetMetaData) -> u64 {
    let bytes = |(group, of): (usize, &RowGroupMetaData)| {
        let pages = footer.offset_index().and_then(|groups| groups.get(group));
        let unpacked = |(leaf, chunk): (usize, &ColumnChunkMetaData)| {
            let raw = u64::try_from(chunk.uncompressed_size()).unwrap_or(0);
            let pages = pages.and_then(|leaves| leaves.get(leaf));
            let pages = pages.map_or(1, |pages| pages.page_locations().len().max(1));
            let dictionary = chunk.dictionary_page_offset().map_or(0, |_| MOST_BYTES as u64);
            (raw / pages as u64 + dictionary).min(raw)
        };
        let stored = u64::try_from(of.compressed_size()).unwrap_or(0);
        stored + of.columns().iter().enumerate().map(unpacked).sum::<u64>()
    };
    footer.row_groups().iter().enumerate().map(bytes).max().unwrap_or(0)
}

/// Bytes of rows in memory, without the texts that codes stand for: those are
/// shared, and few.
pub fn weight(rows: &RecordBatch) -> usize {
    fn weighs(data: &ArrayData) -> usize {
        let own: usize = data.buffers().iter().map(Buffer::capacity).sum();
        match data.data_type() {
            DataType::Dictionary(_, of) if **of == DataType::Utf8 => own,
            _ => own + data.child_data().iter().map(weighs).sum::<usize>(),
        }
    }
    rows.columns().iter().map(|column| weighs(&column.to_data())).sum()
}
