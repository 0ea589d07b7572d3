//! `spans`: one row per span.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`status`] | kind and status by name, and what counts as an error |
//! | [`parts`] | events and links |

mod parts;
mod status;

use std::mem;

use super::attributes::RecordAttributes;
use super::columns::{Finished, Flags, Longs, Texts, append_text};
use super::model::{Id, Span};
use super::origin::{Origin, Rows};
use super::outcome::{Decoded, Notes, Reason, Warning};
use super::text::{hex, nanos, quoted};
use super::{Context, Encoding, Error, protobuf};
use crate::json;
use parts::{Events, Links};

pub(super) fn decode<'a>(
    encoding: Encoding,
    body: &'a [u8],
    cx: &Context<'a>,
) -> Result<Decoded, Error> {
    let mut rows = SpanRows::new(cx);
    match encoding {
        Encoding::Protobuf => protobuf::walk(body, &mut rows, |rows, chunk| {
            rows.span(chunk.bytes.len(), |span, notes| protobuf::trace::span(chunk, span, notes))
        })?,
        Encoding::Json => json::walk(body, &json::TRACES, &mut rows, |rows, item| {
            rows.span(item.len(), |span, notes| json::trace::span(item, span, notes))
        })?,
    }
    rows.finish(cx)
}

struct SpanRows<'a> {
    origin: Origin<'a>,
    attributes: RecordAttributes<'a>,
    /// The span at hand; kept for its allocations.
    span: Span<'a>,
    hex: String,
    events: Events,
    links: Links,
    columns: Columns,
}

#[derive(Default)]
struct Columns {
    trace_id: Texts,
    span_id: Texts,
    parent_span_id: Texts,
    trace_state: Texts,
    flags: Longs,
    name: Texts,
    kind: Texts,
    duration_ns: Longs,
    status_code: Texts,
    status_message: Texts,
    is_error: Flags,
    dropped_attributes_count: Longs,
    dropped_events_count: Longs,
    dropped_links_count: Longs,
}

impl<'a> Rows<'a> for SpanRows<'a> {
    fn origin(&mut self) -> &mut Origin<'a> {
        &mut self.origin
    }
}

/// What makes a span unacceptable, checked before anything is appended.
struct Checked {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    start: i64,
    duration: i64,
}

