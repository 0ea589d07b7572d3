//! A set of attributes in its stored form: sorted by key, the last of equal
//! keys, within the limits, each entry in its promoted column or in the map.

use std::fmt::Write;
use std::ops::Range;

use arrow::error::ArrowError;
use schema::rows::Held;
use schema::{Scope, TableDef};

use super::Limits;
use super::columns::{Finished, MapColumn, Promoted, ShapedMap, Texts};
use super::model::{KeyValue, Value};
use super::outcome::{Warning, Warnings};
use super::text::{letter, render};

/// The order and texts of a set, in buffers that the next set reuses. One
/// `Sorted` is for sets with the same promotions.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    orders: Orders,
    entries: Vec<Entry>,
    /// What became of each slot of the order: the letter of an entry of the map, or
    /// [`ELSEWHERE`].
    fates: Vec<u8>,
    /// Texts that the source does not hold literally.
    scratch: String,
    /// Attributes left out or cut because of the limits.
    pub dropped: i64,
    /// Bytes of keys and texts.
    pub bytes: usize,
}

/// The fate of an attribute that is in no map.
const ELSEWHERE: u8 = 0;

/// Orders of sets that came before, by how long their keys are. A sender's
/// records repeat the keys that the code at a few places gives them, so most sets
/// need no more than a look whether their keys are those of an earlier one.
#[derive(Debug, Default)]
struct Orders {
    /// None before the first set that is not empty.
    orders: Vec<Order>,
    empty: Order,
    /// Which was the order of the last set, unless that was empty.
    last: Option<usize>,
}

impl Orders {
    /// A request mixes the records of some dozen places.
    const COUNT: usize = 64;

