//! OTLP's messages on protobuf's wire, into the model. Fields are merged as
//! protobuf says: the last scalar wins, repeated messages are joined, unknown
//! fields are passed over (G27).
//!
//! | file | messages |
//! | --- | --- |
//! | [`attributes`] | `AnyValue`, `KeyValue`, `Resource`, `InstrumentationScope` |
//! | [`trace`] | `Span` and its parts |
//! | [`logs`] | `LogRecord` |
//! | [`metrics`] | `Metric` and the points of all five kinds |
//!
//! This file walks the envelopes that all signals share: a request holds
//! resources, a resource holds scopes, a scope holds items, each under the same
//! field numbers.

mod attributes;
pub(super) mod logs;
pub(super) mod metrics;
pub(super) mod trace;

use std::borrow::Cow;

use super::model::Scope;
use super::origin::{Origin, Rows};
use super::wire::{Chunk, Texts};
use super::{Error, Segment};

/// Calls `item` for each item of a request, after telling `rows` where it
/// comes from.
pub(super) fn walk<'a, R: Rows<'a>>(
    body: &'a [u8],
    rows: &mut R,
    mut item: impl FnMut(&mut R, Chunk<'a>) -> Result<(), Error>,
) -> Result<(), Error> {
    rows.origin().notes.texts = Texts::of(body);
    let mut request = Chunk::new(body);
    let mut index = 0;
    while let Some((tag, field)) = request.next()? {
        if tag == 1 {
            let chunk = field.chunk()?;
            at_index("resources", index, resource(chunk, rows, &mut item))?;
            index += 1;
        }
    }
    Ok(())
}

/// Fields come in any order, so the resource is looked for before its scopes
/// are walked. Finding it costs a hop per scope.
fn resource<'a, R: Rows<'a>>(
    chunk: Chunk<'a>,
    rows: &mut R,
    item: &mut impl FnMut(&mut R, Chunk<'a>) -> Result<(), Error>,
) -> Result<(), Error> {
    let origin = rows.origin();
    let mut resource = origin.next_resource();
    let mut schema_url = Cow::Borrowed("");
    let mut size = 0;
    origin.notes.too_deep = false;
    let mut fields = chunk;
    while let Some((tag, field)) = fields.next()? {
        match tag {
            1 => {
                let part = field.chunk()?;
                size += part.bytes.len();
                if !origin.too_large(size) {
                    at("resource", attributes::resource(part, &mut resource, &mut origin.notes))?;
                }
            }
            2 => drop(field.chunk()?),
            3 => schema_url = at("schema_url", field.text(&mut origin.notes))?,
            _ => {}
        }
    }
    origin.enter_resource(resource, schema_url, size);

    let (mut fields, mut index) = (chunk, 0);
    while let Some((tag, field)) = fields.next()? {
        if tag == 2 {
            let chunk = field.chunk()?;
            at_index("scopes", index, scope(chunk, rows, item))?;
            index += 1;
        }
    }
    Ok(())
}

fn scope<'a, R: Rows<'a>>(
    chunk: Chunk<'a>,
    rows: &mut R,
    item: &mut impl FnMut(&mut R, Chunk<'a>) -> Result<(), Error>,
) -> Result<(), Error> {
    chunk.fetch();
    let origin = rows.origin();
    read_scope(chunk, origin)?;
    let (mut fields, mut index) = (chunk, 0);
    while let Some((tag, field)) = fields.next()? {
        if tag == 2 {
            let chunk = field.chunk()?;
            at_index("items", index, item(rows, chunk))?;
            index += 1;
        }
    }
    Ok(())
}

fn read_scope<'a>(mut fields: Chunk<'a>, origin: &mut Origin<'a>) -> Result<(), Error> {
    let mut scope = Scope::default();
    let mut schema_url = Cow::Borrowed("");
    let mut size = 0;
    origin.notes.too_deep = false;
    while let Some((tag, field)) = fields.next()? {
        match tag {
            1 => {
                let part = field.chunk()?;
                size += part.bytes.len();
                if !origin.too_large(size) {
                    at("scope", attributes::scope(part, &mut scope, &mut origin.notes))?;
                }
            }
            2 => drop(field.chunk()?),
            3 => schema_url = at("schema_url", field.text(&mut origin.notes))?,
            _ => {}
        }
    }
    origin.enter_scope(scope, schema_url, size);
    Ok(())
}

/// Adds the field's name to an error's path.
fn at<T>(name: &'static str, result: Result<T, Error>) -> Result<T, Error> {
    result.map_err(|error| error.within(Segment::Field(name.into())))
}

fn at_index<T>(name: &'static str, index: usize, result: Result<T, Error>) -> Result<T, Error> {
    at(name, result.map_err(|error| error.within(Segment::Index(index))))
}
