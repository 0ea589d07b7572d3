//! The one record batch that holds rows and what they share in the log, and back
//! to rows of today's table: columns are mapped by name.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, RecordBatch, RecordBatchOptions, StructArray,
    new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{CastOptions, can_cast_types, cast_with_options, take};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, UInt32Type};
use arrow::error::ArrowError;
use schema::rows::shaped::mapped;
use schema::rows::{Held, Layout, Place};
use schema::table::Of;
use schema::tables::common::string_map;
use schema::{Rows, TableDef};

/// The column of the batch, whose only row holds all columns as lists, with what the
/// rows have themselves. What is held of them follows: which each row names, and
/// what there is.
const ROWS: &str = "rows";

fn names(set: Of) -> [&'static str; 2] {
    match set {
        Of::Head => ["head_of", "heads"],
        Of::Shape => ["shape_of", "shapes"],
        Of::Origin | Of::Row => ["origin_of", "origins"],
    }
}

/// The schema of rows of this layout. A record leaves out the own columns that no
/// row has a value in: its schema is a [`narrow`] one.
pub(super) fn schema(layout: &Layout) -> SchemaRef {
    let structs = |schema: &SchemaRef| DataType::Struct(schema.fields().clone());
    let held = layout.held.iter().flat_map(|held| [DataType::UInt32, structs(held)]);
    let types = std::iter::once(structs(&layout.own)).chain(held);
    let names = std::iter::once(ROWS).chain(layout.sets.iter().flat_map(|set| names(*set)));
    let list = |(name, of)| Field::new(name, list_of(of), false);
    Arc::new(Schema::new(names.zip(types).map(list).collect::<Vec<Field>>()))
}

fn list_of(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", element, false)))
}

/// Whether a schema is of this form; records of earlier versions have another.
pub(super) fn is_ours(schema: &Schema) -> bool {
    sets(schema).is_some()
}

/// The sets that rows of a schema of this form have.
fn sets(schema: &Schema) -> Option<Vec<Of>> {
    let (rows, held) = schema.fields().split_first()?;
    let (pairs, rest) = held.as_chunks::<2>();
    let set = |[of, values]: &[FieldRef; 2]| {
        let mut known = [Of::Origin, Of::Head, Of::Shape].into_iter();
        known.find(|set| names(*set) == [of.name().as_str(), values.name().as_str()])
    };
    let is_form = rows.name() == ROWS && !pairs.is_empty() && rest.is_empty();
    pairs.iter().map(set).collect::<Option<Vec<Of>>>().filter(|_| is_form)
}

/// The schema with only those of the own columns that are present. `None` if
/// there are not as many, or the schema is not of this form.
pub(super) fn narrow(schema: &Schema, present: &[bool]) -> Option<SchemaRef> {
    let (rows, others) = schema.fields().split_first().filter(|_| is_ours(schema))?;
    let own = fields(rows).filter(|own| own.len() == present.len())?;
    let kept = own.iter().zip(present).filter(|(_, present)| **present);
    let kept = DataType::Struct(kept.map(|(field, _)| field.clone()).collect());
    let rows: FieldRef = Arc::new(Field::new(rows.name(), list_of(kept), false));
    let all: Vec<FieldRef> = std::iter::once(rows).chain(others.iter().cloned()).collect();
    Some(Arc::new(Schema::new(all)))
}

fn fields(list: &Field) -> Option<&Fields> {
    match list.data_type() {
        DataType::List(element) => match element.data_type() {
            DataType::Struct(fields) => Some(fields),
            _ => None,
        },
        _ => None,
    }
}