    fn of(&mut self, source: &[KeyValue<'_>], promoted: Option<&Promoted<'_>>) -> &Order {
        self.last = None;
        if source.is_empty() {
            return &self.empty;
        }
        if self.orders.is_empty() {
            self.orders.resize_with(Orders::COUNT, Order::default);
        }
        let mix = |hash: u64, length: usize| {
            (hash ^ length as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23)
        };
        let hash = source.iter().map(|pair| pair.key.len()).fold(0, mix);
        let last = hash as usize % Orders::COUNT;
        self.last = Some(last);
        let order = &mut self.orders[last];
        if !order.fits(source) {
            order.make(source, promoted);
        }
        order
    }

    /// The order of the last set.
    fn last(&mut self) -> &mut Order {
        match self.last {
            Some(last) => &mut self.orders[last],
            None => &mut self.empty,
        }
    }
}

/// The keys of a set in order.
#[derive(Debug, Default)]
struct Order {
    slots: Vec<Slot>,
    /// The keys, one after the other.
    keys: String,
    /// Attributes that were left out for a later one with the same key.
    duplicates: usize,
    /// The shape that such a set had last, and the fates of its attributes.
    shape: Option<u32>,
    fates: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// Index in the source.
    source: u32,
    /// Where its key ends in `keys`.
    end: usize,
    /// The column that its key is promoted to.
    promoted: Option<u32>,
}

impl Order {
    fn make(&mut self, source: &[KeyValue<'_>], promoted: Option<&Promoted<'_>>) {
        self.slots.clear();
        self.keys.clear();
        self.shape = None;
        let slot = |source| Slot { source, end: 0, promoted: None };
        self.slots.extend((0..source.len() as u32).map(slot));
        let key = |slot: &Slot| source[slot.source as usize].key.as_ref();
        // The last of equal keys comes first, and stays.
        self.slots.sort_unstable_by(|a, b| key(a).cmp(key(b)).then(b.source.cmp(&a.source)));
        self.slots.dedup_by(|later, first| key(later) == key(first));
        self.duplicates = source.len() - self.slots.len();
        let promotions = promoted.map(Promoted::keys).unwrap_or_default();
        let mut next = 0;
        for slot in &mut self.slots {
            let key = source[slot.source as usize].key.as_ref();
            while promotions.get(next).is_some_and(|promoted| *promoted < key) {
                next += 1;
            }
            let held = promotions.get(next).is_some_and(|promoted| *promoted == key);
            self.keys.push_str(key);
            (slot.end, slot.promoted) = (self.keys.len(), held.then_some(next as u32));
        }
    }

    /// Whether the keys are the same, at the same places.
    fn fits(&self, source: &[KeyValue<'_>]) -> bool {
        let mut start = 0;
        self.duplicates == 0
            && self.slots.len() == source.len()
            && self.slots.iter().all(|slot| {
                let known = &self.keys.as_bytes()[start..slot.end];
                start = slot.end;
                source[slot.source as usize].key.as_bytes() == known
            })
    }
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
        promoted: Option<&Promoted<'_>>,
        limits: &Limits,
        warnings: &mut Warnings,
    ) {
        self.entries.clear();
        self.fates.clear();
        self.scratch.clear();
        (self.dropped, self.bytes) = (0, 0);
        let order = self.orders.of(source, promoted);
        warnings.add_n(Warning::DuplicateKey, order.duplicates as u64);
        for slot in &order.slots {
            let KeyValue { key, value } = &source[slot.source as usize];
            let fits = |column: &u32| promoted.is_some_and(|p| p.fits(*column as usize, value));
            let column = slot.promoted.filter(fits);
            if column.is_none() && self.entries.len() >= limits.max_attributes {
                self.dropped += 1;
                warnings.add(Warning::DroppedAttribute);
                self.fates.push(ELSEWHERE);
                continue;
            }
            let (text, letter) = if column.is_some() && !matches!(value, Value::Text(_)) {
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
            self.fates.push(if column.is_some() { ELSEWHERE } else { letter as u8 });
            self.entries.push(Entry { source: slot.source, column, letter, text });
        }
    }

    /// The shape of what was sorted last.
    fn shape(&mut self, source: &[KeyValue<'_>], shapes: &mut ShapedMap) -> u32 {
        let order = self.orders.last();
        if let Some(shape) = order.shape.filter(|_| order.fates == self.fates) {
            return shape;
        }
        let in_map = self.entries.iter().filter(|entry| entry.column.is_none());
        let keys = in_map.clone().map(|entry| source[entry.source as usize].key.as_ref());
        let shape = shapes.shape(keys, in_map.map(|entry| entry.letter));
        order.shape = Some(shape);
        order.fates.clone_from(&self.fates);
        shape
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

    /// Appends the letters of the map's entries as row `row`, unless all are
    /// strings.
    pub fn append_types(&self, row: usize, types: &mut Texts) {
        let in_map = || self.entries.iter().filter(|entry| entry.column.is_none());
        if in_map().any(|entry| entry.letter != 's') {
            let types = types.at(row);
            for entry in in_map() {
                let _infallible = types.write_char(entry.letter);
            }
            types.append_value("");
        }
    }
}

/// A value's text, cut to `limit` bytes, and whether it was cut.
fn write(value: &Value<'_>, limit: usize, scratch: &mut String) -> (Text, bool) {
    match value {
        Value::Empty => (Text::Null, false),
        Value::Text(text) => {
            let len = match text.len() <= limit {
                true => text.len(),
                false => text.floor_char_boundary(limit),
            };
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
pub(super) struct RecordAttributes<'a> {
    map: ShapedMap,
    promoted: Promoted<'a>,
    pub sorted: Sorted,
}

impl<'a> RecordAttributes<'a> {
    pub fn new(table: &'a TableDef) -> RecordAttributes<'a> {
        RecordAttributes {
            map: ShapedMap::default(),
            promoted: Promoted::new(table, Scope::Record),
            sorted: Sorted::default(),
        }
    }

    pub fn sort(&mut self, source: &[KeyValue<'_>], limits: &Limits, warnings: &mut Warnings) {
        self.sorted.sort(source, Some(&self.promoted), limits, warnings);
    }

    /// Appends what was sorted last as row `row`, and shows it.
    pub fn append(
        &mut self,
        source: &[KeyValue<'_>],
        row: usize,
        mut show: impl FnMut(Attribute<'_>),
    ) {
        let shape = self.sorted.shape(source, &mut self.map);
        for attribute in self.sorted.iter(source) {
            match attribute.column {
                None => self.map.value(attribute.text),
                Some(column) => {
                    let text = attribute.text.unwrap_or_default();
                    self.promoted.set(column, row, attribute.value, text);
                }
            }
            show(attribute);
        }
        self.map.end_row(shape);
    }

    /// Gives what the rows hold once.
    pub fn finish(
        self,
        finished: &mut Finished<'_>,
        table: &TableDef,
        rows: usize,
    ) -> Result<Held, ArrowError> {
        self.promoted.finish(finished, rows);
        self.map.finish(Scope::Record.map_column(), "attribute_types", finished, table)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use schema::Catalog;

    use super::*;

    fn sorted(sorted: &mut Sorted, promoted: &Promoted<'_>, source: &[KeyValue<'_>]) -> String {
        let mut warnings = Warnings::default();
        sorted.sort(source, Some(promoted), &Limits::default(), &mut warnings);
        let all: Vec<_> = sorted.iter(source).collect();
        format!("{all:?} {:?} {} {}", warnings, sorted.bytes, sorted.dropped)
    }

    proptest! {
        /// Scenario: sets of attributes one after another, with keys that repeat
        /// those of the set before, differ by one, come in another order or twice,
        /// some promoted, with values that fit their columns or not.
        /// Guarantees: what was kept of one set changes nothing about the next.
        #[test]
        fn otlp_d7_a_set_comes_out_as_if_it_were_the_first(
            sets in vec(vec((0..6usize, any::<bool>()), 0..5), 1..12)
        ) {
            let catalog = Catalog::default();
            let promoted = Promoted::new(catalog.of(schema::Signal::Traces), Scope::Record);
            let keys = ["a", "http.request.method", "http.response.status_code", "http.route", "z", ""];
            let mut reused = Sorted::default();
            for set in sets {
                let value = |text: &bool| if *text { Value::Text("x".into()) } else { Value::Int(7) };
                let pair = |(key, text): &(usize, bool)| KeyValue {
                    key: keys[*key].into(),
                    value: value(text),
                };
                let source: Vec<KeyValue<'_>> = set.iter().map(pair).collect();
                let alone = sorted(&mut Sorted::default(), &promoted, &source);
                prop_assert_eq!(sorted(&mut reused, &promoted, &source), alone);
            }
        }
    }
}
