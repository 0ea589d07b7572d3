//! OTLP's JSON into the same model that protobuf is read into, under the rules
//! J1 to J13 of the contract.
//!
//! The parser is our own because the mapping is not JSON's usual one: 64-bit
//! integers are exact in any notation, ids are hex, bytes are base64 of four
//! kinds, `null` means absent except in a list, and a request must be walked
//! item by item whatever the order of its keys, without ever being a tree.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`reader`] | JSON's grammar over a borrowed body: objects, arrays, strings, raw values |
//! | [`string`] | escapes |
//! | [`number`] | integers and doubles in all the notations that senders use |
//! | [`scalar`] | a field of each protobuf type |
//! | [`attributes`] | `AnyValue`, `KeyValue`, `Resource`, `InstrumentationScope` |
//! | [`trace`], [`logs`], [`metrics`] | the items of each signal |
//!
//! This file walks the envelopes that all signals share. A value whose turn has
//! not come is passed over as raw text, which checks its grammar.

mod attributes;
pub(crate) mod logs;
pub(crate) mod metrics;
mod number;
mod reader;
mod scalar;
mod string;
pub(crate) mod trace;

use std::borrow::Cow;

use crate::decode::model::{Resource, Scope};
use crate::decode::{Encoding, Error, Malformed, Rows, Segment};
pub(crate) use reader::Raw;
use reader::Reader;

/// What a signal calls its envelopes.
pub(crate) struct Names {
    request: &'static [&'static str],
    resource: &'static [&'static str],
    scope: &'static [&'static str],
}

pub(crate) const TRACES: Names = Names {
    request: &["resourceSpans"],
    resource: &["resource", "schemaUrl", "scopeSpans"],
    scope: &["scope", "schemaUrl", "spans"],
};

pub(crate) const LOGS: Names = Names {
    request: &["resourceLogs"],
    resource: &["resource", "schemaUrl", "scopeLogs"],
    scope: &["scope", "schemaUrl", "logRecords"],
};

pub(crate) const METRICS: Names = Names {
    request: &["resourceMetrics"],
    resource: &["resource", "schemaUrl", "scopeMetrics"],
    scope: &["scope", "schemaUrl", "metrics"],
};

/// Calls `item` for each item of a request, after telling `rows` where it
/// comes from.
pub(crate) fn walk<'a, R: Rows<'a>>(
    body: &'a [u8],
    names: &Names,
    rows: &mut R,
    mut item: impl FnMut(&mut R, Raw<'a>) -> Result<(), Error>,
) -> Result<(), Error> {
    let text = std::str::from_utf8(body).map_err(|error| {
        Malformed::at(Encoding::Json, error.valid_up_to(), "the text is not UTF-8")
    })?;
    let mut reader = Reader::new(text, rows.origin().limits().json_snake_case);
    reader.begin()?;
    reader.object(names.request, |reader, _| {
        reader.array(|reader| resource(reader, names, rows, &mut item))
    })?;
    reader.end()
}

fn resource<'a, R: Rows<'a>>(
    reader: &mut Reader<'a>,
    names: &Names,
    rows: &mut R,
    item: &mut impl FnMut(&mut R, Raw<'a>) -> Result<(), Error>,
) -> Result<(), Error> {
    let origin = rows.origin();
    let (mut resource, mut size) = (Resource::default(), 0);
    let (mut schema_url, mut scopes) = (Cow::Borrowed(""), None);
    origin.notes.too_deep = false;
    reader.object(names.resource, |reader, name| {
        match name {
            "resource" => {
                let raw = reader.raw()?;
                size = raw.len();
                if !origin.too_large(size) {
                    attributes::resource(&mut raw.reader(), &mut resource, &mut origin.notes)?;
                }
            }
            "schemaUrl" => schema_url = reader.text()?,
            _ => scopes = Some(reader.raw()?),
        }
        Ok(())
    })?;
    origin.enter_resource(resource, schema_url, size);
    let Some(scopes) = scopes else { return Ok(()) };
    let walked = scopes.reader().array(|reader| scope(reader, names, rows, item));
    walked.map_err(|error| error.within(Segment::Field(names.resource[2].into())))
}

fn scope<'a, R: Rows<'a>>(
    reader: &mut Reader<'a>,
    names: &Names,
    rows: &mut R,
    item: &mut impl FnMut(&mut R, Raw<'a>) -> Result<(), Error>,
) -> Result<(), Error> {
    let origin = rows.origin();
    let (mut scope, mut size) = (Scope::default(), 0);
    let (mut schema_url, mut items) = (Cow::Borrowed(""), None);
    origin.notes.too_deep = false;
    reader.object(names.scope, |reader, name| {
        match name {
            "scope" => {
                let raw = reader.raw()?;
                size = raw.len();
                if !origin.too_large(size) {
                    attributes::scope(&mut raw.reader(), &mut scope, &mut origin.notes)?;
                }
            }
            "schemaUrl" => schema_url = reader.text()?,
            _ => items = Some(reader.raw()?),
        }
        Ok(())
    })?;
    origin.enter_scope(scope, schema_url, size);
    let Some(items) = items else { return Ok(()) };
    let walked = items.reader().array(|reader| item(rows, reader.raw()?));
    walked.map_err(|error| error.within(Segment::Field(names.scope[2].into())))
}
