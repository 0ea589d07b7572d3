//! `logs`: one row per log record or event.

use arrow::datatypes::DataType::{Int32, Int64, Utf8};

use super::common::signal_table;
use crate::Signal;
use crate::table::{Column, ColumnType, Promotion, TableDef};

pub const NAME: &str = "logs";

pub fn table(extra: &[Promotion]) -> TableDef {
    let c = Column::new;
    let own = vec![
        c("trace_id", Utf8, "Trace id, 32 lower-case hex digits; NULL outside a trace."),
        c("span_id", Utf8, "Span id, 16 lower-case hex digits; NULL outside a span."),
        c("flags", Int64, "W3C trace flags."),
        c("severity_number", Int32, "OTLP severity, 1 to 24; 0 when not given."),
        c("severity_text", Utf8, "Severity as the source names it."),
        c(
            "severity",
            Utf8,
            "TRACE, DEBUG, INFO, WARN, ERROR or FATAL, from the number, else from the text; NULL when neither says.",
        ),
        c("event_name", Utf8, "Name of the event, when the record is one."),
        c("body", Utf8, "The body; a structured one as JSON text."),
        c("body_type", Utf8, "The body's type letter: s i d b j y; NULL when there is none."),
        c(
            "observed_time_unix_nano",
            Int64,
            "When the sender's side observed it, nanoseconds since 1970.",
        ),
        c("dropped_attributes_count", Int64, "Attributes the sender dropped."),
    ];
    use ColumnType::Text;
    let record = [("exception.type", Text), ("error.type", Text), ("log.iostream", Text)];
    let doc = "One row per log record or event.";
    let mut table = signal_table(NAME, doc, own, &record, extra);
    table.signal = Some(Signal::Logs);
    table.sort = &["service_name", "time"];
    table.bloom = &["trace_id"];
    table
}
