//! A series' attributes, whole: a key that has a column is put back under its
//! name, so that `attributes['k']` finds it wherever a file keeps it.

use arrow::array::{Array, AsArray, MapBuilder, MapFieldNames, RecordBatch, StringBuilder};
use arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::{Expr, cast};
use schema::TableDef;
use schema::table::Scope;

use super::super::column;

/// The scopes in the order of the columns.
const SCOPES: [Scope; 3] = [Scope::Record, Scope::Scope, Scope::Resource];

/// Keys with columns: their scope, their name, the column.
#[derive(Debug)]
pub(super) struct Promoted(Vec<(Scope, String, String)>);

/// The entries of one map, sorted by key.
type Entries = Vec<(String, Option<String>)>;

/// The three maps of one series.
#[derive(Debug, Default)]
pub(super) struct Identity([Entries; 3]);

impl Promoted {
    pub fn of(def: Option<&TableDef>) -> Promoted {
        let all = def.iter().flat_map(|def| &def.promotions);
        Promoted(all.map(|p| (p.scope, p.key.clone(), p.column.clone())).collect())
    }

    /// Whether any of the maps is among these columns.
    pub fn shown(&self, columns: &[&str]) -> bool {
        SCOPES.iter().any(|scope| columns.contains(&scope.map_column()))
    }

    /// The columns that the maps are made of.
    pub fn columns(&self) -> Vec<Expr> {
        let maps = SCOPES.iter().map(|scope| column(scope.map_column()));
        let promoted = self
            .0
            .iter()
            .enumerate()
            .map(|(at, (_, _, name))| cast(column(name), DataType::Utf8).alias(name_of(at)));
        maps.chain(promoted).collect()
    }

    /// The maps of a row; empty where nobody asked for them.
    pub fn read(&self, rows: &RecordBatch, row: usize) -> Identity {
        let mut identity = Identity::default();
        for (scope, entries) in SCOPES.iter().zip(&mut identity.0) {
            let Some(map) = rows.column_by_name(scope.map_column()) else { continue };
            if let Some(map) = map.as_map_opt().filter(|map| map.is_valid(row)) {
                let held = map.value(row);
                let (keys, values) = (held.column(0), held.column(1));
                if let (Some(keys), Some(values)) =
                    (keys.as_string_opt::<i32>(), values.as_string_opt::<i32>())
                {
                    let pairs = keys.iter().zip(values.iter());
                    entries.extend(pairs.filter_map(|(key, value)| {
                        Some((key?.to_owned(), value.map(str::to_owned)))
                    }));
                }
            }
            for (at, (of, key, _)) in self.0.iter().enumerate() {
                let values = rows.column_by_name(&name_of(at));
                let values = values.and_then(|values| values.as_string_opt::<i32>());
                if let Some(values) = values.filter(|v| of == scope && v.is_valid(row)) {
                    entries.push((key.clone(), Some(values.value(row).to_owned())));
                }
            }
            entries.sort();
            // Two keys may share a column; a value is never in two places.
            entries.dedup_by(|a, b| a.0 == b.0);
        }
        identity
    }
}

fn name_of(at: usize) -> String {
    format!("__promoted {at}")
}

impl Identity {
    pub fn bytes(&self) -> usize {
        let all = self.0.iter().flatten();
        all.map(|(key, value)| 48 + key.len() + value.as_ref().map_or(0, String::len)).sum()
    }
}

type Maps = MapBuilder<StringBuilder, StringBuilder>;

/// The three map columns in the making.
pub(super) struct Columns([Maps; 3]);

impl Columns {
    pub fn new() -> Columns {
        Columns(std::array::from_fn(|_| {
            let names = MapFieldNames {
                entry: "key_value".into(),
                key: "key".into(),
                value: "value".into(),
            };
            MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
        }))
    }

    pub fn push(&mut self, identity: &Identity) -> Result<(), DataFusionError> {
        for (column, entries) in self.0.iter_mut().zip(&identity.0) {
            for (key, value) in entries {
                column.keys().append_value(key);
                column.values().append_option(value.as_ref());
            }
            column.append(true)?;
        }
        Ok(())
    }

    pub fn finish(&mut self) -> impl Iterator<Item = arrow::array::ArrayRef> {
        self.0.iter_mut().map(|column| std::sync::Arc::new(column.finish()) as _)
    }
}
