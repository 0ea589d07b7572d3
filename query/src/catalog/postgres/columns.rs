//! `information_schema.columns` as PostgreSQL has it.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::catalog::TableProvider;
use datafusion::common::DataFusionError;
use datafusion::datasource::MemTable;
use pgwire::api::Type;

use super::super::{CATALOG, View};
use super::{relations, types};

pub(in crate::catalog) fn table(
    view: &Arc<View>,
) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    struct Line<'a> {
        schema: &'a str,
        table: &'a str,
        number: i16,
        field: &'a FieldRef,
        of: Type,
    }
    let all = relations::all(view);
    let lines = all.iter().flat_map(|relation| {
        relation.numbered().map(move |(number, field)| Line {
            schema: relation.schema,
            table: &relation.name,
            number,
            field,
            of: types::of(field),
        })
    });
    let lines: Vec<Line> = lines.collect();
    let mut fields: Vec<Field> = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    let mut text = |name: &str, of: &dyn Fn(&Line) -> Option<String>| {
        fields.push(Field::new(name, DataType::Utf8, true));
        arrays.push(Arc::new(lines.iter().map(of).collect::<StringArray>()));
    };
    text("table_catalog", &|_| Some(CATALOG.into()));
    text("table_schema", &|line| Some(line.schema.into()));
    text("table_name", &|line| Some(line.table.into()));
    text("column_name", &|line| Some(line.field.name().clone()));
    text("column_default", &|_| None);
    text("is_nullable", &|line| Some(if line.field.is_nullable() { "YES" } else { "NO" }.into()));
    text("data_type", &|line| Some(types::standard_name(&line.of).into()));
    text("udt_catalog", &|_| Some(CATALOG.into()));
    text("udt_schema", &|_| Some("pg_catalog".into()));
    text("udt_name", &|line| Some(line.of.name().into()));
    text("interval_type", &|_| None);
    text("character_set_name", &|_| None);
    text("collation_name", &|_| None);
    text("domain_name", &|_| None);
    text("is_identity", &|_| Some("NO".into()));
    text("identity_generation", &|_| None);
    text("is_generated", &|_| Some("NEVER".into()));
    text("generation_expression", &|_| None);
    text("is_updatable", &|_| Some("NO".into()));
    let mut number = |at: usize, name: &str, of: &dyn Fn(&Line) -> Option<i32>| {
        fields.insert(at, Field::new(name, DataType::Int32, true));
        arrays.insert(at, Arc::new(lines.iter().map(of).collect::<Int32Array>()));
    };
    let timed = |of: &Type| {
        matches!(*of, Type::TIMESTAMP | Type::TIMESTAMPTZ | Type::TIME | Type::INTERVAL)
    };
    // In the standard's order.
    number(4, "ordinal_position", &|line| Some(line.number.into()));
    number(8, "character_maximum_length", &|_| None);
    number(9, "character_octet_length", &|line| (line.of == Type::TEXT).then_some(1 << 30));
    number(10, "numeric_precision", &|line| types::precision(&line.of).0);
    number(11, "numeric_precision_radix", &|line| types::precision(&line.of).1);
    number(12, "numeric_scale", &|line| types::precision(&line.of).2);
    number(13, "datetime_precision", &|line| match line.of {
        Type::DATE => Some(0),
        ref of => timed(of).then_some(6),
    });
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), arrays)?;
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
}
