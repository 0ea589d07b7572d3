//! A set of attributes in its stored form: sorted by key, the last of equal
//! keys, within the limits, each entry in its promoted column or in the map.

use std::ops::Range;

use arrow::array::StringBuilder;
use arrow::error::ArrowError;
use schema::{Scope, TableDef};

use super::Limits;
use super::columns::{Finished, MapColumn, Promoted, Sparse};
use super::model::{KeyValue, Value};
use super::outcome::{Warning, Warnings};
use super::text::{letter, render};

/// The order and texts of a set, in buffers that the next set reuses.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    order: Vec<u32>,
    entries: Vec<Entry>,
    /// Texts that the source does not hold literally.
    scratch: String,
    /// Attributes left out or cut because of the limits.
    pub dropped: i64,
    /// Bytes of keys and texts.
    pub bytes: usize,
}

#[derive(Debug)]
struct Entry {
    /// Index in the source.
    source: u32,
    /// The promoted column, or the map.
    column: Option<u32>,
    letter: char,
    text: Text,
}

#[derive(Debug)]
enum Text {
    Null,
    /// That many bytes of the source's string.
    Source(usize),
    Scratch(Range<usize>),
}

/// An entry with what it refers to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attribute<'s> {
    pub key: &'s str,
    pub value: &'s Value<'s>,
    /// The promoted column that holds it instead of the map.
    pub column: Option<usize>,
    pub letter: char,
    /// None for an empty value and for numbers and booleans in a column.
    pub text: Option<&'s str>,
}

impl Sorted {
    pub fn sort(
        &mut self,
        source: &[KeyValue<'_>],
        promoted: Option<&Promoted>,
        limits: &Limits,
        warnings: &mut Warnings,
    ) {
        self.entries.clear();
        self.scratch.clear();
        (self.dropped, self.bytes) = (0, 0);
        self.order.clear();
        self.order.extend(0..source.len() as u32);
        let key = |at: u32| source[at as usize].key.as_ref();
        self.order.sort_unstable_by(|a, b| key(*a).cmp(key(*b)).then(a.cmp(b)));

        let keys = promoted.map(Promoted::keys).unwrap_or_default();
        let mut next_promoted = 0;
        for (index, at) in self.order.iter().enumerate() {
            let KeyValue { key, value } = &source[*at as usize];
            if self.order.get(index + 1).is_some_and(|next| source[*next as usize].key == *key) {
                warnings.add(Warning::DuplicateKey);
                continue;
            }
            while keys.get(next_promoted).is_some_and(|promoted| promoted.as_str() < key.as_ref()) {
                next_promoted += 1;
            }
            let held = keys.get(next_promoted).is_some_and(|promoted| *promoted == *key);
            let fits = held && promoted.is_some_and(|p| p.fits(next_promoted, value));
            if !fits && self.entries.len() >= limits.max_attributes {
                self.dropped += 1;
                warnings.add(Warning::DroppedAttribute);
                continue;
            }
            let (text, letter) = if fits && !matches!(value, Value::Text(_)) {
                (Text::Null, letter(value))
            } else {
                let (text, cut) = write(value, limits.max_value_bytes, &mut self.scratch);
                if cut {
                    self.dropped += 1;
                    warnings.add(Warning::CutValue);
                }
                // A cut array is not JSON any more, only text.
                let cut_json = cut && matches!(value, Value::Array(_) | Value::Map(_));
                (text, if cut_json { 's' } else { letter(value) })
            };
            self.bytes += key.len()
                + match &text {
                    Text::Null => 8,
                    Text::Source(len) => *len,
                    Text::Scratch(range) => range.len(),
                };
            let column = fits.then_some(next_promoted as u32);
            self.entries.push(Entry { source: *at, column, letter, text });
        }
    }

    /// The entries in order; `source` is what was sorted.
    pub fn iter<'s>(
        &'s self,
        source: &'s [KeyValue<'_>],
    ) -> impl Iterator<Item = Attribute<'s>> + Clone {
        self.entries.iter().map(move |entry| {
            let KeyValue { key, value } = &source[entry.source as usize];
            let text = match (&entry.text, value) {
                (Text::Source(len), Value::Text(text)) => Some(&text[..*len]),
                (Text::Scratch(range), _) => Some(&self.scratch[range.clone()]),
                _ => None,
            };
            let column = entry.column.map(|column| column as usize);
            Attribute { key, value, column, letter: entry.letter, text }
        })
    }

    /// Appends the entries without a column as one row of a map.
    pub fn append_map(&self, source: &[KeyValue<'_>], map: &mut MapColumn) {
        for attribute in self.iter(source).filter(|attribute| attribute.column.is_none()) {
            map.entry(attribute.key, attribute.text);
        }
        map.end_row();
    }

    /// The letters of the map's entries, None when all are strings.
    pub fn types(&self) -> Option<String> {
        let in_map = || self.entries.iter().filter(|entry| entry.column.is_none());
        let mixed = in_map().any(|entry| entry.letter != 's');
        mixed.then(|| in_map().map(|entry| entry.letter).collect())
    }
}

/// A value's text, cut to `limit` bytes, and whether it was cut.
fn write(value: &Value<'_>, limit: usize, scratch: &mut String) -> (Text, bool) {
    match value {
        Value::Empty => (Text::Null, false),
        Value::Text(text) => {
            let len = text.floor_char_boundary(limit);
            (Text::Source(len), len < text.len())
        }
        Value::Bytes(bytes) => {
            // Whole groups of base64, so that what is left still decodes.
            let most = limit / 4 * 3;
            let kept = &bytes[..bytes.len().min(most)];
            let start = scratch.len();
            render(&Value::Bytes(kept.into()), scratch);
            (Text::Scratch(start..scratch.len()), kept.len() < bytes.len())
        }
        other => {
            let start = scratch.len();
            render(other, scratch);
            let end = scratch.floor_char_boundary(start.saturating_add(limit));
            let cut = end < scratch.len();
            scratch.truncate(end);
            (Text::Scratch(start..end), cut)
        }
    }
}

/// The columns of the records' own attributes.
#[derive(Debug)]
pub(super) struct RecordAttributes {
    map: MapColumn,
    types: StringBuilder,
    promoted: Promoted,
    pub sorted: Sorted,
}

impl RecordAttributes {
    pub fn new(table: &TableDef) -> RecordAttributes {
        RecordAttributes {
            map: MapColumn::new(),
            types: StringBuilder::new(),
            promoted: Promoted::new(table, Scope::Record),
            sorted: Sorted::default(),
        }
    }

    pub fn sort(&mut self, source: &[KeyValue<'_>], limits: &Limits, warnings: &mut Warnings) {
        self.sorted.sort(source, Some(&self.promoted), limits, warnings);
    }

    /// Appends what was sorted last as row `row`.
    pub fn append(&mut self, source: &[KeyValue<'_>], row: usize) {
        self.sorted.append_map(source, &mut self.map);
        if let Some(types) = self.sorted.types() {
            self.types.at(row).append_value(types);
        }
        for attribute in self.sorted.iter(source) {
            if let Some(column) = attribute.column {
                let text = attribute.text.unwrap_or_default();
                self.promoted.set(column, row, 1, attribute.value, text);
            }
        }
    }

    pub fn finish(self, finished: &mut Finished, rows: usize) -> Result<(), ArrowError> {
        finished.add(Scope::Record.map_column(), self.map.finish()?);
        finished.sparse("attribute_types", self.types, rows);
        for (name, column) in self.promoted.finish(rows) {
            finished.add(&name, column);
        }
        Ok(())
    }
}
