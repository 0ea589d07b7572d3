//! What a metric says of all its points, each once in a request. Bounds of buckets
//! are said by the points, and nearly always the same by all of a metric: those that
//! have others make another head.

use std::collections::HashMap;

use arrow::datatypes::Float64Type;
use arrow::error::ArrowError;
use schema::TableDef;
use schema::rows::Held;
use schema::table::Of;
use twox_hash::XxHash64;

use super::super::attributes::Sorted;
use super::super::columns::{Filled, Finished, Flags, MapColumn, Numbers, Texts, append_text};
use super::super::model::{Kind, Packed, Text};
use super::{Head, name_of};

#[derive(Debug)]
pub(super) struct Heads<'a> {
    /// Every resource of a request tends to have the same metrics. By digest, which
    /// anybody can make two of: the later metric then takes the place.
    known: HashMap<u64, (Words<'a>, u32)>,
    /// The metric at hand, once it has a point.
    entered: Option<u32>,
    /// Per point its metric.
    of: Filled<u32>,
    count: u32,
    name: Texts,
    kind: Texts,
    unit: Texts,
    description: Texts,
    temporality: Texts,
    is_monotonic: Flags,
    explicit_bounds: Numbers<Float64Type>,
    metadata: MapColumn,
}

/// All that a metric without metadata says itself.
#[derive(Debug, PartialEq, Eq)]
struct Words<'a> {
    name: Text<'a>,
    description: Text<'a>,
    unit: Text<'a>,
    kind: Kind,
    temporality: i32,
    is_monotonic: bool,
}

impl Default for Heads<'_> {
    fn default() -> Self {
        Heads {
            known: HashMap::default(),
            entered: None,
            of: Filled::default(),
            count: 0,
            name: Texts::few(),
            kind: Texts::few(),
            unit: Texts::few(),
            description: Texts::few(),
            temporality: Texts::few(),
            is_monotonic: Flags::few(),
            explicit_bounds: Numbers::few(),
            metadata: MapColumn::few(),
        }
    }
}

impl<'a> Heads<'a> {
    /// Another metric follows.
    pub fn next(&mut self) {
        self.entered = None;
    }

    /// Takes a point of the metric at hand; a histogram's has bounds, be it none.
    pub fn accept(&mut self, head: &Head<'_, 'a>, bounds: Option<&Packed<'_>>, metadata: &Sorted) {
        let index = match self.entered.filter(|index| self.has(*index, bounds)) {
            Some(index) => index,
            None => self.enter(head, bounds, metadata),
        };
        self.entered = Some(index);
        self.of.push(index);
    }

    /// Whether these are the bounds of a head, bit by bit.
    fn has(&self, index: u32, bounds: Option<&Packed<'_>>) -> bool {
        let bits = |bound: f64| bound.to_bits();
        bounds.is_none_or(|bounds| {
            let held = self.explicit_bounds.row(index as usize).iter().copied();
            held.map(bits).eq(bounds.doubles().map(bits))
        })
    }

    fn enter(
        &mut self,
        head: &Head<'_, 'a>,
        bounds: Option<&Packed<'_>>,
        metadata: &Sorted,
    ) -> u32 {
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
            let bytes = bounds.map(|bounds| bounds.bytes().as_flattened());
            let digest = bytes.map_or(head.digest, |bytes| XxHash64::oneshot(head.digest, bytes));
            if let Some((known, index)) = self.known.get(&digest)
                && *known == words
                && self.has(*index, bounds)
            {
                return *index;
            }
            self.known.insert(digest, (words, next));
        }
        self.count += 1;
        self.name.append_value(&metric.name);
        self.kind.append_value(name_of(head.kind));
        append_text(&mut self.unit, &metric.unit);
        append_text(&mut self.description, &metric.description);
        self.temporality.append_option(head.temporality.as_deref());
        self.is_monotonic.append_option((head.kind == Kind::Sum).then_some(metric.is_monotonic));
        if let Some(bounds) = bounds {
            self.explicit_bounds.set(next as usize, bounds.doubles());
        }
        metadata.append_map(&metric.metadata, &mut self.metadata);
        next
    }

    pub fn finish(self, table: &TableDef) -> Result<Held, ArrowError> {
        let set = table.layout.set(Of::Head).ok_or_else(|| {
            ArrowError::SchemaError(format!("{} holds no heads of metrics", table.name))
        })?;
        let (rows, schema) = (self.count as usize, &table.layout.held[set]);
        let mut finished = Finished::new(schema);
        finished.sparse("metric_name", self.name, rows);
        finished.sparse("metric_kind", self.kind, rows);
        finished.sparse("unit", self.unit, rows);
        finished.sparse("description", self.description, rows);
        finished.sparse("temporality", self.temporality, rows);
        finished.sparse("is_monotonic", self.is_monotonic, rows);
        if !self.explicit_bounds.is_empty() {
            let list = schema.field_with_name("explicit_bounds")?.data_type();
            finished.add("explicit_bounds", self.explicit_bounds.finish(list, rows)?);
        }
        finished.add("metadata", self.metadata.finish()?);
        Ok(Held { of: self.of.exact(), values: finished.batch(rows)? })
    }
}
