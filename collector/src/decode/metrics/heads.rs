//! What a metric says of all its points, each once in a request.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use arrow::error::ArrowError;
use schema::TableDef;
use schema::rows::Held;
use schema::table::Of;

use super::super::attributes::Sorted;
use super::super::columns::{Finished, Flags, MapColumn, Texts, append_text};
use super::super::model::{Kind, Text};
use super::{Head, name_of};

#[derive(Debug, Default)]
pub(super) struct Heads<'a> {
    /// Every resource of a request tends to have the same metrics. By digest, which
    /// anybody can make two of: the later metric then takes the place.
    known: HashMap<u64, (Words<'a>, u32)>,
    /// The metric at hand, once it has a point.
    entered: Option<u32>,
    /// Per point its metric.
    of: Vec<u32>,
    count: u32,
    name: Texts,
    kind: Texts,
    unit: Texts,
    description: Texts,
    temporality: Texts,
    is_monotonic: Flags,
    metadata: MapColumn,
}

/// All that a metric without metadata says.
#[derive(Debug, PartialEq, Eq)]
struct Words<'a> {
    name: Text<'a>,
    description: Text<'a>,
    unit: Text<'a>,
    kind: Kind,
    temporality: i32,
    is_monotonic: bool,
}

impl<'a> Heads<'a> {
    /// Another metric follows.
    pub fn next(&mut self) {
        self.entered = None;
    }

    /// Takes a point of the metric at hand.
    pub fn accept(&mut self, head: &Head<'_, 'a>, metadata: &Sorted) {
        let index = match self.entered {
            Some(index) => index,
            None => self.enter(head, metadata),
        };
        self.entered = Some(index);
        self.of.push(index);
    }

    fn enter(&mut self, head: &Head<'_, 'a>, metadata: &Sorted) -> u32 {
        let (metric, next) = (head.metric, self.count);
        if metric.metadata.is_empty() {
            let words = Words {
                name: metric.name.clone(),
                description: metric.description.clone(),
                unit: metric.unit.clone(),
                kind: head.kind,
                temporality: metric.temporality,
                is_monotonic: metric.is_monotonic,
            };
            match self.known.entry(head.digest) {
                Entry::Occupied(known) if known.get().0 == words => return known.get().1,
                place => drop(place.insert_entry((words, next))),
            }
        }
        self.count += 1;
        self.name.append_value(&metric.name);
        self.kind.append_value(name_of(head.kind));
        append_text(&mut self.unit, &metric.unit);
        append_text(&mut self.description, &metric.description);
        self.temporality.append_option(head.temporality.as_deref());
        self.is_monotonic.append_option((head.kind == Kind::Sum).then_some(metric.is_monotonic));
        metadata.append_map(&metric.metadata, &mut self.metadata);
        next
    }

    pub fn finish(self, table: &TableDef) -> Result<Held, ArrowError> {
        let set = table.layout.set(Of::Head).ok_or_else(|| {
            ArrowError::SchemaError(format!("{} holds no heads of metrics", table.name))
        })?;
        let (rows, mut finished) = (self.count as usize, Finished::new(&table.layout.held[set]));
        finished.sparse("metric_name", self.name, rows);
        finished.sparse("metric_kind", self.kind, rows);
        finished.sparse("unit", self.unit, rows);
        finished.sparse("description", self.description, rows);
        finished.sparse("temporality", self.temporality, rows);
        finished.sparse("is_monotonic", self.is_monotonic, rows);
        finished.add("metadata", self.metadata.finish()?);
        Ok(Held { of: self.of.into_iter().collect(), values: finished.batch(rows)? })
    }
}
