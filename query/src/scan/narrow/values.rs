//! Rows whose map holds a value, found in Parquet's pages.
//!
//! Values are looked for, not decoded: a page without one is done with, and
//! only of the others levels are read, to tell rows. Whether the value stands
//! under the right key is for the filter above the scan to say; of the keys
//! only the dictionary is asked, whether the row group has the key at all.

use std::ops::Range;

use bytes::Bytes;
use bytes::buf::{Buf, Reader};
use parquet::arrow::arrow_reader::RowSelection;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::basic::{Encoding, Type};
use parquet::column::page::{Page, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::schema::types::ColumnDescriptor;

use super::Wanted;
use super::levels::unpack;

/// The rows of a row group that may hold what is wanted, out of those `within`;
/// `None` where that cannot be told.
pub(super) async fn rows(
    reader: &mut dyn AsyncFileReader,
    metadata: &ParquetMetaData,
    group: usize,
    within: Option<&RowSelection>,
    wanted: &Wanted,
) -> Result<Option<RowSelection>> {
    let Some([key, value]) = leaves(metadata, &wanted.column) else { return Ok(None) };
    let total = usize::try_from(metadata.row_group(group).num_rows()).unwrap_or_default();
    let none = || Some(RowSelection::from_consecutive_ranges(std::iter::empty(), total));
    let (Some(keys), Some(values)) =
        (Leaf::of(metadata, group, key, total), Leaf::of(metadata, group, value, total))
    else {
        return Ok(None);
    };
    if keys.is_all_coded() && keys.lacks(reader, &[wanted.key.as_bytes()]).await? {
        return Ok(none());
    }
    let texts: Vec<&[u8]> = wanted.values.iter().map(|value| value.as_bytes()).collect();
    if values.is_all_coded() && values.lacks(reader, &texts).await? {
        return Ok(none());
    }
    let pages = values.pages(within);
    let mut ranges: Vec<Range<u64>> = values.dictionary().into_iter().collect();
    ranges.extend(pages.iter().map(|page| values.bytes_of(*page)));
    let fetched = Fetched::new(reader, ranges).await?;
    let mut look = Look { texts: &texts, codes: Vec::new(), rows: Vec::new(), buffer: Vec::new() };
    let mut source = values.reader(fetched)?;
    if values.dictionary().is_some() {
        match source.get_next_page()? {
            Some(Page::DictionaryPage { buf, .. }) => look.codes = look.equal(&buf),
            _ => return Ok(None),
        }
    }
    let mut wanted_pages = pages.into_iter().peekable();
    for (at, location) in values.locations.iter().enumerate() {
        if wanted_pages.next_if_eq(&at).is_none() {
            source.skip_next_page()?;
            continue;
        }
        let Some(page) = source.get_next_page()? else { return Ok(None) };
        let first = usize::try_from(location.first_row_index).unwrap_or_default();
        if look.page(&page, values.descriptor, first).is_none() {
            return Ok(None);
        }
    }
    let rows = look.rows.into_iter().map(|row| row..row + 1);
    let found = RowSelection::from_consecutive_ranges(rows, total);
    Ok(Some(match within {
        Some(within) => found.intersection(within),
        None => found,
    }))
}

/// The leaves of keys and values.
fn leaves(metadata: &ParquetMetaData, column: &str) -> Option<[usize; 2]> {
    let schema = metadata.file_metadata().schema_descr();
    let of = |at: &usize| {
        let leaf = schema.column(*at);
        leaf.path().parts().first().is_some_and(|name| name == column)
    };
    let found: Vec<usize> = (0..schema.num_columns()).filter(of).collect();
    let text = |at: usize| {
        let leaf = schema.column(at);
        leaf.physical_type() == Type::BYTE_ARRAY && leaf.max_rep_level() == 1
    };
    match found[..] {
        [key, value] if text(key) && text(value) => Some([key, value]),
        _ => None,
    }
}

/// A column of a row group.
struct Leaf<'a> {
    chunk: &'a ColumnChunkMetaData,
    descriptor: &'a ColumnDescriptor,
    locations: &'a [PageLocation],
    rows: usize,
}

