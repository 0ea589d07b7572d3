//! `logs`: one row per log record or event.

use std::mem;

use super::attributes::RecordAttributes;
use super::columns::{Finished, Integers, Longs, Texts, append_id, append_text};
use super::model::{LogRecord, Value};
use super::origin::{Origin, Rows};
use super::outcome::{Decoded, Notes, Reason};
use super::text::{letter, nanos, render};
use super::{Context, Encoding, Error, protobuf};
use crate::json;

pub(super) fn decode<'a>(
    encoding: Encoding,
    body: &'a [u8],
    cx: &Context<'a>,
) -> Result<Decoded, Error> {
    let mut rows = LogRows::new(cx);
    match encoding {
        Encoding::Protobuf => protobuf::walk(body, &mut rows, |rows, chunk| {
            rows.record(chunk.bytes.len(), |record, notes| {
                protobuf::logs::log_record(chunk, record, notes)
            })
        })?,
        Encoding::Json => json::walk(body, &json::LOGS, &mut rows, |rows, item| {
            rows.record(item.len(), |record, notes| json::logs::log_record(item, record, notes))
        })?,
    }
    rows.finish(cx)
}

struct LogRows<'a> {
    origin: Origin<'a>,
    attributes: RecordAttributes<'a>,
    /// The record at hand; kept for its allocations.
    record: LogRecord<'a>,
    buffer: String,
    columns: Columns,
}

#[derive(Default)]
struct Columns {
    trace_id: Texts,
    span_id: Texts,
    flags: Longs,
    severity_number: Integers,
    severity_text: Texts,
    severity: Texts,
    event_name: Texts,
    body: Texts,
    body_type: Texts,
    observed_time_unix_nano: Longs,
    dropped_attributes_count: Longs,
}

impl<'a> Rows<'a> for LogRows<'a> {
    fn origin(&mut self) -> &mut Origin<'a> {
        &mut self.origin
    }
}

