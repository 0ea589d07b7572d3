//! `opentelemetry.proto.logs.v1`.

use super::super::Error;
use super::super::model::{Id, LogRecord};
use super::super::outcome::Notes;
use super::super::wire::Chunk;
use super::at;
use super::attributes::{key_value, value};

pub(in super::super) fn log_record<'a>(
    mut fields: Chunk<'a>,
    into: &mut LogRecord<'a>,
    notes: &mut Notes<'a>,
) -> Result<(), Error> {
    while let Some((tag, field)) = fields.next()? {
        match tag {
            1 => into.time_unix_nano = field.fixed64()?,
            2 => into.severity_number = field.int32()?,
            3 => into.severity_text = at("severity_text", field.text(notes))?,
            5 => at("body", value(field.chunk()?, &mut into.body, 0, notes))?,
            6 => key_value(field.chunk()?, &mut into.attributes, notes)?,
            7 => into.dropped_attributes_count = field.uint32()?,
            8 => into.flags = field.fixed32()?,
            9 => into.trace_id = Id::from_bytes(field.chunk()?.bytes),
            10 => into.span_id = Id::from_bytes(field.chunk()?.bytes),
            11 => into.observed_time_unix_nano = field.fixed64()?,
            12 => into.event_name = at("event_name", field.text(notes))?,
            _ => {}
        }
    }
    Ok(())
}