impl<'a> Leaf<'a> {
    fn of(metadata: &'a ParquetMetaData, group: usize, at: usize, rows: usize) -> Option<Leaf<'a>> {
        let locations = &metadata.offset_index()?.get(group)?.get(at)?.page_locations;
        let chunk = metadata.row_group(group).column(at);
        let starts = locations.first()?.offset >= i64::try_from(chunk.byte_range().0).ok()?;
        starts.then_some(Leaf { chunk, descriptor: chunk.column_descr(), locations, rows })
    }

    /// Where the dictionary is, if there is one.
    fn dictionary(&self) -> Option<Range<u64>> {
        let start = self.chunk.byte_range().0;
        let end = self.locations[0].offset as u64;
        (start < end).then_some(start..end)
    }

    /// Whether every value is a code of the dictionary.
    fn is_all_coded(&self) -> bool {
        let coded =
            |e: Encoding| matches!(e, Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY);
        let pages = match (self.chunk.page_encoding_stats_mask(), self.chunk.page_encoding_stats())
        {
            (Some(mask), _) => mask.encodings().all(coded),
            (None, Some(stats)) => {
                let data = stats
                    .iter()
                    .filter(|s| s.page_type != parquet::basic::PageType::DICTIONARY_PAGE);
                data.map(|s| s.encoding).all(coded)
            }
            (None, None) => false,
        };
        pages && self.dictionary().is_some()
    }

    /// Whether the dictionary has none of these texts.
    async fn lacks(&self, reader: &mut dyn AsyncFileReader, texts: &[&[u8]]) -> Result<bool> {
        let fetched = Fetched::new(reader, self.dictionary().into_iter().collect()).await?;
        match self.reader(fetched)?.get_next_page()? {
            Some(Page::DictionaryPage { buf, .. }) => {
                Ok(!Texts(&buf).any(|text| texts.contains(&text)))
            }
            _ => Ok(false),
        }
    }

    /// The pages that have rows of a selection.
    fn pages(&self, within: Option<&RowSelection>) -> Vec<usize> {
        let Some(within) = within else { return (0..self.locations.len()).collect() };
        let before = |row: usize| {
            let row = i64::try_from(row).unwrap_or(i64::MAX);
            self.locations.partition_point(|page| page.first_row_index < row)
        };
        let mut pages: Vec<usize> = Vec::new();
        let mut row = 0;
        for selector in within.iter() {
            let end = row + selector.row_count;
            if !selector.skip {
                let next = pages.last().map_or(0, |page| page + 1);
                pages.extend(before(row + 1).saturating_sub(1).max(next)..before(end));
            }
            row = end;
        }
        pages
    }

    fn bytes_of(&self, page: usize) -> Range<u64> {
        let location = &self.locations[page];
        let start = location.offset as u64;
        start..start + location.compressed_page_size as u64
    }

    fn reader(&self, fetched: Fetched) -> Result<SerializedPageReader<Fetched>> {
        let locations = Some(self.locations.to_vec());
        SerializedPageReader::new(fetched.into(), self.chunk, self.rows, locations)
    }
}

/// What is looked for, and where it was found.
struct Look<'a> {
    texts: &'a [&'a [u8]],
    /// For each code of the dictionary, whether it stands for one of them.
    codes: Vec<bool>,
    rows: Vec<usize>,
    buffer: Vec<u32>,
}

