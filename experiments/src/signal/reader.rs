//! A batch as what recognising reads of it: whether any row can be a signal at
//! all, by one look over the keys of its attributes, and then values by key.

use arrow::array::{Array as _, ArrayRef, AsArray as _, StringArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use memchr::memmem;
use schema::rows::Place;
use schema::{Batch, Rows, Scope, TableDef};

pub struct Reader<'a> {
    rows: &'a Rows,
    table: &'a TableDef,
    time: Option<ArrayRef>,
    ingest: Option<ArrayRef>,
    record: Option<Keyed<'a>>,
    resource: Option<ArrayRef>,
}

/// The records' own attributes: values row by row, and keys that many rows share.
struct Keyed<'a> {
    values: ArrayRef,
    keys: ArrayRef,
    of: &'a [u32],
}

impl<'a> Reader<'a> {
    pub fn new(batch: &'a Batch) -> Reader<'a> {
        let mut reader = Reader {
            rows: &batch.rows,
            table: &batch.table,
            time: None,
            ingest: None,
            record: None,
            resource: None,
        };
        reader.time = reader.column("time_unix_nano");
        reader.ingest = reader.column("ingest_time");
        reader.record = reader.keyed(Scope::Record.map_column());
        reader.resource = reader.column(Scope::Resource.map_column());
        reader
    }

    pub fn rows(&self) -> usize {
        self.rows.num_rows()
    }

    /// A column, of the rows or held for many; `None` where all are NULL.
    fn column(&self, name: &str) -> Option<ArrayRef> {
        match self.rows.layout().find(name).ok()? {
            Place::Own(index) | Place::Shaped { own: index, .. } => self.rows.own()[index].clone(),
            Place::Held(set, index) => Some(self.rows.held()[set].values.column(index).clone()),
        }
    }

    fn keyed(&self, name: &str) -> Option<Keyed<'a>> {
        let Place::Shaped { own, set, keys } = self.rows.layout().find(name).ok()? else {
            return None;
        };
        let held = &self.rows.held()[set];
        let values = self.rows.own()[own].clone()?;
        Some(Keyed { values, keys: held.values.column(keys).clone(), of: &held.of })
    }

    /// Whether a key with these letters in it stands anywhere among the records'
    /// attributes: the bytes of all keys that they share are looked over as one.
    pub fn mentions(&self, letters: &memmem::Finder<'_>) -> bool {
        let keys = self.record.as_ref().and_then(|record| record.keys.as_list_opt::<i32>());
        let keys = keys.and_then(|keys| keys.values().as_string_opt::<i32>());
        keys.is_some_and(|keys| letters.find(keys.value_data()).is_some())
    }

    /// Whether a record's key has a column of its own, with anything in it.
    pub fn promotes(&self, key: &str) -> bool {
        let promotion = self.table.promotion(Scope::Record, key);
        promotion.is_some_and(|promotion| self.column(&promotion.column).is_some())
    }

    /// A text column's value.
    pub fn text(&self, name: &str, row: usize) -> Option<String> {
        let at = self.at(self.rows.layout().find(name).ok()?, row);
        let column = self.column(name)?;
        let texts = column.as_string_opt::<i32>()?;
        (at < texts.len() && texts.is_valid(at)).then(|| texts.value(at).to_owned())
    }

    pub fn long(&self, name: &str, row: usize) -> Option<i64> {
        let column = self.column(name)?;
        let longs = column.as_primitive_opt::<Int64Type>()?;
        longs.is_valid(row).then(|| longs.value(row))
    }

    fn at(&self, place: Place, row: usize) -> usize {
        match place {
            Place::Own(_) | Place::Shaped { .. } => row,
            Place::Held(set, _) => self.rows.held()[set].of[row] as usize,
        }
    }

    /// When it happened by the sender's clock, else when it arrived.
    pub fn time(&self, row: usize) -> i64 {
        let longs = self.time.as_ref().and_then(|column| column.as_primitive_opt::<Int64Type>());
        let sent = longs.filter(|longs| longs.is_valid(row)).map(|longs| longs.value(row));
        let micros = self.ingest.as_ref();
        let micros = micros.and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
        let arrived = || micros.map_or(0, |micros| micros.value(row).saturating_mul(1_000));
        sent.filter(|sent| *sent > 0).unwrap_or_else(arrived)
    }

    /// An attribute of a record.
    pub fn record(&self, key: &str, row: usize) -> Option<String> {
        self.promoted(Scope::Record, key, row).or_else(|| find(self.entries_of(row), key))
    }

    /// An attribute of a record's resource.
    pub fn resource(&self, key: &str, row: usize) -> Option<String> {
        let origin = self.rows.origin_of()[row] as usize;
        self.promoted(Scope::Resource, key, row).or_else(|| {
            let map = self.resource.as_ref()?.as_map_opt()?;
            let entries = (origin < map.len() && map.is_valid(origin)).then(|| map.value(origin));
            find(entries.map(|e| (e.column(0).clone(), e.column(1).clone())), key)
        })
    }

    /// Of the record, else of the resource.
    pub fn either(&self, key: &str, row: usize) -> Option<String> {
        self.record(key, row).or_else(|| self.resource(key, row))
    }

    fn promoted(&self, scope: Scope, key: &str, row: usize) -> Option<String> {
        let promotion = self.table.promotion(scope, key)?;
        let place = self.rows.layout().find(&promotion.column).ok()?;
        let column = self.column(&promotion.column)?;
        let at = self.at(place, row);
        if let Some(texts) = column.as_string_opt::<i32>() {
            return texts.is_valid(at).then(|| texts.value(at).to_owned());
        }
        let longs = column.as_primitive_opt::<Int64Type>()?;
        longs.is_valid(at).then(|| longs.value(at).to_string())
    }

    /// The attributes that a record has in its map.
    pub fn entries(&self, row: usize) -> Vec<(String, String)> {
        entries(self.entries_of(row))
    }

    fn entries_of(&self, row: usize) -> Option<(ArrayRef, ArrayRef)> {
        let record = self.record.as_ref()?;
        let values = record.values.as_list_opt::<i32>()?;
        let keys = record.keys.as_list_opt::<i32>()?;
        let shape = *record.of.get(row)? as usize;
        values.is_valid(row).then(|| (keys.value(shape), values.value(row)))
    }

    /// The services of the batch's origins, for a look at all rows at once.
    pub fn has_service(&self, name: &str) -> bool {
        let column = self.column("service_name");
        let names = column.as_ref().and_then(|column| column.as_string_opt::<i32>());
        names.is_some_and(|names| names.iter().flatten().any(|known| known == name))
    }
}

fn find(of: Option<(ArrayRef, ArrayRef)>, key: &str) -> Option<String> {
    entries(of).into_iter().find(|(known, _)| known == key).map(|(_, value)| value)
}

/// Keys and values as pairs, without those that have no value.
fn entries(of: Option<(ArrayRef, ArrayRef)>) -> Vec<(String, String)> {
    let texts = |array: &ArrayRef| array.as_string_opt::<i32>().cloned();
    let pair =
        |(key, value): (Option<&str>, Option<&str>)| Some((key?.to_owned(), value?.to_owned()));
    let pairs = |(keys, values): (StringArray, StringArray)| {
        keys.iter().zip(values.iter()).filter_map(pair).collect()
    };
    of.and_then(|(keys, values)| texts(&keys).zip(texts(&values))).map(pairs).unwrap_or_default()
}
