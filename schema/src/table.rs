//! Tables as data: storage and query learn from a [`TableDef`] all they may
//! know about a table, so that adding one is adding a file in [`crate::tables`].

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;

use crate::rows::Layout;
use crate::{Signal, tables};

/// The version written to the table property `cloudsail.schema`. A node reads
/// and appends this one and the one before.
pub const SCHEMA_VERSION: u32 = 1;

/// The partition column of every table: the last of its schema, a path segment
/// on the store and absent from the Parquet files (as Delta wants it).
pub const PARTITION: &str = "date";

/// A column and what it means to a user.
#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub data_type: DataType,
    /// One sentence, with the unit.
    pub doc: String,
    /// Which rows have the same value, which [`Rows`](crate::Rows) then hold once.
    pub of: Of,
}

/// What gives a column its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// The item itself.
    Row,
    /// A resource, a scope or the node.
    Origin,
    /// A metric, for all of its points.
    Head,
    /// The place in a program that writes many such records: the keys and types of
    /// their attributes.
    Shape,
}

impl Column {
    pub fn new(name: &str, data_type: DataType, doc: &str) -> Column {
        Column { name: name.into(), data_type, doc: doc.into(), of: Of::Row }
    }

    /// A column that a resource, a scope or the node gives.
    pub fn of_origin(name: &str, data_type: DataType, doc: &str) -> Column {
        Column { of: Of::Origin, ..Column::new(name, data_type, doc) }
    }

    /// A map of which many rows have the same keys, or what goes with the keys.
    pub fn of_shape(name: &str, data_type: DataType, doc: &str) -> Column {
        Column { of: Of::Shape, ..Column::new(name, data_type, doc) }
    }

    /// A column that a metric gives all its points.
    pub fn of_head(name: &str, data_type: DataType, doc: &str) -> Column {
        Column { of: Of::Head, ..Column::new(name, data_type, doc) }
    }
}

/// Where an attribute was set; scopes never overwrite each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    Resource,
    Scope,
    Record,
}

impl Scope {
    /// The map column that holds this scope's unpromoted attributes.
    pub fn map_column(self) -> &'static str {
        match self {
            Scope::Resource => "resource_attributes",
            Scope::Scope => "scope_attributes",
            Scope::Record => "attributes",
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Resource => "resource",
            Scope::Scope => "scope",
            Scope::Record => "record",
        }
    }
}

/// The type of a promoted column. A value of another type stays in the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnType {
    Text,
    Int,
    Double,
    Bool,
}

impl ColumnType {
    pub fn data_type(self) -> DataType {
        match self {
            ColumnType::Text => DataType::Utf8,
            ColumnType::Int => DataType::Int64,
            ColumnType::Double => DataType::Float64,
            ColumnType::Bool => DataType::Boolean,
        }
    }
}

/// An attribute key with a typed column of its own. A promoted value is not
/// repeated in the map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promotion {
    pub scope: Scope,
    pub key: String,
    pub kind: ColumnType,
    /// The key itself, but for the few that every table names otherwise
    /// (`service.name` is `service_name`).
    pub column: String,
}

/// Rows that follow from a table's own rows, written beside them per flush.
#[derive(Clone)]
pub struct Derived {
    pub table: Arc<TableDef>,
    /// The columns of the base table that `derive` reads.
    pub inputs: &'static [&'static str],
    /// Maps rows of the base table to rows of `table`; a pure function.
    pub derive: fn(&RecordBatch, &SchemaRef) -> Result<RecordBatch, ArrowError>,
}

impl std::fmt::Debug for Derived {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Derived").field("table", &self.table.name).finish()
    }
}

/// A table of revisions: the name that SQL knows is the view of the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latest {
    /// The view's name.
    pub view: &'static str,
    /// Rows with equal keys are revisions of one thing; all those of the highest
    /// `revision` are its latest.
    pub key: &'static [&'static str],
}

