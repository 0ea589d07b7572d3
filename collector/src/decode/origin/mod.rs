//! The columns that a resource and a scope give to all their items, written once
//! for all of them, and the books of a request: rows, bytes, rejections.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`part`] | the columns of a resource or a scope |
//!
//! This file keeps the place of the walk, decides what a request may still
//! take, and adds what every row has: its time, its day, its node.

mod part;

use std::mem;
use std::sync::Arc;

use arrow::array::{Date32Array, TimestampMicrosecondArray};
use arrow::datatypes::Int64Type;
use schema::Scope as AttributeScope;
use schema::rows::{Held, ORIGINS};
use schema::table::PARTITION;

use super::columns::{Filled, Finished, Texts, append_text};
use super::model::{Resource, Scope, Text};
use super::outcome::{Decoded, Notes, Reason, Rejected};
use super::series::Digest;
use super::{Context, Error, Limits};
use part::Part;

/// Nanoseconds.
const DAY: i64 = 86_400_000_000_000;

/// Offsets of Arrow's lists and strings have 31 bits; this leaves room for the
/// one item that passes the limit.
const MOST_BATCH_BYTES: usize = 1 << 30;

/// Numbers, offsets and validity of a row, roughly.
const ROW_BYTES: usize = 400;

/// What the walks over both encodings need of the builder of a signal.
pub(crate) trait Rows<'a> {
    fn origin(&mut self) -> &mut Origin<'a>;
}

#[derive(Debug)]
pub(crate) struct Origin<'a> {
    cx: Context<'a>,
    pub notes: Notes<'a>,
    pub(in crate::decode) digest: Digest,
    rejected: Rejected,
    place: Place,
    bytes: usize,
    resource: Part<'a>,
    scope: Part<'a>,
    scope_name: Text<'a>,
    scope_version: Text<'a>,
    /// Whether the resource and scope at hand are the last of the origins.
    entered: bool,
    origins: usize,
    /// Per row its origin.
    origin_of: Filled<u32>,
    time_unix_nano: Filled<i64>,
    scope_names: Texts,
    scope_versions: Texts,
}

/// Where the item at hand stands, for the message to the sender.
#[derive(Debug, Default)]
struct Place {
    resources: usize,
    scopes: usize,
    items: usize,
}

impl<'a> Origin<'a> {
    pub fn new(cx: &Context<'a>) -> Origin<'a> {
        Origin {
            cx: *cx,
            notes: Notes::new(cx.limits.max_depth),
            digest: Digest::default(),
            rejected: Rejected::default(),
            place: Place::default(),
            bytes: 0,
            resource: Part::new(cx.table, AttributeScope::Resource),
            scope: Part::new(cx.table, AttributeScope::Scope),
            scope_name: Text::default(),
            scope_version: Text::default(),
            entered: false,
            origins: 0,
            origin_of: Filled::default(),
            time_unix_nano: Filled::default(),
            scope_names: Texts::few(),
            scope_versions: Texts::few(),
        }
    }

    pub fn limits(&self) -> &'a Limits {
        self.cx.limits
    }

    /// The row that is built next.
    pub fn row(&self) -> usize {
        self.origin_of.len()
    }

    /// Whether that many encoded bytes are too many for a record.
    pub fn too_large(&self, size: usize) -> bool {
        size > self.cx.limits.max_record_bytes
    }