impl<'a> LogRows<'a> {
    fn new(cx: &Context<'a>) -> LogRows<'a> {
        LogRows {
            origin: Origin::new(cx),
            attributes: RecordAttributes::new(cx.table),
            record: LogRecord::default(),
            buffer: String::new(),
            columns: Columns::default(),
        }
    }

    /// Reads one record and appends its row, or rejects it.
    fn record(
        &mut self,
        size: usize,
        read: impl FnOnce(&mut LogRecord<'a>, &mut Notes<'a>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.origin.enter_item();
        if !self.origin.admits("log record", size) {
            return Ok(());
        }
        let mut attributes = mem::take(&mut self.record.attributes);
        attributes.clear();
        let mut record = LogRecord { attributes, ..LogRecord::default() };
        read(&mut record, &mut self.origin.notes)?;
        if self.origin.admits_depth("log record") {
            let times = (nanos(record.time_unix_nano), nanos(record.observed_time_unix_nano));
            match times {
                (Some(time), Some(observed)) => self.append(&record, time, observed, size)?,
                _ => self.origin.reject(Reason::OutOfRange, "log record", |_| {
                    "it has a time after the year 2262".into()
                }),
            }
        }
        self.record = record;
        Ok(())
    }

    fn append(
        &mut self,
        record: &LogRecord<'_>,
        time: i64,
        observed: i64,
        size: usize,
    ) -> Result<(), Error> {
        let LogRows { origin, attributes, buffer, columns: c, .. } = self;
        let (row, limits) = (origin.row(), origin.limits());
        attributes.sort(&record.attributes, limits, &mut origin.notes.warnings);
        origin.charge(size + attributes.sorted.bytes)?;
        attributes.append(&record.attributes, row, |_| ());

        match &record.body {
            Value::Empty => {
                c.body.append_null();
                c.body_type.append_null();
            }
            Value::Text(text) => {
                c.body.append_value(text);
                c.body_type.append_value("s");
            }
            structured => {
                buffer.clear();
                render(structured, buffer);
                origin.charge(buffer.len())?;
                c.body.append_value(&buffer);
                c.body_type.append_value(letter(structured).encode_utf8(&mut [0; 4]));
            }
        }
        let warnings = &mut origin.notes.warnings;
        append_id(&mut c.trace_id, &record.trace_id, buffer, warnings);
        append_id(&mut c.span_id, &record.span_id, buffer, warnings);
        c.flags.append_value(i64::from(record.flags));
        c.severity_number.append_value(record.severity_number);
        append_text(&mut c.severity_text, &record.severity_text);
        c.severity.append_option(severity(record.severity_number, &record.severity_text));
        append_text(&mut c.event_name, &record.event_name);
        c.observed_time_unix_nano.append_value(observed);
        let dropped = i64::from(record.dropped_attributes_count) + attributes.sorted.dropped;
        c.dropped_attributes_count.append_value(dropped);
        // The arrival has its own column and never stands in for these (D2).
        origin.accept(if time == 0 { observed } else { time })
    }

    fn finish(self, cx: &Context<'_>) -> Result<Decoded, Error> {
        let LogRows { origin, attributes, columns: c, .. } = self;
        origin.finish(|finished: &mut Finished<'_>, rows| {
            let shapes = attributes.finish(finished, cx.table, rows)?;
            finished.sparse("trace_id", c.trace_id, rows);
            finished.sparse("span_id", c.span_id, rows);
            finished.sparse("flags", c.flags, rows);
            finished.sparse("severity_number", c.severity_number, rows);
            finished.sparse("severity_text", c.severity_text, rows);
            finished.sparse("severity", c.severity, rows);
            finished.sparse("event_name", c.event_name, rows);
            finished.sparse("body", c.body, rows);
            finished.sparse("body_type", c.body_type, rows);
            finished.sparse("observed_time_unix_nano", c.observed_time_unix_nano, rows);
            finished.sparse("dropped_attributes_count", c.dropped_attributes_count, rows);
            Ok(vec![shapes])
        })
    }
}

/// The level of a record: from its number, else from what its source calls it,
/// by the beginning of the word and in any case.
fn severity(number: i32, text: &str) -> Option<&'static str> {
    const LEVELS: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
    const NAMES: [(&str, usize); 17] = [
        ("trace", 0),
        ("verbose", 0),
        ("finest", 0),
        ("debug", 1),
        ("fine", 1),
        ("info", 2),
        ("notice", 2),
        ("log", 2),
        ("warn", 3),
        ("err", 4),
        ("severe", 4),
        ("fatal", 5),
        ("crit", 5),
        ("alert", 5),
        ("emerg", 5),
        ("panic", 5),
        ("dpanic", 5),
    ];
    if (1..=24).contains(&number) {
        return LEVELS.get((number as usize - 1) / 4).copied();
    }
    let begins =
        |name: &str| text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    let level = NAMES.iter().find(|(name, _)| begins(name)).map(|(_, level)| *level)?;
    LEVELS.get(level).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: records that tell their level by number, by text, or not.
    /// Guarantees: the number counts first, texts of common sources are known.
    #[test]
    fn levels_are_told_by_number_then_by_text() {
        assert_eq!(severity(1, "ERROR"), Some("TRACE"));
        assert_eq!(severity(4, ""), Some("TRACE"));
        assert_eq!(severity(5, ""), Some("DEBUG"));
        assert_eq!(severity(12, ""), Some("INFO"));
        assert_eq!(severity(13, ""), Some("WARN"));
        assert_eq!(severity(20, ""), Some("ERROR"));
        assert_eq!(severity(24, ""), Some("FATAL"));
        assert_eq!(severity(25, "Warning"), Some("WARN"));
        assert_eq!(severity(-1, "err"), Some("ERROR"));
        assert_eq!(severity(0, "Information"), Some("INFO"));
        assert_eq!(severity(0, "CRITICAL"), Some("FATAL"));
        assert_eq!(severity(0, "FINEST"), Some("TRACE"));
        assert_eq!(severity(0, "ü"), None);
        assert_eq!(severity(0, ""), None);
    }
}