/// All that is known of a table outside the crate that fills it.
#[derive(Debug)]
pub struct TableDef {
    pub name: &'static str,
    /// The signal whose rows these are; `None` for a derived table, and for one
    /// that the daemon writes itself.
    pub signal: Option<Signal>,
    pub doc: &'static str,
    pub columns: Vec<Column>,
    /// [`columns`](Self::columns) as Arrow; every field nullable, `date` last.
    pub schema: SchemaRef,
    /// How rows on their way in hold these columns.
    pub layout: Arc<Layout>,
    /// Ascending, nulls first, within each file.
    pub sort: &'static [&'static str],
    /// Columns with a bloom filter in each row group.
    pub bloom: &'static [&'static str],
    pub promotions: Vec<Promotion>,
    pub derived: Option<Derived>,
    pub latest: Option<Latest>,
}

impl TableDef {
    pub(crate) fn new(name: &'static str, doc: &'static str, mut columns: Vec<Column>) -> TableDef {
        columns.push(Column::new(
            PARTITION,
            DataType::Date32,
            "Partition: the day of `time` (UTC); the day of arrival when `time` is over 30 days old or over a day ahead.",
        ));
        let fields: Vec<Field> =
            columns.iter().map(|c| Field::new(&c.name, c.data_type.clone(), true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let layout = Layout::new(schema.clone(), |column| columns[column].of);
        TableDef {
            name,
            signal: None,
            doc,
            layout: Arc::new(layout),
            columns,
            schema,
            sort: &[],
            bloom: &[],
            promotions: Vec::new(),
            derived: None,
            latest: None,
        }
    }

    /// The promotion of a key, if it has one.
    pub fn promotion(&self, scope: Scope, key: &str) -> Option<&Promotion> {
        self.promotions.iter().find(|p| p.scope == scope && p.key == key)
    }
}

/// Every table of a tenant.
#[derive(Debug, Clone)]
pub struct Catalog {
    tables: Vec<Arc<TableDef>>,
    by_name: HashMap<&'static str, Arc<TableDef>>,
}

impl Catalog {
    /// The tables with the fixed promotions and `extra` ones. An extra
    /// promotion whose column exists already is left out.
    pub fn new(extra: &[Promotion]) -> Catalog {
        let trace_parts = Arc::new(tables::trace_parts::table());
        let mut tables = vec![
            Arc::new(tables::spans::table(extra, trace_parts.clone())),
            Arc::new(tables::logs::table(extra)),
            Arc::new(tables::metrics::table(extra)),
            trace_parts,
            Arc::new(tables::usage_parts::table()),
        ];
        tables.extend(tables::experiments::tables().map(Arc::new));
        let by_name = tables.iter().map(|table| (table.name, table.clone())).collect();
        Catalog { tables, by_name }
    }

    pub fn tables(&self) -> &[Arc<TableDef>] {
        &self.tables
    }

    pub fn get(&self, name: &str) -> Option<&Arc<TableDef>> {
        self.by_name.get(name)
    }

    /// The table of revisions whose latest SQL knows by this name.
    pub fn revised(&self, view: &str) -> Option<&Arc<TableDef>> {
        self.tables.iter().find(|table| table.latest.is_some_and(|latest| latest.view == view))
    }

    /// The tables that rows are appended to: all but the derived ones.
    pub fn appended(&self) -> impl Iterator<Item = &Arc<TableDef>> {
        self.tables.iter().filter(|table| self.base(table).is_none())
    }

    /// The signal that a table's rows are of, or are derived from.
    pub fn signal(&self, table: &str) -> Option<Signal> {
        let table = self.get(table)?;
        self.base(table).unwrap_or(table).signal
    }

    /// The table that a derived one is derived from.
    fn base(&self, table: &TableDef) -> Option<&Arc<TableDef>> {
        let derives = |base: &&Arc<TableDef>| {
            base.derived.as_ref().is_some_and(|derived| derived.table.name == table.name)
        };
        self.tables.iter().find(derives)
    }

    /// The table that a signal's rows go to.
    pub fn of(&self, signal: Signal) -> &Arc<TableDef> {
        let name = match signal {
            Signal::Traces => tables::spans::NAME,
            Signal::Metrics => tables::metrics::NAME,
            Signal::Logs => tables::logs::NAME,
        };
        &self.by_name[name]
    }
}

impl Default for Catalog {
    fn default() -> Self {
        Catalog::new(&[])
    }
}