    /// An empty resource, with the room that the one before took.
    pub fn next_resource(&mut self) -> Resource<'a> {
        Resource { attributes: self.resource.leave(), ..Resource::default() }
    }

    pub fn enter_resource(&mut self, resource: Resource<'a>, schema_url: Text<'a>, size: usize) {
        self.entered = false;
        let Resource { attributes, dropped_attributes_count } = resource;
        let fault = self.fault(size);
        self.resource.enter(attributes, dropped_attributes_count, schema_url, fault);
        self.place = Place { resources: self.place.resources + 1, ..Place::default() };
    }

    pub fn enter_scope(&mut self, scope: Scope<'a>, schema_url: Text<'a>, size: usize) {
        self.entered = false;
        let Scope { name, version, attributes, dropped_attributes_count } = scope;
        let fault = self.fault(size);
        self.scope.enter(attributes, dropped_attributes_count, schema_url, fault);
        (self.scope_name, self.scope_version) = (name, version);
        self.place.scopes += 1;
        self.place.items = 0;
    }

    fn fault(&mut self, size: usize) -> Option<Reason> {
        let too_deep = mem::take(&mut self.notes.too_deep);
        let too_large = self.too_large(size).then_some(Reason::TooLarge);
        too_large.or(too_deep.then_some(Reason::TooDeep))
    }

    /// Counts a span, log record or metric.
    pub fn enter_item(&mut self) {
        self.place.items += 1;
        self.notes.too_deep = false;
    }

    /// Whether origin and size let an item or point in; else it is rejected
    /// and need not be read.
    pub fn admits(&mut self, what: &str, size: usize) -> bool {
        self.notes.too_deep = false;
        let large = self.too_large(size).then_some(Reason::TooLarge);
        let (reason, whose) = match (self.resource.fault, self.scope.fault, large) {
            (Some(reason), _, _) => (reason, "its resource"),
            (None, Some(reason), _) => (reason, "its scope"),
            (None, None, Some(reason)) => (reason, "it"),
            (None, None, None) => return true,
        };
        self.reject(reason, what, |limits| match reason {
            Reason::TooDeep => format!("{whose} nests values over {} deep", limits.max_depth),
            _ => format!("{whose} takes over {} bytes", limits.max_record_bytes),
        });
        false
    }

    /// Whether the item or point that was just read is not nested too deep;
    /// else it is rejected.
    pub fn admits_depth(&mut self, what: &str) -> bool {
        let too_deep = mem::take(&mut self.notes.too_deep);
        if too_deep {
            self.reject(Reason::TooDeep, what, |limits| {
                format!("it nests values over {} deep", limits.max_depth)
            });
        }
        !too_deep
    }

    /// Rejects the item at hand, or a point of it.
    pub fn reject(&mut self, reason: Reason, what: &str, why: impl FnOnce(&Limits) -> String) {
        let Place { resources, scopes, items } = self.place;
        let limits = self.cx.limits;
        self.rejected.add(reason, || {
            let index = |count: usize| count.saturating_sub(1);
            let (resource, scope, item) = (index(resources), index(scopes), index(items));
            format!("{what} [{resource}][{scope}][{item}]: {}", why(limits))
        });
    }

    /// Pays for bytes of rows; past the limit the request ends.
    pub fn charge(&mut self, bytes: usize) -> Result<(), Error> {
        self.bytes = self.bytes.saturating_add(bytes);
        let limit = self.cx.limits.max_batch_bytes.min(MOST_BATCH_BYTES);
        if self.bytes > limit { Err(Error::TooLarge { limit }) } else { Ok(()) }
    }

    /// Ends a row with what its time says, and names its origin.
    pub fn accept(&mut self, time_unix_nano: i64) -> Result<(), Error> {
        self.prepare();
        // Rows are charged for what they are when somebody reads all of them.
        let names = self.scope_name.len() + self.scope_version.len() + self.cx.node_id.len();
        self.charge(self.resource.bytes() + self.scope.bytes() + names + ROW_BYTES)?;
        if !self.entered {
            self.resource.append(self.origins);
            self.scope.append(self.origins);
            append_text(&mut self.scope_names, &self.scope_name);
            append_text(&mut self.scope_versions, &self.scope_version);
            (self.entered, self.origins) = (true, self.origins + 1);
        }
        self.time_unix_nano.push(time_unix_nano);
        // A request has fewer bytes than this has numbers.
        self.origin_of.push(self.origins as u32 - 1);
        Ok(())
    }

    /// Hashes of the resource and the scope at hand, for `series_id`.
    pub fn digests(&mut self) -> (u64, u64) {
        self.prepare();
        (self.resource.digest(), self.scope.digest())
    }

    fn prepare(&mut self) {
        let Origin { cx, notes, digest, resource, scope, scope_name, scope_version, .. } = self;
        resource.prepare(cx.limits, &mut notes.warnings, || digest.start());
        scope.prepare(cx.limits, &mut notes.warnings, || {
            digest.start().text(scope_name).text(scope_version)
        });
    }

    /// Ends the request: the columns of this file join the signal's own, and what
    /// else is held of its rows.
    pub(in crate::decode) fn finish(
        self,
        own: impl FnOnce(&mut Finished<'_>, usize) -> Result<Vec<Held>, Error>,
    ) -> Result<Decoded, Error> {
        let Origin { cx, notes, rejected, resource, scope, origins, origin_of, .. } = self;
        let rows = origin_of.len();
        let accepted = rows as u64;
        let outcome = Decoded { rows: None, accepted, rejected, warnings: notes.warnings };
        if rows == 0 {
            return Ok(outcome);
        }
        let layout = &cx.table.layout;
        let mut finished = Finished::new(&layout.own);
        let others = own(&mut finished, rows)?;
        let times = self.time_unix_nano.as_slice().iter();
        let micros = cx.ingest_unix_nano.div_euclid(1000);
        let time = times.clone().map(|time| time.div_euclid(1000));
        let time = TimestampMicrosecondArray::from_iter_values(time).with_timezone("UTC");
        let date = times.map(|time| day(*time, cx.ingest_unix_nano));
        let ingest_time = TimestampMicrosecondArray::from_value(micros, rows).with_timezone("UTC");
        finished.add("time", Arc::new(time));
        finished.add("ingest_time", Arc::new(ingest_time));
        finished.add(PARTITION, Arc::new(Date32Array::from_iter_values(date)));
        finished.add("time_unix_nano", self.time_unix_nano.column::<Int64Type>());
        let own = finished.columns();

        let mut finished = Finished::new(&layout.held[ORIGINS]);
        let mut node_id = Texts::few();
        node_id.append_value_n(cx.node_id, origins);
        finished.sparse("node_id", node_id, origins);
        finished.sparse("scope_name", self.scope_names, origins);
        finished.sparse("scope_version", self.scope_versions, origins);
        resource.finish(&mut finished, origins)?;
        scope.finish(&mut finished, origins)?;
        let values = finished.batch(origins)?;
        let origins = Held { of: origin_of.exact(), values };
        let held = std::iter::once(origins).chain(others).collect();
        Ok(Decoded { rows: Some(schema::Rows::new(layout, own, held)?), ..outcome })
    }
}

