//! Which promoted keys a file has in none of its maps.
//!
//! A value that does not fit its column stays in the map, and so does one of
//! before the promotion. A file that says of a key that none did spares its
//! readers the map.

use std::collections::BTreeSet;

use arrow::array::{AsArray, MapArray, RecordBatch, StringArray};
use arrow::buffer::Buffer;
use arrow::datatypes::Schema;
use schema::TableDef;
use schema::table::Scope;

use super::codes::maps;

/// The footer's entry: `[{"column": …, "key": …}, …]`, the column of a map and
/// a key of which no row of the file has a value in it.
pub const ABSENT: &str = "cloudsail.absent";

/// What was not met so far.
pub struct Absent(Vec<Map>);

struct Map {
    index: usize,
    name: &'static str,
    keys: BTreeSet<String>,
    /// The offsets of the maps that were looked at last.
    met: Option<Buffer>,
}

impl Absent {
    /// Of rows with this schema, which may lack columns of the table.
    pub fn new(table: &TableDef, rows: &Schema) -> Absent {
        let map = |scope: Scope| {
            let name = scope.map_column();
            let own = table.promotions.iter().filter(|p| p.scope == scope);
            let keys = own.map(|p| p.key.clone()).collect();
            Some(Map { index: rows.index_of(name).ok()?, name, keys, met: None })
        };
        Absent([Scope::Resource, Scope::Scope, Scope::Record].into_iter().filter_map(map).collect())
    }

    pub fn look(&mut self, rows: &RecordBatch) {
        for Map { index, keys, met, .. } in &mut self.0 {
            match maps(rows.column(*index)) {
                // What is held comes again with every chunk.
                Some((maps, Some(_)))
                    if met
                        .as_ref()
                        .is_some_and(|met| met.ptr_eq(maps.offsets().inner().inner())) => {}
                Some((maps, _)) => {
                    meet(maps, keys);
                    *met = Some(maps.offsets().inner().inner().clone());
                }
                None => keys.clear(),
            }
        }
    }

    /// The value of [`ABSENT`].
    pub fn said(&self) -> String {
        let keys = self.0.iter().flat_map(|map| map.keys.iter().map(move |key| (map.name, key)));
        let said = keys.map(|(column, key)| serde_json::json!({"column": column, "key": key}));
        serde_json::Value::from_iter(said).to_string()
    }
}

fn meet(map: &MapArray, keys: &mut BTreeSet<String>) {
    if keys.is_empty() {
        return;
    }
    if let Some(texts) = map.keys().as_string_opt::<i32>() {
        meet_texts(map, texts, keys);
    } else if let Some(codes) = map.keys().as_any_dictionary_opt()
        && let Some(texts) = codes.values().as_string_opt::<i32>()
    {
        for text in texts.iter().flatten() {
            keys.remove(text);
        }
    } else {
        keys.clear();
    }
}

/// Rows that follow each other mostly have the same keys.
fn meet_texts(map: &MapArray, texts: &StringArray, keys: &mut BTreeSet<String>) {
    let mut before = 0..0;
    for ends in map.value_offsets().windows(2) {
        let row = ends[0] as usize..ends[1] as usize;
        for (at, entry) in row.clone().enumerate() {
            let above = before.start + at;
            let is_same = above < before.end && texts.value(above) == texts.value(entry);
            if !is_same {
                keys.remove(texts.value(entry));
            }
        }
        before = row;
    }
}
