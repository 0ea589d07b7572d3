//! `opentelemetry.proto.trace.v1`.

use super::super::Error;
use super::super::model::{Event, Id, Link, Span};
use super::super::outcome::Notes;
use super::super::wire::Chunk;
use super::at;
use super::attributes::key_value;

pub(in super::super) fn span<'a>(
    mut fields: Chunk<'a>,
    into: &mut Span<'a>,
    notes: &mut Notes<'a>,
) -> Result<(), Error> {
    while let Some((tag, field)) = fields.next()? {
        match tag {
            1 => into.trace_id = Id::from_bytes(field.chunk()?.bytes),
            2 => into.span_id = Id::from_bytes(field.chunk()?.bytes),
            3 => into.trace_state = at("trace_state", field.text(notes))?,
            4 => into.parent_span_id = Id::from_bytes(field.chunk()?.bytes),
            5 => into.name = at("name", field.text(notes))?,
            6 => into.kind = field.int32()?,
            7 => into.start_time_unix_nano = field.fixed64()?,
            8 => into.end_time_unix_nano = field.fixed64()?,
            9 => key_value(field.chunk()?, &mut into.attributes, notes)?,
            10 => into.dropped_attributes_count = field.uint32()?,
            11 => into.events.push(at("events", event(field.chunk()?, notes))?),
            12 => into.dropped_events_count = field.uint32()?,
            13 => into.links.push(at("links", link(field.chunk()?, notes))?),
            14 => into.dropped_links_count = field.uint32()?,
            15 => at("status", status(field.chunk()?, into, notes))?,
            16 => into.flags = field.fixed32()?,
            _ => {}
        }
    }
    Ok(())
}

fn status<'a>(
    mut fields: Chunk<'a>,
    into: &mut Span<'a>,
    notes: &mut Notes<'a>,
) -> Result<(), Error> {
    while let Some((tag, field)) = fields.next()? {
        match tag {
            2 => into.status_message = at("message", field.text(notes))?,
            3 => into.status_code = field.int32()?,
            _ => {}
        }
    }
    Ok(())
}

fn event<'a>(mut fields: Chunk<'a>, notes: &mut Notes<'a>) -> Result<Event<'a>, Error> {
    let mut event = Event::default();
    while let Some((tag, field)) = fields.next()? {
        match tag {
            1 => event.time_unix_nano = field.fixed64()?,
            2 => event.name = at("name", field.text(notes))?,
            3 => key_value(field.chunk()?, &mut event.attributes, notes)?,
            4 => event.dropped_attributes_count = field.uint32()?,
            _ => {}
        }
    }
    Ok(event)
}

fn link<'a>(mut fields: Chunk<'a>, notes: &mut Notes<'a>) -> Result<Link<'a>, Error> {
    let mut link = Link::default();
    while let Some((tag, field)) = fields.next()? {
        match tag {
            1 => link.trace_id = Id::from_bytes(field.chunk()?.bytes),
            2 => link.span_id = Id::from_bytes(field.chunk()?.bytes),
            3 => link.trace_state = at("trace_state", field.text(notes))?,
            4 => key_value(field.chunk()?, &mut link.attributes, notes)?,
            5 => link.dropped_attributes_count = field.uint32()?,
            6 => link.flags = field.fixed32()?,
            _ => {}
        }
    }
    Ok(link)
}
