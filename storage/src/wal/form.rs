//! The one record batch that holds rows and their origins in the log, and back
//! to rows of today's table: columns are mapped by name.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, RecordBatch, RecordBatchOptions, StructArray, UInt32Array,
    new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{CastOptions, can_cast_types, cast_with_options, take};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, UInt32Type};
use arrow::error::ArrowError;
use schema::rows::Layout;
use schema::{Rows, TableDef};

/// The columns of the batch, whose only row holds them as lists.
const COLUMNS: [&str; 3] = ["rows", "origin_of", "origins"];

/// The schema that rows of this layout are written with.
pub(super) fn schema(layout: &Layout) -> SchemaRef {
    let structs = |schema: &SchemaRef| DataType::Struct(schema.fields().clone());
    let types = [structs(&layout.own), DataType::UInt32, structs(&layout.origin)];
    let list = |(name, of): (&str, DataType)| {
        Field::new(name, DataType::List(Arc::new(Field::new("element", of, false))), false)
    };
    Arc::new(Schema::new(COLUMNS.into_iter().zip(types).map(list).collect::<Vec<Field>>()))
}

/// Copies nothing; `schema` is that of the rows' layout.
pub(super) fn wrap(rows: &Rows, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let values: [ArrayRef; 3] =
        [structs(rows.own())?, Arc::new(rows.taken()), structs(rows.origins())?];
    let list = |(field, values): (&FieldRef, ArrayRef)| -> Result<ArrayRef, ArrowError> {
        let DataType::List(element) = field.data_type() else {
            return Err(ArrowError::SchemaError(format!("{field} is no list")));
        };
        let offsets = OffsetBuffer::from_lengths([values.len()]);
        Ok(Arc::new(ListArray::try_new(element.clone(), offsets, values, None)?))
    };
    let lists = schema.fields().iter().zip(values).map(list).collect::<Result<_, _>>()?;
    RecordBatch::try_new(schema.clone(), lists)
}

fn structs(rows: &RecordBatch) -> Result<ArrayRef, ArrowError> {
    let (fields, columns) = (rows.schema_ref().fields().clone(), rows.columns().to_vec());
    Ok(Arc::new(StructArray::try_new_with_length(fields, columns, None, rows.num_rows())?))
}

/// The rows of a batch that was read, under the table's columns of today:
/// missing ones are NULL, unknown ones are dropped, a changed type is cast where
/// it can be. Also of a batch with the table's own columns, as earlier versions
/// wrote them.
pub(super) fn unwrap(batch: &RecordBatch, table: &TableDef) -> Result<Rows, String> {
    let layout = &table.layout;
    read(batch, layout).map_err(|error| error.to_string())
}

fn read(batch: &RecordBatch, layout: &Arc<Layout>) -> Result<Rows, ArrowError> {
    let Some([own, origin_of, origins]) = parts(batch) else {
        return Rows::plain(layout, &conform(batch, &layout.schema)?);
    };
    let (own, origins) = (columns(own.as_struct())?, columns(origins.as_struct())?);
    let origin_of = origin_of.as_primitive::<UInt32Type>();
    let meets = |schema: &SchemaRef, other: &RecordBatch| {
        schema.fields().iter().any(|field| other.column_by_name(field.name()).is_some())
    };
    if meets(&layout.own, &origins) || meets(&layout.origin, &own) {
        return Rows::plain(layout, &conform(&whole(&own, origin_of, &origins)?, &layout.schema)?);
    }
    let (own, origins) = (conform(&own, &layout.own)?, conform(&origins, &layout.origin)?);
    Rows::new(layout, own, origin_of.values().clone(), origins)
}

/// What the lists hold, if the batch is of this form.
fn parts(batch: &RecordBatch) -> Option<[ArrayRef; 3]> {
    let names = batch.schema_ref().fields().iter().map(|field| field.name().as_str());
    if !names.eq(COLUMNS) || batch.num_rows() != 1 {
        return None;
    }
    let list = |column: &ArrayRef| Some(column.as_list_opt::<i32>()?.value(0));
    let [rows, origin_of, origins] = batch.columns() else { return None };
    Some([list(rows)?, list(origin_of)?, list(origins)?])
}

fn columns(rows: &StructArray) -> Result<RecordBatch, ArrowError> {
    let schema = Arc::new(Schema::new(rows.fields().clone()));
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(schema, rows.columns().to_vec(), &options)
}

/// The rows with every column; only where one has changed its place.
fn whole(
    own: &RecordBatch,
    origin_of: &UInt32Array,
    origins: &RecordBatch,
) -> Result<RecordBatch, ArrowError> {
    let fields = own.schema_ref().fields().iter().chain(origins.schema_ref().fields());
    let schema = Arc::new(Schema::new(fields.cloned().collect::<Vec<FieldRef>>()));
    let mut columns = own.columns().to_vec();
    for column in origins.columns() {
        columns.push(take(column, origin_of, None)?);
    }
    RecordBatch::try_new(schema, columns)
}

fn conform(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    if rows.schema_ref() == schema {
        return Ok(rows.clone());
    }
    let lenient = CastOptions { safe: true, ..CastOptions::default() };
    let column = |field: &FieldRef| -> Result<ArrayRef, ArrowError> {
        let wanted = field.data_type();
        match rows.column_by_name(field.name()) {
            Some(column) if column.data_type() == wanted => Ok(column.clone()),
            Some(column) if can_cast_types(column.data_type(), wanted) => {
                cast_with_options(column, wanted, &lenient)
            }
            _ => Ok(new_null_array(wanted, rows.num_rows())),
        }
    };
    let columns = schema.fields().iter().map(column).collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
}

/// The columns that [`unwrap`] drops or changes, for the log.
pub(super) fn changed(from: &Schema, to: &Schema) -> Vec<String> {
    let same = |field: &&FieldRef| {
        to.field_with_name(field.name()).is_ok_and(|now| now.data_type() == field.data_type())
    };
    let structs = |list: &FieldRef| match list.data_type() {
        DataType::List(element) => match element.data_type() {
            DataType::Struct(fields) => fields.iter().cloned().collect(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    let fields: Vec<FieldRef> = match from.fields().iter().map(|field| field.name()).eq(COLUMNS) {
        true => from.fields().iter().flat_map(structs).collect(),
        false => from.fields().iter().cloned().collect(),
    };
    fields.iter().filter(|field| !same(field)).map(|field| field.name().clone()).collect()
}
