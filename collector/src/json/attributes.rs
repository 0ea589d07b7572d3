//! `opentelemetry.proto.common.v1` and `resource.v1` as JSON.

use crate::decode::model::{KeyValue, Resource, Scope, Value};
use crate::decode::{Error, Notes, Warning};

use super::reader::Reader;

pub(super) fn resource<'a>(
    reader: &mut Reader<'a>,
    into: &mut Resource<'a>,
    notes: &mut Notes,
) -> Result<(), Error> {
    reader.object(&["attributes", "droppedAttributesCount"], |reader, name| {
        match name {
            "attributes" => key_values(reader, &mut into.attributes, notes)?,
            _ => into.dropped_attributes_count = reader.u32()?,
        }
        Ok(())
    })
}

pub(super) fn scope<'a>(
    reader: &mut Reader<'a>,
    into: &mut Scope<'a>,
    notes: &mut Notes,
) -> Result<(), Error> {
    let names = &["name", "version", "attributes", "droppedAttributesCount"];
    reader.object(names, |reader, name| {
        match name {
            "name" => into.name = reader.text()?,
            "version" => into.version = reader.text()?,
            "attributes" => key_values(reader, &mut into.attributes, notes)?,
            _ => into.dropped_attributes_count = reader.u32()?,
        }
        Ok(())
    })
}

pub(super) fn key_values<'a>(
    reader: &mut Reader<'a>,
    into: &mut Vec<KeyValue<'a>>,
    notes: &mut Notes,
) -> Result<(), Error> {
    pairs(reader, into, 0, notes)
}

fn pairs<'a>(
    reader: &mut Reader<'a>,
    into: &mut Vec<KeyValue<'a>>,
    depth: usize,
    notes: &mut Notes,
) -> Result<(), Error> {
    reader.array(|reader| {
        let mut pair = KeyValue::default();
        reader.object(&["key", "value", "keyStrindex"], |reader, name| {
            match name {
                "key" => pair.key = reader.text()?,
                "value" => pair.value = value(reader, depth, notes)?,
                // An index into a table that only profiles carry.
                _ if reader.i32()? != 0 => notes.warnings.add(Warning::UnknownValue),
                _ => {}
            }
            Ok(())
        })?;
        into.push(pair);
        Ok(())
    })
}

const VALUE: &[&str] = &[
    "stringValue",
    "boolValue",
    "intValue",
    "doubleValue",
    "arrayValue",
    "kvlistValue",
    "bytesValue",
    "stringValueStrindex",
];

/// Reads an `AnyValue`. `depth` counts the arrays and maps around it; past the
/// limit their content is passed over and noted (G28).
pub(super) fn value<'a>(
    reader: &mut Reader<'a>,
    depth: usize,
    notes: &mut Notes,
) -> Result<Value<'a>, Error> {
    let mut value = None;
    reader.object(VALUE, |reader, name| {
        if reader.null() {
            return Ok(());
        }
        if value.is_some() {
            return Err(reader.fault("a value is given twice"));
        }
        value = Some(match name {
            "stringValue" => Value::Text(reader.text()?),
            "boolValue" => Value::Bool(reader.bool()?),
            "intValue" => Value::Int(reader.i64()?),
            "doubleValue" => Value::Double(reader.f64()?),
            "bytesValue" => Value::Bytes(reader.bytes()?.into()),
            "arrayValue" => Value::Array(array(reader, depth + 1, notes)?),
            "kvlistValue" => Value::Map(map(reader, depth + 1, notes)?),
            _ => {
                reader.i32()?;
                notes.warnings.add(Warning::UnknownValue);
                Value::Empty
            }
        });
        Ok(())
    })?;
    Ok(value.unwrap_or_default())
}

fn array<'a>(
    reader: &mut Reader<'a>,
    depth: usize,
    notes: &mut Notes,
) -> Result<Vec<Value<'a>>, Error> {
    let mut values = Vec::new();
    if depth > notes.max_depth {
        notes.too_deep = true;
        reader.skip()?;
        return Ok(values);
    }
    reader.object(&["values"], |reader, _| {
        reader.array(|reader| {
            values.push(value(reader, depth, notes)?);
            Ok(())
        })
    })?;
    Ok(values)
}

fn map<'a>(
    reader: &mut Reader<'a>,
    depth: usize,
    notes: &mut Notes,
) -> Result<Vec<KeyValue<'a>>, Error> {
    let mut values = Vec::new();
    if depth > notes.max_depth {
        notes.too_deep = true;
        reader.skip()?;
        return Ok(values);
    }
    reader.object(&["values"], |reader, _| pairs(reader, &mut values, depth, notes))?;
    Ok(values)
}
