//! `opentelemetry.proto.trace.v1` as JSON.

use crate::decode::model::{Event, Link, Span};
use crate::decode::{Error, Notes};

use super::attributes::key_values;
use super::reader::{Raw, Reader};

const SPAN: &[&str] = &[
    "traceId",
    "spanId",
    "parentSpanId",
    "traceState",
    "flags",
    "name",
    "kind",
    "startTimeUnixNano",
    "endTimeUnixNano",
    "attributes",
    "droppedAttributesCount",
    "events",
    "droppedEventsCount",
    "links",
    "droppedLinksCount",
    "status",
];

const KINDS: &[&str] = &["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];

pub(crate) fn span<'a>(item: Raw<'a>, into: &mut Span<'a>, notes: &mut Notes) -> Result<(), Error> {
    item.reader().object(SPAN, |reader, name| {
        match name {
            "traceId" => into.trace_id = reader.id()?,
            "spanId" => into.span_id = reader.id()?,
            "parentSpanId" => into.parent_span_id = reader.id()?,
            "traceState" => into.trace_state = reader.text()?,
            "flags" => into.flags = reader.u32()?,
            "name" => into.name = reader.text()?,
            "kind" => into.kind = reader.enumeration("SPAN_KIND_", KINDS, notes)?,
            "startTimeUnixNano" => into.start_time_unix_nano = reader.u64()?,
            "endTimeUnixNano" => into.end_time_unix_nano = reader.u64()?,
            "attributes" => key_values(reader, &mut into.attributes, notes)?,
            "droppedAttributesCount" => into.dropped_attributes_count = reader.u32()?,
            "events" => reader.array(|reader| {
                into.events.push(event(reader, notes)?);
                Ok(())
            })?,
            "droppedEventsCount" => into.dropped_events_count = reader.u32()?,
            "links" => reader.array(|reader| {
                into.links.push(link(reader, notes)?);
                Ok(())
            })?,
            "droppedLinksCount" => into.dropped_links_count = reader.u32()?,
            _ => status(reader, into, notes)?,
        }
        Ok(())
    })
}

fn status<'a>(
    reader: &mut Reader<'a>,
    into: &mut Span<'a>,
    notes: &mut Notes,
) -> Result<(), Error> {
    reader.object(&["message", "code"], |reader, name| {
        match name {
            "message" => into.status_message = reader.text()?,
            _ => {
                let names = &["UNSET", "OK", "ERROR"];
                into.status_code = reader.enumeration("STATUS_CODE_", names, notes)?;
            }
        }
        Ok(())
    })
}

fn event<'a>(reader: &mut Reader<'a>, notes: &mut Notes) -> Result<Event<'a>, Error> {
    let mut event = Event::default();
    let names = &["timeUnixNano", "name", "attributes", "droppedAttributesCount"];
    reader.object(names, |reader, name| {
        match name {
            "timeUnixNano" => event.time_unix_nano = reader.u64()?,
            "name" => event.name = reader.text()?,
            "attributes" => key_values(reader, &mut event.attributes, notes)?,
            _ => event.dropped_attributes_count = reader.u32()?,
        }
        Ok(())
    })?;
    Ok(event)
}

fn link<'a>(reader: &mut Reader<'a>, notes: &mut Notes) -> Result<Link<'a>, Error> {
    let mut link = Link::default();
    let names =
        &["traceId", "spanId", "traceState", "attributes", "droppedAttributesCount", "flags"];
    reader.object(names, |reader, name| {
        match name {
            "traceId" => link.trace_id = reader.id()?,
            "spanId" => link.span_id = reader.id()?,
            "traceState" => link.trace_state = reader.text()?,
            "attributes" => key_values(reader, &mut link.attributes, notes)?,
            "droppedAttributesCount" => link.dropped_attributes_count = reader.u32()?,
            _ => link.flags = reader.u32()?,
        }
        Ok(())
    })?;
    Ok(link)
}