/// The partition of a row, in days since 1970: absurd clocks must not make
/// partitions without bound (D3), so a time that is over 30 days old or over a
/// day ahead counts as the day of arrival.
fn day(time: i64, ingest: i64) -> i32 {
    let age = ingest.saturating_sub(time);
    let trusted = (-DAY..=30 * DAY).contains(&age);
    (if trusted { time } else { ingest }).div_euclid(DAY) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: times at the edges of what a clock may be off, and beyond.
    /// Guarantees: absurd times make no partitions of their own (D3).
    #[test]
    fn otlp_d3_absurd_times_count_as_the_day_of_arrival() {
        let ingest = 20_000 * DAY + DAY / 2;
        assert_eq!(day(ingest, ingest), 20_000);
        assert_eq!(day(ingest - 30 * DAY, ingest), 19_970);
        assert_eq!(day(ingest - 30 * DAY - 1, ingest), 20_000);
        assert_eq!(day(ingest + DAY, ingest), 20_001);
        assert_eq!(day(ingest + DAY + 1, ingest), 20_000);
        assert_eq!(day(0, ingest), 20_000);
        assert_eq!(day(i64::MAX, ingest), 20_000);
        assert_eq!(day(i64::MAX, i64::MIN), (i64::MIN).div_euclid(DAY) as i32);
    }
}
