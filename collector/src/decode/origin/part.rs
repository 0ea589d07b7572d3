//! The columns of a resource or a scope.
//!
//! Its attributes are sorted and rendered once, when its first item is
//! accepted, and stand once for all the rows that share it.

use std::mem;

use arrow::error::ArrowError;
use schema::{Scope, TableDef};

use super::super::Limits;
use super::super::attributes::Sorted;
use super::super::columns::{Finished, Longs, MapColumn, Promoted, Texts, append_text};
use super::super::model::{KeyValue, Text, Value};
use super::super::outcome::{Reason, Warnings};
use super::super::series::Digest;

/// The key whose column the older key below fills when it is not given.
const ENVIRONMENT: &str = "deployment.environment.name";
const OLD_ENVIRONMENT: &str = "deployment.environment";

#[derive(Debug)]
pub(super) struct Part<'a> {
    scope: Scope,
    attributes: Vec<KeyValue<'a>>,
    dropped: u32,
    schema_url: Text<'a>,
    /// Why none of its items can be accepted.
    pub fault: Option<Reason>,
    sorted: Sorted,
    /// None until a row asks.
    prepared: Option<Prepared>,
    map: MapColumn,
    types: Texts,
    schema_urls: Texts,
    dropped_counts: Longs,
    promoted: Promoted<'a>,
}

#[derive(Debug, Clone, Copy)]
struct Prepared {
    digest: u64,
    /// What each of its rows takes when they are projected.
    bytes: usize,
}

impl<'a> Part<'a> {
    pub fn new(table: &'a TableDef, scope: Scope) -> Part<'a> {
        Part {
            scope,
            attributes: Vec::new(),
            dropped: 0,
            schema_url: Text::default(),
            fault: None,
            sorted: Sorted::default(),
            prepared: None,
            map: MapColumn::few(),
            types: Texts::few(),
            schema_urls: Texts::few(),
            dropped_counts: Longs::few(),
            promoted: Promoted::new(table, scope),
        }
    }

    /// The room that its attributes took; it has been appended if it has rows.
    pub fn leave(&mut self) -> Vec<KeyValue<'a>> {
        let mut attributes = mem::take(&mut self.attributes);
        attributes.clear();
        attributes
    }

    /// Takes the place of the one before, which has been appended if it has rows.
    pub fn enter(
        &mut self,
        attributes: Vec<KeyValue<'a>>,
        dropped: u32,
        schema_url: Text<'a>,
        fault: Option<Reason>,
    ) {
        self.attributes = attributes;
        self.dropped = dropped;
        self.schema_url = schema_url;
        self.fault = fault;
        self.prepared = None;
    }

    pub fn prepare<'d>(
        &mut self,
        limits: &Limits,
        warnings: &mut Warnings,
        digest: impl FnOnce() -> &'d mut Digest,
    ) {
        if self.prepared.is_some() {
            return;
        }
        self.sorted.sort(&self.attributes, Some(&self.promoted), limits, warnings);
        let digest = digest().attributes(self.sorted.iter(&self.attributes)).finish();
        let bytes = self.sorted.bytes + self.schema_url.len() + 8 * self.attributes.len();
        self.prepared = Some(Prepared { digest, bytes });
    }

    /// Bytes that each of its rows takes when it is projected.
    pub fn bytes(&self) -> usize {
        self.prepared.as_ref().map_or(0, |prepared| prepared.bytes)
    }

    pub fn digest(&self) -> u64 {
        self.prepared.as_ref().map_or(0, |prepared| prepared.digest)
    }

    /// Appends it as row `row` of the origins, once it is prepared.
    pub fn append(&mut self, row: usize) {
        self.sorted.append_map(&self.attributes, &mut self.map);
        self.sorted.append_types(row, &mut self.types);
        append_text(&mut self.schema_urls, &self.schema_url);
        self.dropped_counts.append_value(i64::from(self.dropped) + self.sorted.dropped);

        let (mut environment, mut old) = (false, None);
        for attribute in self.sorted.iter(&self.attributes) {
            let text = attribute.text.unwrap_or_default();
            if let Some(column) = attribute.column {
                self.promoted.set(column, row, attribute.value, text);
            }
            environment |= attribute.key == ENVIRONMENT;
            if attribute.key == OLD_ENVIRONMENT {
                old = Some((attribute.value, text));
            }
        }
        // The old key also stays in the map, or where its own promotion puts it.
        if let (Scope::Resource, false, Some((value @ Value::Text(_), text))) =
            (self.scope, environment, old)
            && let Some(column) = self.promoted.position(ENVIRONMENT)
        {
            self.promoted.set(column, row, value, text);
        }
    }

    pub fn finish(self, finished: &mut Finished<'_>, rows: usize) -> Result<(), ArrowError> {
        let name = self.scope.as_str();
        finished.add(self.scope.map_column(), self.map.finish()?);
        // Scopes have so few attributes that their types are not kept.
        if self.scope == Scope::Resource {
            finished.sparse("resource_attribute_types", self.types, rows);
        }
        finished.sparse(&format!("{name}_schema_url"), self.schema_urls, rows);
        let dropped = format!("{name}_dropped_attributes_count");
        finished.sparse(&dropped, self.dropped_counts, rows);
        self.promoted.finish(finished, rows);
        Ok(())
    }
}
