//! `opentelemetry.proto.common.v1` and `resource.v1`.

use std::borrow::Cow;

use super::super::Error;
use super::super::model::{KeyValue, Resource, Scope, Value};
use super::super::outcome::{Notes, Warning};
use super::super::wire::Chunk;
use super::at;

pub(super) fn resource<'a>(
    mut fields: Chunk<'a>,
    into: &mut Resource<'a>,
    notes: &mut Notes<'a>,
) -> Result<(), Error> {
    while let Some((tag, field)) = fields.next()? {
        match tag {
            1 => key_value(field.chunk()?, &mut into.attributes, notes)?,
            2 => into.dropped_attributes_count = field.uint32()?,
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn scope<'a>(
    mut fields: Chunk<'a>,
    into: &mut Scope<'a>,
    notes: &mut Notes<'a>,
) -> Result<(), Error> {
    while let Some((tag, field)) = fields.next()? {
        match tag {
            1 => into.name = at("name", field.text(notes))?,
            2 => into.version = at("version", field.text(notes))?,
            3 => key_value(field.chunk()?, &mut into.attributes, notes)?,
            4 => into.dropped_attributes_count = field.uint32()?,
            _ => {}
        }
    }
    Ok(())
}

/// Appends one attribute.
pub(super) fn key_value<'a>(
    chunk: Chunk<'a>,
    into: &mut Vec<KeyValue<'a>>,
    notes: &mut Notes<'a>,
) -> Result<(), Error> {
    match plain(chunk, into, notes) {
        Some(()) => Ok(()),
        None => at("attributes", pair(chunk, into, 0, notes)),
    }
}

/// Appends a pair as most are: a key, then a text or an integer, each length in one
/// byte. Every other shape is for [`pair`] to read.
#[inline]
fn plain<'a>(chunk: Chunk<'a>, into: &mut Vec<KeyValue<'a>>, notes: &mut Notes<'a>) -> Option<()> {
    let (key, rest) = block(0x0a, chunk.bytes)?;
    let (value, end) = block(0x12, rest)?;
    if !end.is_empty() {
        return None;
    }
    let key = notes.texts.get(chunk.offset + 2, key.len())?;
    if let [0x18, number @ ..] = value {
        let value = Value::Int(whole(number)?);
        into.push(KeyValue { key: Cow::Borrowed(key), value });
        return Some(());
    }
    let (text, end) = block(0x0a, value)?;
    if !end.is_empty() {
        return None;
    }
    // Two bytes each before the key, the value and its text.
    let text = notes.texts.get(chunk.offset + key.len() + 6, text.len())?;
    into.push(KeyValue { key: Cow::Borrowed(key), value: Value::Text(Cow::Borrowed(text)) });
    Some(())
}

/// A varint below 2^63 that takes all of the bytes.
#[inline]
fn whole(bytes: &[u8]) -> Option<i64> {
    let (last, more) = bytes.split_last().filter(|(_, more)| more.len() < 9)?;
    let ends = *last < 0x80 && more.iter().all(|byte| *byte >= 0x80);
    let digit = |number: i64, byte: &u8| number << 7 | i64::from(byte & 0x7f);
    ends.then(|| bytes.iter().rev().fold(0, digit))
}

/// A block under this field key, and what follows it.
#[inline]
fn block(key: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let [found, length, rest @ ..] = bytes else { return None };
    let plain = *found == key && *length < 0x80;
    plain.then(|| rest.split_at_checked(usize::from(*length))).flatten()
}

fn pair<'a>(
    mut fields: Chunk<'a>,
    into: &mut Vec<KeyValue<'a>>,
    depth: usize,
    notes: &mut Notes<'a>,
) -> Result<(), Error> {
    let pair = into.push_mut(KeyValue::default());
    while let Some((tag, field)) = fields.next()? {
        match tag {
            1 => pair.key = at("key", field.text(notes))?,
            2 => at("value", value(field.chunk()?, &mut pair.value, depth, notes))?,
            // An index into a table that only profiles carry.
            3 if field.int32()? != 0 => notes.warnings.add(Warning::UnknownValue),
            _ => {}
        }
    }
    Ok(())
}

/// Merges an `AnyValue` into what was read of it before. `depth` counts the
/// arrays and maps around it; past the limit their content is left out and
/// noted, so that no nesting can exhaust the stack (G28).
pub(super) fn value<'a>(
    mut fields: Chunk<'a>,
    into: &mut Value<'a>,
    depth: usize,
    notes: &mut Notes<'a>,
) -> Result<(), Error> {
    while let Some((tag, field)) = fields.next()? {
        match tag {
            1 => *into = Value::Text(field.text(notes)?),
            2 => *into = Value::Bool(field.boolean()?),
            3 => *into = Value::Int(field.varint()? as i64),
            4 => *into = Value::Double(field.double()?),
            5 => {
                let chunk = field.chunk()?;
                if !matches!(into, Value::Array(_)) {
                    *into = Value::Array(Vec::new());
                }
                if let Value::Array(values) = into {
                    at("array_value", array(chunk, values, depth + 1, notes))?;
                }
            }
            6 => {
                let chunk = field.chunk()?;
                if !matches!(into, Value::Map(_)) {
                    *into = Value::Map(Vec::new());
                }
                if let Value::Map(pairs) = into {
                    at("kvlist_value", map(chunk, pairs, depth + 1, notes))?;
                }
            }
            7 => *into = Value::Bytes(Cow::Borrowed(field.chunk()?.bytes)),
            8 => {
                field.int32()?;
                notes.warnings.add(Warning::UnknownValue);
                *into = Value::Empty;
            }
            _ => {}
        }
    }
    Ok(())
}

fn array<'a>(
    mut fields: Chunk<'a>,
    into: &mut Vec<Value<'a>>,
    depth: usize,
    notes: &mut Notes<'a>,
) -> Result<(), Error> {
    if depth > notes.max_depth {
        notes.too_deep = true;
        return Ok(());
    }
    while let Some((tag, field)) = fields.next()? {
        if tag == 1 {
            let mut element = Value::Empty;
            value(field.chunk()?, &mut element, depth, notes)?;
            into.push(element);
        }
    }
    Ok(())
}

fn map<'a>(
    mut fields: Chunk<'a>,
    into: &mut Vec<KeyValue<'a>>,
    depth: usize,
    notes: &mut Notes<'a>,
) -> Result<(), Error> {
    if depth > notes.max_depth {
        notes.too_deep = true;
        return Ok(());
    }
    while let Some((tag, field)) = fields.next()? {
        if tag == 1 {
            pair(field.chunk()?, into, depth, notes)?;
        }
    }
    Ok(())
}