/// Copies nothing; `schema` is that of the rows' layout and the columns they have.
pub(super) fn wrap(rows: &Rows, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let own: Vec<ArrayRef> = rows.own().iter().flatten().cloned().collect();
    let mut parts = vec![(own, rows.num_rows())];
    for held in rows.held() {
        parts.push((vec![Arc::new(held.taken()) as ArrayRef], rows.num_rows()));
        parts.push((held.values.columns().to_vec(), held.values.num_rows()));
    }
    let mut lists: Vec<ArrayRef> = Vec::with_capacity(parts.len());
    for (field, (mut columns, length)) in schema.fields().iter().zip(parts) {
        let DataType::List(element) = field.data_type() else {
            return Err(ArrowError::SchemaError(format!("{field} is no list")));
        };
        let values = match element.data_type() {
            DataType::Struct(fields) => {
                let fields = fields.clone();
                Arc::new(StructArray::try_new_with_length(fields, columns, None, length)?)
            }
            _ => columns.swap_remove(0),
        };
        let offsets = OffsetBuffer::from_lengths([length]);
        lists.push(Arc::new(ListArray::try_new(element.clone(), offsets, values, None)?));
    }
    RecordBatch::try_new(schema.clone(), lists)
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
    let Some((own, held)) = parts(batch) else {
        return Rows::plain(layout, &conform(batch, &layout.schema)?);
    };
    let own = columns(own.as_struct())?;
    let held = held.iter().map(|(of, values)| {
        let of = of.as_primitive::<UInt32Type>().values().clone();
        Ok(Held { of, values: columns(values.as_struct())? })
    });
    let held = held.collect::<Result<Vec<Held>, ArrowError>>()?;
    // A column that has changed its place since, or sets that were not there then.
    let strays = |part: usize, rows: &RecordBatch| {
        let place = |field: &FieldRef| match layout.find(field.name()) {
            Ok(Place::Own(_)) => part > 0,
            Ok(Place::Held(set, _)) => part != set + 1,
            Ok(Place::Shaped { set, .. }) => part != 0 && part != set + 1,
            Err(_) => false,
        };
        rows.schema_ref().fields().iter().any(place)
    };
    let sets = sets(batch.schema_ref()).unwrap_or_default();
    let mut parts = std::iter::once(&own).chain(held.iter().map(|held| &held.values)).enumerate();
    if sets != layout.sets || parts.any(|(part, rows)| strays(part, rows)) {
        let rows = whole(&own, &held, &sets)?;
        return Rows::plain(layout, &conform(&rows, &layout.schema)?);
    }
    let own =
        layout.own.fields().iter().map(|field| of_today(&own, field)).collect::<Result<_, _>>()?;
    let held = held
        .into_iter()
        .zip(&layout.held)
        .map(|(held, schema)| Ok(Held { values: conform(&held.values, schema)?, ..held }));
    Rows::new(layout, own, held.collect::<Result<_, ArrowError>>()?)
}

/// What the lists hold, if the batch is of this form.
fn parts(batch: &RecordBatch) -> Option<(ArrayRef, Vec<(ArrayRef, ArrayRef)>)> {
    if !is_ours(batch.schema_ref()) || batch.num_rows() != 1 {
        return None;
    }
    let list = |column: &ArrayRef| Some(column.as_list_opt::<i32>()?.value(0));
    let (rows, held) = batch.columns().split_first()?;
    let held = held.as_chunks::<2>().0.iter().map(|[of, values]| Some((list(of)?, list(values)?)));
    Some((list(rows)?, held.collect::<Option<_>>()?))
}

fn columns(rows: &StructArray) -> Result<RecordBatch, ArrowError> {
    let schema = Arc::new(Schema::new(rows.fields().clone()));
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(schema, rows.columns().to_vec(), &options)
}

