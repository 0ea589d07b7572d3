//! Which columns of a table stand in the rows themselves and which are held once
//! for many rows.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;

use crate::table::Of;

/// A column that is held has one value for all rows that name the same row of
/// its set.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    /// The table's columns.
    pub schema: SchemaRef,
    pub own: SchemaRef,
    /// What is held: the columns of origins ([`ORIGINS`](super::ORIGINS)), then, if
    /// the table has any, those of heads.
    pub held: Vec<SchemaRef>,
    pub(super) places: Vec<Place>,
}

/// Where a column of the table stands, and its index there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Own(usize),
    /// In a set, by the set's index.
    Held(usize, usize),
}

impl Layout {
    pub(crate) fn new(schema: SchemaRef, of: impl Fn(usize) -> Of) -> Layout {
        let (mut own, mut held) = (Vec::new(), [Vec::new(), Vec::new()]);
        let mut places = Vec::with_capacity(schema.fields().len());
        for (column, field) in schema.fields().iter().enumerate() {
            let set = match of(column) {
                Of::Row => {
                    places.push(Place::Own(own.len()));
                    own.push(field.clone());
                    continue;
                }
                Of::Origin => 0,
                Of::Head => 1,
            };
            places.push(Place::Held(set, held[set].len()));
            held[set].push(field.clone());
        }
        let [origin, head] = held;
        let heads = (!head.is_empty()).then_some(head);
        let held = std::iter::once(origin).chain(heads);
        let held = held.map(|fields| Arc::new(Schema::new(fields))).collect();
        Layout { own: Arc::new(Schema::new(own)), held, schema, places }
    }

    /// Where the column of the table with this index stands.
    pub fn place(&self, column: usize) -> Place {
        self.places[column]
    }

    /// The same by the column's name.
    pub fn find(&self, name: &str) -> Result<Place, ArrowError> {
        self.schema.index_of(name).map(|column| self.places[column])
    }
}