impl<'a> SpanRows<'a> {
    fn new(cx: &Context<'a>) -> SpanRows<'a> {
        SpanRows {
            origin: Origin::new(cx),
            attributes: RecordAttributes::new(cx.table),
            span: Span::default(),
            hex: String::new(),
            events: Events::default(),
            links: Links::default(),
            columns: Columns::default(),
        }
    }

    /// Reads one span and appends its row, or rejects it.
    fn span(
        &mut self,
        size: usize,
        read: impl FnOnce(&mut Span<'a>, &mut Notes<'a>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.origin.enter_item();
        if !self.origin.admits("span", size) {
            return Ok(());
        }
        let mut span = mem::take(&mut self.span);
        span.reset();
        read(&mut span, &mut self.origin.notes)?;
        if self.origin.admits_depth("span")
            && let Some(checked) = self.check(&span)
        {
            self.append(&span, &checked, size)?;
        }
        self.span = span;
        Ok(())
    }

    fn check(&mut self, span: &Span<'_>) -> Option<Checked> {
        let (Id::Valid(trace_id), Id::Valid(span_id)) = (span.trace_id, span.span_id) else {
            self.origin.reject(Reason::InvalidId, "span", |_| {
                let name = quoted(&span.name);
                format!("{name} needs a trace id of 16 bytes and a span id of 8, not zero")
            });
            return None;
        };
        if span.parent_span_id == Id::Invalid {
            self.origin.reject(Reason::InvalidId, "span", |_| {
                format!("{} needs a parent span id of 8 bytes or none", quoted(&span.name))
            });
            return None;
        }
        let (start, end) = (nanos(span.start_time_unix_nano), nanos(span.end_time_unix_nano));
        let events = span.events.iter().all(|event| nanos(event.time_unix_nano).is_some());
        let (Some(start), Some(end), true) = (start, end, events) else {
            self.origin.reject(Reason::OutOfRange, "span", |_| {
                format!("{} has a time after the year 2262", quoted(&span.name))
            });
            return None;
        };
        let warnings = &mut self.origin.notes.warnings;
        if start == 0 {
            warnings.add(Warning::MissingTime);
        }
        if end < start {
            warnings.add(Warning::EndBeforeStart);
        }
        // Both lie in 0..=i64::MAX, so the difference fits.
        Some(Checked { trace_id, span_id, start, duration: end - start })
    }

    fn append(&mut self, span: &Span<'_>, checked: &Checked, size: usize) -> Result<(), Error> {
        let SpanRows { origin, attributes, hex: buffer, events, links, columns: c, .. } = self;
        let (row, limits) = (origin.row(), origin.limits());
        attributes.sort(&span.attributes, limits, &mut origin.notes.warnings);
        origin.charge(size + attributes.sorted.bytes)?;
        attributes.append(&span.attributes, row, |_| ());
        events.append(row, &span.events, origin)?;
        links.append(row, &span.links, origin, buffer)?;

        c.trace_id.append_value(hex(&checked.trace_id, buffer));
        c.span_id.append_value(hex(&checked.span_id, buffer));
        match &span.parent_span_id {
            Id::Valid(id) => c.parent_span_id.append_value(hex(id, buffer)),
            _ => c.parent_span_id.append_null(),
        }
        append_text(&mut c.trace_state, &span.trace_state);
        c.flags.append_value(i64::from(span.flags));
        c.name.append_value(&span.name);
        c.kind.append_value(status::kind(span.kind));
        c.duration_ns.append_value(checked.duration);
        c.status_code.append_value(status::code(span.status_code));
        append_text(&mut c.status_message, &span.status_message);
        c.is_error.append_value(status::is_error(span));
        let dropped = i64::from(span.dropped_attributes_count) + attributes.sorted.dropped;
        c.dropped_attributes_count.append_value(dropped);
        c.dropped_events_count.append_value(i64::from(span.dropped_events_count));
        c.dropped_links_count.append_value(i64::from(span.dropped_links_count));
        origin.accept(checked.start)
    }

    fn finish(self, cx: &Context<'_>) -> Result<Decoded, Error> {
        let SpanRows { origin, attributes, events, links, columns: c, .. } = self;
        origin.finish(|finished: &mut Finished<'_>, rows| {
            let shapes = attributes.finish(finished, cx.table, rows)?;
            let schema = &cx.table.schema;
            let events = events.finish(schema.field_with_name("events")?.data_type(), rows)?;
            let links = links.finish(schema.field_with_name("links")?.data_type(), rows)?;
            finished.add("events", events);
            finished.add("links", links);
            finished.sparse("trace_id", c.trace_id, rows);
            finished.sparse("span_id", c.span_id, rows);
            finished.sparse("parent_span_id", c.parent_span_id, rows);
            finished.sparse("trace_state", c.trace_state, rows);
            finished.sparse("flags", c.flags, rows);
            finished.sparse("name", c.name, rows);
            finished.sparse("kind", c.kind, rows);
            finished.sparse("duration_ns", c.duration_ns, rows);
            finished.sparse("status_code", c.status_code, rows);
            finished.sparse("status_message", c.status_message, rows);
            finished.sparse("is_error", c.is_error, rows);
            finished.sparse("dropped_attributes_count", c.dropped_attributes_count, rows);
            finished.sparse("dropped_events_count", c.dropped_events_count, rows);
            finished.sparse("dropped_links_count", c.dropped_links_count, rows);
            Ok(vec![shapes])
        })
    }
}

impl Span<'_> {
    /// Empties it and keeps its allocations.
    fn reset(&mut self) {
        let mut kept = mem::take(self);
        kept.attributes.clear();
        kept.events.clear();
        kept.links.clear();
        self.attributes = kept.attributes;
        self.events = kept.events;
        self.links = kept.links;
    }
}
