//! Which columns of a table stand in the rows themselves and which are held once
//! for many rows.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;

use crate::table::Of;

/// A column that is held has one value for all rows that name the same row of
/// its set.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    /// The table's columns.
    pub schema: SchemaRef,
    pub own: SchemaRef,
    /// The sets that are held: that of origins ([`ORIGINS`](super::ORIGINS)), then
    /// those of heads and of shapes, if the table has any.
    pub held: Vec<SchemaRef>,
    /// What each set holds, in the same order.
    pub sets: Vec<Of>,
    pub(super) places: Vec<Place>,
}

/// Where a column of the table stands, and its index there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Own(usize),
    /// In a set, by the set's index.
    Held(usize, usize),
    /// A map: the rows have its values as lists, and a set has its keys.
    Shaped {
        own: usize,
        set: usize,
        keys: usize,
    },
}

impl Layout {
    pub(crate) fn new(schema: SchemaRef, of: impl Fn(usize) -> Of) -> Layout {
        let columns = 0..schema.fields().len();
        let has = |set: &Of| *set == Of::Origin || columns.clone().any(|column| of(column) == *set);
        let sets: Vec<Of> = [Of::Origin, Of::Head, Of::Shape].into_iter().filter(has).collect();
        let mut own: Vec<FieldRef> = Vec::new();
        let mut held: Vec<Vec<FieldRef>> = vec![Vec::new(); sets.len()];
        let mut places = Vec::with_capacity(schema.fields().len());
        for (column, field) in schema.fields().iter().enumerate() {
            let Some(set) = sets.iter().position(|set| *set == of(column)) else {
                places.push(Place::Own(own.len()));
                own.push(field.clone());
                continue;
            };
            places.push(match entries(field).filter(|_| sets[set] == Of::Shape) {
                Some((key, value)) => {
                    let place = Place::Shaped { own: own.len(), set, keys: held[set].len() };
                    own.push(list(field.name(), value, field.is_nullable()));
                    held[set].push(list(field.name(), key, false));
                    place
                }
                None => {
                    held[set].push(field.clone());
                    Place::Held(set, held[set].len() - 1)
                }
            });
        }
        let held = held.into_iter().map(|fields| Arc::new(Schema::new(fields))).collect();
        Layout { own: Arc::new(Schema::new(own)), held, sets, schema, places }
    }

    /// Where the column of the table with this index stands.
    pub fn place(&self, column: usize) -> Place {
        self.places[column]
    }

    /// The same by the column's name.
    pub fn find(&self, name: &str) -> Result<Place, ArrowError> {
        self.schema.index_of(name).map(|column| self.places[column])
    }

    /// The index of a set, if the table has it.
    pub fn set(&self, of: Of) -> Option<usize> {
        self.sets.iter().position(|set| *set == of)
    }
}

/// The keys and the values of a map.
fn entries(field: &Field) -> Option<(&FieldRef, &FieldRef)> {
    match field.data_type() {
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => Some((fields.first()?, fields.get(1)?)),
            _ => None,
        },
        _ => None,
    }
}

fn list(name: &str, element: &FieldRef, nullable: bool) -> FieldRef {
    Arc::new(Field::new(name, DataType::List(element.clone()), nullable))
}
