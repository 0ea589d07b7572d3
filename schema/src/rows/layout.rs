//! Which columns of a table stand in the rows themselves and which in their
//! origins.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;

/// A column of an origin has one value for all rows of a resource and scope.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    /// The table's columns.
    pub schema: SchemaRef,
    pub own: SchemaRef,
    pub origin: SchemaRef,
    pub(super) places: Vec<Place>,
}

/// Where a column of the table stands, and its index there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Own(usize),
    Origin(usize),
}

impl Layout {
    pub(crate) fn new(schema: SchemaRef, of_origin: impl Fn(usize) -> bool) -> Layout {
        let (mut own, mut origin) = (Vec::new(), Vec::new());
        let mut places = Vec::with_capacity(schema.fields().len());
        for (column, field) in schema.fields().iter().enumerate() {
            if of_origin(column) {
                places.push(Place::Origin(origin.len()));
                origin.push(field.clone());
            } else {
                places.push(Place::Own(own.len()));
                own.push(field.clone());
            }
        }
        let (own, origin) = (Arc::new(Schema::new(own)), Arc::new(Schema::new(origin)));
        Layout { schema, own, origin, places }
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
