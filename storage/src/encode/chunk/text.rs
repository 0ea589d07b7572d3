//! A column chunk of text, flat or in a map, written by codes.
//!
//! Parquet's own writer hashes and compares every text of every row. Here a text
//! that came with a code is looked at once per chunk, and once per page for the
//! bounds; the pages are made of numbers. Texts without codes are written as they
//! are, and so is the rest of a chunk whose dictionary has outgrown
//! [`MOST_BYTES`].

use std::ops::Range;

use ::parquet::bloom_filter::Sbbf;
use ::parquet::column::writer::ColumnCloseResult;
use ::parquet::file::properties::{BloomFilterProperties, WriterProperties};
use ::parquet::schema::types::ColumnDescPtr;
use arrow::array::{Array, ArrayRef, AsArray, MapArray, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::Int32Type;
use bytes::Bytes;

use super::bounds::TextBounds;
use super::held::HeldCodes;
use super::open::Open;
use super::pages::Pages;
use super::press::Press;
use crate::Error;
use crate::encode::codes::{Dictionary, MOST_BYTES, same};

const UNKNOWN: u32 = u32::MAX;

/// A bloom filter on its way.
struct Bloom {
    filter: Sbbf,
    /// To which false answers it is folded in the end.
    fpp: f64,
    /// Nobody needs it while there is a dictionary, whose codes say as much.
    is_for_plain: bool,
}

pub struct TextChunk {
    bloom: Option<Bloom>,
    dictionary: Dictionary,
    /// From here on texts are written as they are.
    is_over: bool,
    /// The texts that codes came with last, and their codes in the dictionary.
    source: Option<StringArray>,
    known: Vec<u32>,
    held: HeldCodes,
    /// By code, the stamp under which its text was looked at last: it changes
    /// with the page where pages have bounds.
    met: Vec<u32>,
    stamp: u32,
    /// Its plain values are texts behind their lengths.
    page: Open<TextBounds>,
    pages: Pages<TextBounds>,
    /// Bytes of text in each page, whatever codes make of them.
    texts: Vec<i64>,
}

/// Texts of rows, with codes or without.
enum Texts<'a> {
    Coded(&'a [i32]),
    Plain(&'a StringArray),
}

impl TextChunk {
    /// `is_looked_up` says that single texts are what the column is asked for: its
    /// bloom filter is written however few there are.
    pub fn new(
        column: ColumnDescPtr,
        properties: &WriterProperties,
        is_looked_up: bool,
    ) -> Result<TextChunk, Error> {
        let path = column.path();
        let bloom = |of: &BloomFilterProperties| -> Result<Bloom, Error> {
            let filter = Sbbf::new_with_ndv_fpp(of.ndv(), of.fpp())?;
            Ok(Bloom { filter, fpp: of.fpp(), is_for_plain: !is_looked_up })
        };
        let bloom = properties.bloom_filter_properties(path).map(bloom).transpose()?;
        Ok(TextChunk {
            bloom,
            dictionary: Dictionary::default(),
            is_over: !properties.dictionary_enabled(path),
            source: None,
            known: Vec::new(),
            held: HeldCodes::default(),
            met: Vec::new(),
            stamp: 0,
            page: Open::default(),
            pages: Pages::new(column, properties),
            texts: Vec::new(),
        })
    }

    /// A column of texts.
    pub fn push(&mut self, texts: &ArrayRef, press: &mut Press) -> Result<(), Error> {
        let (count, nulls) = (texts.len(), texts.nulls().filter(|nulls| nulls.null_count() > 0));
        let none = texts.null_count() == count;
        let texts = self.texts(texts)?;
        let mut row = 0;
        while row < count {
            let (from, until) = (row, count.min(row + self.pages.page_rows - self.page.rows));
            match nulls {
                Some(_) if none => row = until,
                Some(nulls) => {
                    while row < until && !self.is_full() {
                        let valid = nulls.is_valid(row);
                        if valid {
                            self.put(&texts, row)?;
                        }
                        self.page.definition.push(u8::from(valid), 1);
                        self.page.nulls += u64::from(!valid);
                        row += 1;
                    }
                }
                None => {
                    while row < until && !self.is_full() {
                        self.put(&texts, row)?;
                        row += 1;
                    }
                }
            }
            if nulls.is_none() || none {
                self.page.flat(row - from, u8::from(!none));
                self.page.nulls += if none { (row - from) as u64 } else { 0 };
            }
            self.page.rows += row - from;
            self.end_rows(press)?;
        }
        Ok(())
    }

    /// The keys or the values of a map.
    pub fn push_of(
        &mut self,
        map: &MapArray,
        texts: &ArrayRef,
        press: &mut Press,
    ) -> Result<(), Error> {
        let (rows, nulls) = (map.nulls(), texts.nulls().filter(|nulls| nulls.null_count() > 0));
        let texts = self.texts(texts)?;
        for (row, ends) in map.value_offsets().windows(2).enumerate() {
            let entries = ends[0] as usize..ends[1] as usize;
            let is_there = rows.is_none_or(|rows| rows.is_valid(row));
            self.put_entries(is_there, entries, nulls, &texts)?;
            self.page.rows += 1;
            self.end_rows(press)?;
        }
        Ok(())
    }

    /// The same of maps that are held, of which `of` names that of each row. A map is
    /// looked at once, later rows with it copy its codes.
    pub fn push_held(
        &mut self,
        of: &[u32],
        maps: &MapArray,
        texts: &ArrayRef,
        press: &mut Press,
    ) -> Result<(), Error> {
        let nulls = texts.nulls().filter(|nulls| nulls.null_count() > 0);
        let most = self.pages.column.max_def_level() as u8;
        let (offsets, all) = (maps.value_offsets(), self.texts(texts)?);
        self.held.come_from(maps, texts);
        for map in of.iter().map(|map| *map as usize) {
            match self.held.codes_of(map).filter(|_| !self.is_over) {
                Some(codes) => {
                    let page = &mut self.page;
                    page.codes.extend_from_slice(codes);
                    page.repetition.push(0, 1);
                    page.repetition.push(1, codes.len() - 1);
                    page.definition.push(most, codes.len());
                }
                None => {
                    let entries = offsets[map] as usize..offsets[map + 1] as usize;
                    let (count, from) = (entries.len(), self.page.codes.len());
                    self.put_entries(maps.is_valid(map), entries, nulls, &all)?;
                    let codes = &self.page.codes[from..];
                    // Bounds of a page want to meet what the page has.
                    if !self.pages.is_paged && count > 0 && codes.len() == count {
                        self.held.keep(map, codes);
                    }
                }
            }
            self.page.rows += 1;
            self.end_rows(press)?;
        }
        Ok(())
    }

    /// The entries that a row has.
    fn put_entries(
        &mut self,
        is_there: bool,
        entries: Range<usize>,
        nulls: Option<&NullBuffer>,
        texts: &Texts<'_>,
    ) -> Result<(), Error> {
        let most = self.pages.column.max_def_level() as u8;
        let page = &mut self.page;
        page.repetition.push(0, 1);
        if !is_there || entries.is_empty() {
            page.definition.push(u8::from(is_there), 1);
            page.nulls += 1;
            return Ok(());
        }
        page.repetition.push(1, entries.len() - 1);
        match nulls {
            None => {
                page.definition.push(most, entries.len());
                for entry in entries {
                    self.put(texts, entry)?;
                }
            }
            Some(nulls) => {
                for entry in entries {
                    let valid = nulls.is_valid(entry);
                    self.page.definition.push(most - u8::from(!valid), 1);
                    self.page.nulls += u64::from(!valid);
                    if valid {
                        self.put(texts, entry)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Bytes that the chunk has so far.
    pub fn size(&self) -> usize {
        self.pages.size() + self.dictionary.bytes() + self.page.plain.len() + self.page.codes.len()
    }

    fn texts<'a>(&mut self, texts: &'a ArrayRef) -> Result<Texts<'a>, Error> {
        let Some(coded) = texts.as_dictionary_opt::<Int32Type>() else {
            return match texts.as_string_opt::<i32>() {
                Some(texts) => Ok(Texts::Plain(texts)),
                None => Err(Error::Internal(format!(
                    "{} is {}, not text",
                    self.pages.column.path(),
                    texts.data_type()
                ))),
            };
        };
        let Some(values) = coded.values().as_string_opt::<i32>() else {
            return Err(Error::Internal(format!(
                "{} has codes of no text",
                self.pages.column.path()
            )));
        };
        if !self.source.as_ref().is_some_and(|texts| same(texts, values)) {
            self.source = Some(values.clone());
            self.known.clear();
            self.known.resize(values.len(), UNKNOWN);
        }
        Ok(Texts::Coded(coded.keys().values()))
    }

    fn put(&mut self, texts: &Texts<'_>, at: usize) -> Result<(), Error> {
        let (source, text) = match (texts, &self.source) {
            (Texts::Coded(codes), Some(texts)) => {
                let source = codes[at] as usize;
                if !self.is_over
                    && let code = self.known[source]
                    && code != UNKNOWN
                    && self.met[code as usize] == self.stamp
                {
                    self.page.codes.push(code);
                    return Ok(());
                }
                (Some(source), texts.value(source).as_bytes())
            }
            (Texts::Plain(texts), _) => (None, texts.value(at).as_bytes()),
            // Codes are not read before what they stand for is known.
            (Texts::Coded(_), None) => return Ok(()),
        };
        let page = &mut self.page;
        if self.is_over {
            page.plain.extend_from_slice(&(text.len() as u32).to_le_bytes());
            page.plain.extend_from_slice(text);
        } else {
            let known = source.map(|source| self.known[source]).filter(|code| *code != UNKNOWN);
            let code = match known {
                Some(code) => code,
                None => self.dictionary.code(text),
            };
            if let Some(source) = source {
                self.known[source] = code;
            }
            page.codes.push(code);
            if self.met.len() <= code as usize {
                self.met.push(UNKNOWN);
            }
            if self.met[code as usize] == self.stamp {
                return Ok(());
            }
            self.met[code as usize] = self.stamp;
        }
        page.bounds.meet(text);
        if let Some(bloom) = &mut self.bloom
            && (self.is_over || !bloom.is_for_plain)
        {
            bloom.filter.insert(text);
        }
        Ok(())
    }

    /// Whether the page has to end before it has all its rows.
    fn is_full(&self) -> bool {
        self.page.is_full() || (!self.is_over && self.dictionary.bytes() >= MOST_BYTES)
    }

    fn end_rows(&mut self, press: &mut Press) -> Result<(), Error> {
        if self.page.rows >= self.pages.page_rows || self.is_full() {
            self.end_page(press)?;
        }
        if !self.is_over && self.dictionary.bytes() >= MOST_BYTES {
            self.is_over = true;
            if let Some(bloom) = self.bloom.as_mut().filter(|bloom| bloom.is_for_plain) {
                for code in 0..self.dictionary.count() as u32 {
                    bloom.filter.insert(self.dictionary.text(code));
                }
            }
        }
        Ok(())
    }

    fn end_page(&mut self, press: &mut Press) -> Result<(), Error> {
        let page = &mut self.page;
        if page.rows == 0 {
            return Ok(());
        }
        let (texts, distinct) = match self.is_over {
            true => {
                let lengths = 4 * (page.definition.count() as u64 - page.nulls);
                ((page.plain.len() as u64 - lengths) as i64, None)
            }
            false => {
                let length = |code: &u32| i64::from(self.dictionary.length(*code));
                (page.codes.iter().map(length).sum(), Some(self.dictionary.count()))
            }
        };
        self.texts.push(texts);
        self.stamp += u32::from(self.pages.is_paged);
        self.pages.write(page, distinct, press)
    }

    /// The chunk as it stands in a file, and what a file says of it.
    pub fn finish(mut self, press: &mut Press) -> Result<(Bytes, ColumnCloseResult), Error> {
        self.end_page(press)?;
        if self.pages.are_coded() {
            press.body.clear();
            for code in 0..self.dictionary.count() as u32 {
                let text = self.dictionary.text(code);
                press.body.extend_from_slice(&(text.len() as u32).to_le_bytes());
                press.body.extend_from_slice(text);
            }
            self.pages.set_dictionary(self.dictionary.count(), press)?;
        }
        let is_over = self.is_over;
        let bloom = self.bloom.filter(|bloom| is_over || !bloom.is_for_plain).map(|bloom| {
            let Bloom { mut filter, fpp, .. } = bloom;
            filter.fold_to_target_fpp(fpp);
            filter
        });
        self.pages.finish(&self.texts, bloom)
    }
}
