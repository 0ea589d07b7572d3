//! `spans`: one row per span.

use std::sync::Arc;

use arrow::datatypes::DataType::{Boolean, Int64, Utf8};

use super::common::{list, signal_table, string_map, structure};
use super::trace_parts;
use crate::Signal;
use crate::table::{Column, ColumnType, Derived, Promotion, TableDef};

pub const NAME: &str = "spans";

pub fn table(extra: &[Promotion], trace_parts: Arc<TableDef>) -> TableDef {
    let event = structure(&[
        ("time_unix_nano", Int64),
        ("name", Utf8),
        ("attributes", string_map()),
        ("dropped_attributes_count", Int64),
    ]);
    let link = structure(&[
        ("trace_id", Utf8),
        ("span_id", Utf8),
        ("trace_state", Utf8),
        ("attributes", string_map()),
        ("flags", Int64),
        ("dropped_attributes_count", Int64),
    ]);
    let c = Column::new;
    let own = vec![
        c("trace_id", Utf8, "Trace id, 32 lower-case hex digits."),
        c("span_id", Utf8, "Span id, 16 lower-case hex digits."),
        c("parent_span_id", Utf8, "Span id of the parent; NULL for a root."),
        c("trace_state", Utf8, "W3C trace state."),
        c("flags", Int64, "W3C trace flags and OTLP's remote bits."),
        c("name", Utf8, "Span name."),
        c(
            "kind",
            Utf8,
            "SERVER, CLIENT, INTERNAL, PRODUCER, CONSUMER or UNSPECIFIED; an unknown number as its digits.",
        ),
        c(
            "duration_ns",
            Int64,
            "End minus start in nanoseconds; negative if the sender's clock stepped.",
        ),
        c("status_code", Utf8, "UNSET, OK or ERROR; an unknown number as its digits."),
        c("status_message", Utf8, "Status message."),
        c("is_error", Boolean, "Status ERROR, or unset with an HTTP 5xx or a gRPC failure code."),
        c("events", list(event), "Events in the span, in the sender's order."),
        c("links", list(link), "Links to other spans."),
        c("dropped_attributes_count", Int64, "Attributes the sender dropped."),
        c("dropped_events_count", Int64, "Events the sender dropped."),
        c("dropped_links_count", Int64, "Links the sender dropped."),
    ];
    use ColumnType::{Int, Text};
    let record = [
        ("http.request.method", Text),
        ("http.response.status_code", Int),
        ("http.route", Text),
        ("url.path", Text),
        ("server.address", Text),
        ("server.port", Int),
        ("rpc.system", Text),
        ("rpc.service", Text),
        ("rpc.method", Text),
        ("rpc.grpc.status_code", Int),
        ("db.system.name", Text),
        ("db.operation.name", Text),
        ("db.collection.name", Text),
        ("messaging.system", Text),
        ("messaging.destination.name", Text),
        ("error.type", Text),
    ];
    let doc = "One row per span.";
    let mut table = signal_table(NAME, doc, own, &record, extra);
    table.signal = Some(Signal::Traces);
    table.sort = &["service_name", "time"];
    table.bloom = &["trace_id"];
    table.derived = Some(Derived {
        table: trace_parts,
        inputs: trace_parts::INPUTS,
        derive: trace_parts::derive,
    });
    table
}
