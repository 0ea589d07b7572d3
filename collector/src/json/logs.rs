//! `opentelemetry.proto.logs.v1` as JSON.

use crate::decode::model::LogRecord;
use crate::decode::{Error, Notes};

use super::attributes::{key_values, value};
use super::reader::Raw;

const LOG_RECORD: &[&str] = &[
    "timeUnixNano",
    "observedTimeUnixNano",
    "severityNumber",
    "severityText",
    "body",
    "attributes",
    "droppedAttributesCount",
    "flags",
    "traceId",
    "spanId",
    "eventName",
];

/// In the order of their numbers.
const SEVERITIES: &[&str] = &[
    "UNSPECIFIED",
    "TRACE",
    "TRACE2",
    "TRACE3",
    "TRACE4",
    "DEBUG",
    "DEBUG2",
    "DEBUG3",
    "DEBUG4",
    "INFO",
    "INFO2",
    "INFO3",
    "INFO4",
    "WARN",
    "WARN2",
    "WARN3",
    "WARN4",
    "ERROR",
    "ERROR2",
    "ERROR3",
    "ERROR4",
    "FATAL",
    "FATAL2",
    "FATAL3",
    "FATAL4",
];

pub(crate) fn log_record<'a>(
    item: Raw<'a>,
    into: &mut LogRecord<'a>,
    notes: &mut Notes,
) -> Result<(), Error> {
    item.reader().object(LOG_RECORD, |reader, name| {
        match name {
            "timeUnixNano" => into.time_unix_nano = reader.u64()?,
            "observedTimeUnixNano" => into.observed_time_unix_nano = reader.u64()?,
            "severityNumber" => {
                into.severity_number = reader.enumeration("SEVERITY_NUMBER_", SEVERITIES, notes)?;
            }
            "severityText" => into.severity_text = reader.text()?,
            "body" => into.body = value(reader, 0, notes)?,
            "attributes" => key_values(reader, &mut into.attributes, notes)?,
            "droppedAttributesCount" => into.dropped_attributes_count = reader.u32()?,
            "flags" => into.flags = reader.u32()?,
            "traceId" => into.trace_id = reader.id()?,
            "spanId" => into.span_id = reader.id()?,
            _ => into.event_name = reader.text()?,
        }
        Ok(())
    })
}