impl Look<'_> {
    fn equal(&self, texts: &[u8]) -> Vec<bool> {
        Texts(texts).map(|text| self.texts.contains(&text)).collect()
    }

    /// Adds the rows of a page, whose first is `first`.
    fn page(&mut self, page: &Page, leaf: &ColumnDescriptor, first: usize) -> Option<()> {
        let Page::DataPage {
            buf,
            num_values,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            ..
        } = page
        else {
            return None;
        };
        let levels = usize::try_from(*num_values).ok()?;
        let (repetitions, rest) = sized(buf)?;
        let (definitions, values) = match leaf.max_def_level() {
            0 => (&[][..], rest),
            _ => sized(rest)?,
        };
        let found: Vec<usize> = match encoding {
            Encoding::PLAIN => {
                let texts = Texts(values).enumerate();
                texts.filter(|(_, text)| self.texts.contains(text)).map(|(at, _)| at).collect()
            }
            Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY => {
                if !self.codes.contains(&true) {
                    return Some(());
                }
                let (width, codes) = values.split_first()?;
                self.buffer.clear();
                unpack(codes, usize::from(*width), levels, &mut self.buffer)?;
                let codes = self.buffer.iter().enumerate();
                let wanted = |code: u32| self.codes.get(code as usize).copied().unwrap_or(true);
                codes.filter(|(_, code)| wanted(**code)).map(|(at, _)| at).collect()
            }
            _ => return None,
        };
        if found.is_empty() {
            return Some(());
        }
        self.buffer.clear();
        unpack(repetitions, 1, levels, &mut self.buffer)?;
        let mut full = Vec::new();
        let most = leaf.max_def_level().unsigned_abs();
        let width = 16 - most.leading_zeros() as usize;
        unpack(definitions, width, levels, &mut full)?;
        if self.buffer.len() != levels || (most > 0 && full.len() != levels) {
            return None;
        }
        let mut found = found.into_iter().peekable();
        // The first level begins a row.
        let mut row = first.wrapping_sub(1);
        let mut value = 0;
        for (at, repetition) in self.buffer.iter().enumerate() {
            row = row.wrapping_add(usize::from(*repetition == 0));
            if full.get(at).is_some_and(|level| *level < u32::from(most)) {
                continue;
            }
            if found.next_if_eq(&value).is_some() && self.rows.last() != Some(&row) {
                self.rows.push(row);
            }
            value += 1;
        }
        Some(())
    }
}

/// Levels of a data page, with their length in front, and what follows.
fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

/// Texts as `PLAIN` writes them, each after its length.
struct Texts<'a>(&'a [u8]);

impl<'a> Iterator for Texts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (text, rest) = sized(self.0)?;
        self.0 = rest;
        Some(text)
    }
}

/// Parts of a file that are in memory.
struct Fetched(Vec<(u64, Bytes)>);

impl Fetched {
    async fn new(reader: &mut dyn AsyncFileReader, ranges: Vec<Range<u64>>) -> Result<Fetched> {
        let starts: Vec<u64> = ranges.iter().map(|range| range.start).collect();
        Ok(Fetched(starts.into_iter().zip(reader.get_byte_ranges(ranges).await?).collect()))
    }
}

impl Length for Fetched {
    fn len(&self) -> u64 {
        self.0.last().map_or(0, |(start, bytes)| start + bytes.len() as u64)
    }
}

impl ChunkReader for Fetched {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let (at, bytes) = self.part(start)?;
        Ok(bytes.slice(at..).reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let (at, bytes) = self.part(start)?;
        if bytes.len() < at + length {
            return Err(ParquetError::EOF("a page is longer than its place".into()));
        }
        Ok(bytes.slice(at..at + length))
    }
}

impl Fetched {
    fn part(&self, start: u64) -> Result<(usize, &Bytes)> {
        let after = self.0.partition_point(|(from, _)| *from <= start);
        let part = after.checked_sub(1).map(|at| &self.0[at]);
        part.map(|(from, bytes)| ((start - from) as usize, bytes))
            .filter(|(at, bytes)| *at < bytes.len())
            .ok_or_else(|| ParquetError::EOF("a page that was not fetched".into()))
    }
}
