//! The typed columns of promoted attribute keys.

use schema::{ColumnType, Scope, TableDef};

use super::super::model::Value;
use super::lazy::{FEW, ROOM};
use super::{Finished, Flags, SomeDoubles, SomeLongs, Texts};

/// The promotions of one scope, sorted by key, each with its column.
#[derive(Debug)]
pub(crate) struct Promoted<'a> {
    keys: Vec<&'a str>,
    columns: Vec<Column<'a>>,
}

#[derive(Debug)]
struct Column<'a> {
    name: &'a str,
    builder: Builder,
}

#[derive(Debug)]
enum Builder {
    Text(Texts),
    Int(SomeLongs),
    Double(SomeDoubles),
    Bool(Flags),
}

impl<'a> Promoted<'a> {
    pub fn new(table: &'a TableDef, scope: Scope) -> Promoted<'a> {
        let mut promotions: Vec<_> =
            table.promotions.iter().filter(|promotion| promotion.scope == scope).collect();
        // Of two promotions of one key the first counts, as in `TableDef`.
        promotions.sort_by(|a, b| a.key.cmp(&b.key));
        promotions.dedup_by(|later, first| later.key == first.key);
        let room = if scope == Scope::Record { ROOM } else { FEW };
        let columns = promotions.iter().map(|promotion| Column {
            name: &promotion.column,
            builder: match promotion.kind {
                ColumnType::Text => Builder::Text(Texts::with_room(room)),
                ColumnType::Int => Builder::Int(SomeLongs::with_room(room)),
                ColumnType::Double => Builder::Double(SomeDoubles::with_room(room)),
                ColumnType::Bool => Builder::Bool(Flags::with_room(room)),
            },
        });
        let columns = columns.collect();
        Promoted {
            keys: promotions.iter().map(|promotion| promotion.key.as_str()).collect(),
            columns,
        }
    }

    /// The promoted keys in order; a key's index is its column's.
    pub fn keys(&self) -> &[&'a str] {
        &self.keys
    }

    pub fn position(&self, key: &str) -> Option<usize> {
        self.keys.binary_search_by(|held| (*held).cmp(key)).ok()
    }

    /// Whether a value has the type of the column; else it stays in the map.
    pub fn fits(&self, column: usize, value: &Value<'_>) -> bool {
        let Some(column) = self.columns.get(column) else { return false };
        matches!(
            (&column.builder, value),
            (Builder::Text(_), Value::Text(_))
                | (Builder::Int(_), Value::Int(_))
                | (Builder::Double(_), Value::Double(_))
                | (Builder::Bool(_), Value::Bool(_))
        )
    }

    /// Sets row `row` of a column to a value that fits it; a text may have
    /// been cut.
    pub fn set(&mut self, column: usize, row: usize, value: &Value<'_>, text: &str) {
        let Some(column) = self.columns.get_mut(column) else { return };
        match (&mut column.builder, value) {
            (Builder::Text(builder), Value::Text(_)) => builder.at(row).append_value(text),
            (Builder::Int(builder), Value::Int(value)) => builder.set(row, *value),
            (Builder::Double(builder), Value::Double(value)) => builder.set(row, *value),
            (Builder::Bool(builder), Value::Bool(value)) => builder.at(row).append_value(*value),
            _ => {}
        }
    }

    pub fn finish(self, finished: &mut Finished<'_>, rows: usize) {
        for Column { name, builder } in self.columns {
            match builder {
                Builder::Text(builder) => finished.sparse(name, builder, rows),
                Builder::Int(builder) => finished.add_if_any(name, builder.column(rows)),
                Builder::Double(builder) => finished.add_if_any(name, builder.column(rows)),
                Builder::Bool(builder) => finished.sparse(name, builder, rows),
            }
        }
    }
}
