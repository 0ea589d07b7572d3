//! Events and links, in the sender's order.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::super::Error;
use super::super::attributes::Sorted;
use super::super::columns::{Longs, MapColumn, Structs, Texts, append_id, append_text};
use super::super::model::{Event, Link};
use super::super::origin::Origin;
use super::super::text::nanos;

/// Numbers and offsets of an event or link, roughly.
const BYTES: usize = 80;

#[derive(Debug, Default)]
pub(super) struct Events {
    list: Structs<false>,
    time_unix_nano: Longs,
    name: Texts,
    attributes: MapColumn,
    dropped: Longs,
    sorted: Sorted,
}

impl Events {
    /// Times were checked to fit.
    pub fn append(
        &mut self,
        row: usize,
        events: &[Event<'_>],
        origin: &mut Origin<'_>,
    ) -> Result<(), Error> {
        if events.is_empty() {
            return Ok(());
        }
        for event in events {
            let (sorted, limits) = (&mut self.sorted, origin.limits());
            sorted.sort(&event.attributes, None, limits, &mut origin.notes.warnings);
            origin.charge(sorted.bytes + BYTES)?;
            sorted.append_map(&event.attributes, &mut self.attributes);
            self.time_unix_nano.append_option(nanos(event.time_unix_nano));
            self.name.append_value(&event.name);
            let dropped = i64::from(event.dropped_attributes_count) + sorted.dropped;
            self.dropped.append_value(dropped);
            self.list.element();
        }
        self.list.end_row(row);
        Ok(())
    }

    pub fn finish(self, list: &DataType, rows: usize) -> Result<ArrayRef, ArrowError> {
        let count = self.list.elements();
        let fields = vec![
            self.time_unix_nano.column(count),
            self.name.column(count),
            self.attributes.finish()?,
            self.dropped.column(count),
        ];
        self.list.finish(list, fields, rows)
    }
}

#[derive(Debug, Default)]
pub(super) struct Links {
    list: Structs<false>,
    trace_id: Texts,
    span_id: Texts,
    trace_state: Texts,
    attributes: MapColumn,
    flags: Longs,
    dropped: Longs,
    sorted: Sorted,
}

impl Links {
    pub fn append(
        &mut self,
        row: usize,
        links: &[Link<'_>],
        origin: &mut Origin<'_>,
        hex: &mut String,
    ) -> Result<(), Error> {
        if links.is_empty() {
            return Ok(());
        }
        for link in links {
            let (sorted, limits) = (&mut self.sorted, origin.limits());
            sorted.sort(&link.attributes, None, limits, &mut origin.notes.warnings);
            origin.charge(sorted.bytes + BYTES)?;
            sorted.append_map(&link.attributes, &mut self.attributes);
            let warnings = &mut origin.notes.warnings;
            append_id(&mut self.trace_id, &link.trace_id, hex, warnings);
            append_id(&mut self.span_id, &link.span_id, hex, warnings);
            append_text(&mut self.trace_state, &link.trace_state);
            self.flags.append_value(i64::from(link.flags));
            let dropped = i64::from(link.dropped_attributes_count) + sorted.dropped;
            self.dropped.append_value(dropped);
            self.list.element();
        }
        self.list.end_row(row);
        Ok(())
    }

    pub fn finish(self, list: &DataType, rows: usize) -> Result<ArrayRef, ArrowError> {
        let count = self.list.elements();
        let fields = vec![
            self.trace_id.column(count),
            self.span_id.column(count),
            self.trace_state.column(count),
            self.attributes.finish()?,
            self.flags.column(count),
            self.dropped.column(count),
        ];
        self.list.finish(list, fields, rows)
    }
}
