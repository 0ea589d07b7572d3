//! The schema as Delta writes it.

use arrow::datatypes::{DataType, TimeUnit};
use schema::TableDef;
use serde_json::{Value, json};

/// What a table's schema lacks or contradicts.
#[derive(Debug, Default)]
pub struct Difference {
    /// Columns to add, in Delta's form.
    pub missing: Vec<Value>,
    /// Columns that have another type.
    pub conflicts: Vec<String>,
}

/// `schemaString` of a new table, with the columns' meaning as comments.
pub fn schema(table: &TableDef) -> Result<Value, String> {
    let fields: Result<Vec<Value>, String> = table.columns.iter().map(field).collect();
    Ok(json!({"type": "struct", "fields": fields?}))
}

/// Compares what a table has with what it should have.
pub fn difference(table: &TableDef, present: &Value) -> Result<Difference, String> {
    let present = present["fields"].as_array().ok_or("its schema has no fields")?;
    let mut difference = Difference::default();
    for column in &table.columns {
        let known = present.iter().find(|field| field["name"] == column.name.as_str());
        let wanted = field(column)?;
        match known {
            None => difference.missing.push(wanted),
            Some(known) if shape(&known["type"]) != shape(&wanted["type"]) => {
                let (is, should) = (&known["type"], &wanted["type"]);
                difference.conflicts.push(format!("{} is {is}, not {should}", column.name));
            }
            Some(_) => {}
        }
    }
    Ok(difference)
}

/// The schema with more columns at its end.
pub fn extended(present: &Value, missing: &[Value]) -> Value {
    let mut schema = present.clone();
    if let Some(fields) = schema["fields"].as_array_mut() {
        fields.extend(missing.iter().cloned());
    }
    schema
}

fn field(column: &schema::table::Column) -> Result<Value, String> {
    Ok(json!({
        "name": column.name,
        "type": delta_type(&column.data_type)?,
        "nullable": true,
        "metadata": {"comment": column.doc},
    }))
}

/// Only types that come back as they went (stack.md, Types).
fn delta_type(data_type: &DataType) -> Result<Value, String> {
    Ok(match data_type {
        DataType::Utf8 => "string".into(),
        DataType::Int64 => "long".into(),
        DataType::Int32 => "integer".into(),
        DataType::Float64 => "double".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Date32 => "date".into(),
        // Without a zone it would raise the protocol.
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if &**zone == "UTC" => {
            "timestamp".into()
        }
        DataType::List(element) => json!({
            "type": "array",
            "elementType": delta_type(element.data_type())?,
            "containsNull": element.is_nullable(),
        }),
        DataType::Map(entry, _) => {
            let DataType::Struct(entry) = entry.data_type() else {
                return Err(format!("a map of {entry}"));
            };
            json!({
                "type": "map",
                "keyType": delta_type(entry[0].data_type())?,
                "valueType": delta_type(entry[1].data_type())?,
                "valueContainsNull": entry[1].is_nullable(),
            })
        }
        DataType::Struct(fields) => {
            let field = |field: &arrow::datatypes::FieldRef| {
                Ok(json!({
                    "name": field.name(),
                    "type": delta_type(field.data_type())?,
                    "nullable": field.is_nullable(),
                    "metadata": {},
                }))
            };
            let fields: Result<Vec<Value>, String> = fields.iter().map(field).collect();
            json!({"type": "struct", "fields": fields?})
        }
        other => return Err(format!("Delta has no type for {other}")),
    })
}

/// A type without the comments in it.
fn shape(data_type: &Value) -> Value {
    match data_type {
        Value::Object(map) => {
            let kept = map.iter().filter(|(key, _)| *key != "metadata");
            Value::Object(kept.map(|(key, value)| (key.clone(), shape(value))).collect())
        }
        Value::Array(values) => values.iter().map(shape).collect(),
        other => other.clone(),
    }
}