/// The rows with every column; only where one has changed its place.
fn whole(own: &RecordBatch, held: &[Held], sets: &[Of]) -> Result<RecordBatch, ArrowError> {
    let mut fields: Vec<FieldRef> = own.schema_ref().fields().iter().cloned().collect();
    let mut columns = own.columns().to_vec();
    for (set, held) in sets.iter().zip(held) {
        for (field, column) in held.values.schema_ref().fields().iter().zip(held.values.columns()) {
            let values = fields.iter().position(|own| own.name() == field.name());
            match values.filter(|_| *set == Of::Shape) {
                // The keys of a map whose values the rows have.
                Some(index) => {
                    columns[index] = mapped(&string_map(), &columns[index], column, &held.of)?;
                    fields[index] = Arc::new(Field::new(field.name(), string_map(), true));
                }
                None => {
                    fields.push(field.clone());
                    columns.push(take(column, &held.taken(), None)?);
                }
            }
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(own.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
}

fn conform(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    if rows.schema_ref() == schema {
        return Ok(rows.clone());
    }
    let nulls = |field: &FieldRef| new_null_array(field.data_type(), rows.num_rows());
    let column = |field| Ok(of_today(rows, field)?.unwrap_or_else(|| nulls(field)));
    let columns = schema.fields().iter().map(column).collect::<Result<_, ArrowError>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
}

/// A column of what was read, with today's type; `None` if it has no such.
fn of_today(rows: &RecordBatch, field: &FieldRef) -> Result<Option<ArrayRef>, ArrowError> {
    let (wanted, lenient) = (field.data_type(), CastOptions { safe: true, ..Default::default() });
    let column = match rows.column_by_name(field.name()) {
        Some(column) if column.data_type() == wanted => Some(column.clone()),
        Some(column) if can_cast_types(column.data_type(), wanted) => {
            Some(cast_with_options(column, wanted, &lenient)?)
        }
        _ => None,
    };
    Ok(column)
}

/// The columns that [`unwrap`] drops or changes, for the log.
pub(super) fn changed(from: &Schema, to: &Layout) -> Vec<String> {
    let in_table = to.schema.fields().iter();
    let today: Vec<&FieldRef> = match is_ours(from) {
        // A map may be in either form.
        true => {
            in_table.chain(to.own.fields()).chain(to.held.iter().flat_map(|h| h.fields())).collect()
        }
        false => in_table.collect(),
    };
    let same = |field: &&FieldRef| {
        let is =
            |now: &&FieldRef| now.name() == field.name() && now.data_type() == field.data_type();
        today.iter().any(is)
    };
    let held: Vec<FieldRef> = match is_ours(from) {
        true => from.fields().iter().filter_map(|list| fields(list)).flatten().cloned().collect(),
        false => from.fields().iter().cloned().collect(),
    };
    held.iter().filter(|field| !same(field)).map(|field| field.name().clone()).collect()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Builder, ListBuilder, StringArray};
    use schema::Catalog;

    use super::*;

    /// A list of one row, which has these columns as a struct.
    fn list(columns: Vec<(FieldRef, ArrayRef)>) -> (FieldRef, ArrayRef) {
        let (fields, columns): (Vec<FieldRef>, Vec<ArrayRef>) = columns.into_iter().unzip();
        let rows = StructArray::try_new(fields.into(), columns, None).unwrap();
        let element = Arc::new(Field::new("element", rows.data_type().clone(), false));
        let offsets = OffsetBuffer::from_lengths([rows.len()]);
        let list = ListArray::try_new(element, offsets, Arc::new(rows), None).unwrap();
        (Arc::new(Field::new("", list.data_type().clone(), false)), Arc::new(list))
    }

    /// Scenario: a record of a build whose points said the bounds of their buckets
    /// each by itself: some, none, and NULL. Today a metric says them.
    /// Guarantees: F43: every row has its own.
    #[test]
    fn fault_f43_a_column_that_has_moved_is_found() {
        let moved = "explicit_bounds";
        let catalog = Catalog::default();
        let table = catalog.get("metrics").unwrap();
        let column = |field: &FieldRef| -> ArrayRef {
            match (field.name().as_str(), field.data_type()) {
                ("metric_name", _) => Arc::new(StringArray::from(vec!["a", "b", "a", "a"])),
                (name, DataType::List(element)) if name == moved => {
                    let lists = ListBuilder::new(Float64Builder::new());
                    let mut lists = lists.with_field(element.clone());
                    lists.append_value([Some(1.0), Some(2.5)]);
                    lists.append_null();
                    lists.append_value([]);
                    lists.append_value([Some(1.0), Some(2.5)]);
                    Arc::new(lists.finish())
                }
                (_, of) => new_null_array(of, 4),
            }
        };
        let columns = table.schema.fields().iter().map(column).collect();
        let plain = RecordBatch::try_new(table.schema.clone(), columns).unwrap();
        let rows = Rows::plain(&table.layout, &plain).unwrap();
        let present: Vec<bool> = rows.own().iter().map(Option::is_some).collect();
        let today = wrap(&rows, &narrow(&schema(&table.layout), &present).unwrap()).unwrap();

        let part = |name: &str| {
            let rows = today.column_by_name(name).unwrap().as_list::<i32>().value(0);
            let rows = columns_of(rows.as_struct());
            rows.into_iter().partition::<Vec<_>, _>(|(field, _)| field.name() != moved)
        };
        let (heads, bounds) = part("heads");
        let of = today.column_by_name("head_of").unwrap().as_list::<i32>().value(0);
        let mut own = part(ROWS).0;
        own.extend(bounds.into_iter().map(|(field, column)| {
            (field, take(&column, of.as_primitive::<UInt32Type>(), None).unwrap())
        }));
        let lists = today.schema_ref().fields().iter().zip(today.columns());
        let (fields, lists): (Vec<FieldRef>, Vec<ArrayRef>) = lists
            .map(|(field, column)| {
                let (of, list) = match field.name().as_str() {
                    ROWS => list(own.clone()),
                    "heads" => list(heads.clone()),
                    _ => return (field.clone(), column.clone()),
                };
                (Arc::new(of.as_ref().clone().with_name(field.name())), list)
            })
            .unzip();
        let before = RecordBatch::try_new(Arc::new(Schema::new(fields)), lists).unwrap();
        assert_ne!(before.schema(), today.schema());
        for batch in [today, before] {
            let found = unwrap(&batch, table).unwrap();
            assert_eq!(found.to_batch().unwrap(), plain);
        }
    }

    fn columns_of(rows: &StructArray) -> Vec<(FieldRef, ArrayRef)> {
        rows.fields().iter().cloned().zip(rows.columns().iter().cloned()).collect()
    }
}
