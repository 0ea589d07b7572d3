//! Values that stand once for many rows.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::interleave_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};

use super::batch;

#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// Per row the index of its values.
    pub of: ScalarBuffer<u32>,
    pub values: RecordBatch,
}

impl Held {
    pub(super) fn fits(&self, schema: &SchemaRef, count: usize) -> bool {
        self.of.len() == count
            && self.values.schema_ref() == schema
            && self.of.iter().all(|index| (*index as usize) < self.values.num_rows())
    }

    /// `of`, to take by.
    pub fn taken(&self) -> UInt32Array {
        UInt32Array::new(self.of.clone(), None)
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.values.get_array_memory_size() + self.of.inner().capacity()
    }

    pub(super) fn slice(&self, from: usize, count: usize) -> Held {
        Held { of: self.of.slice(from, count), values: self.values.clone() }
    }

    /// Whether both are the same values by the same numbers.
    pub fn shares(&self, other: &Held) -> bool {
        let columns = self.values.columns().iter().zip(other.values.columns());
        let mut columns = columns.map(|(a, b)| Arc::ptr_eq(a, b));
        self.values.num_rows() == other.values.num_rows() && columns.all(|same| same)
    }

    /// The same over one set of distinct values.
    pub(super) fn share(all: &[&Held]) -> Result<Vec<Held>, ArrowError> {
        let Some(first) = all.first() else { return Ok(Vec::new()) };
        if all.len() > 1 && all.iter().all(|one| one.shares(first)) {
            return Ok(all.iter().map(|one| (*one).clone()).collect());
        }
        let schema = first.values.schema();
        let fields = schema.fields().iter();
        let fields = fields.map(|field| SortField::new(field.data_type().clone())).collect();
        let converter = RowConverter::new(fields)?;
        // By digest: what is distinct in every row would be here once more.
        let (mut known, hashes) = (HashMap::new(), [RandomState::new(), RandomState::new()]);
        let mut distinct: Vec<(usize, usize)> = Vec::new();
        let mut indices = Vec::with_capacity(all.len());
        let mut map: Vec<u32> = Vec::new();
        for (index, one) in all.iter().enumerate() {
            // Whoever sends again mostly has the same to say.
            if index > 0 && all[index - 1].values == one.values {
                indices.push(mapped(&one.of, &map));
                continue;
            }
            let count = one.values.num_rows();
            let keys = converter.convert_columns(one.values.columns())?;
            // Without columns there is nothing to convert, and one value.
            let key = |row: usize| if keys.num_rows() == 0 { &[] } else { keys.row(row).data() };
            map.clear();
            for row in 0..count {
                let next = distinct.len() as u32;
                let digest = hashes.each_ref().map(|hash| hash.hash_one(key(row)));
                let found = *known.entry(digest).or_insert(next);
                map.push(found);
                if found == next {
                    distinct.push((index, row));
                }
            }
            indices.push(mapped(&one.of, &map));
        }
        let sources: Vec<&RecordBatch> = all.iter().map(|one| &one.values).collect();
        let values = match schema.fields().is_empty() {
            true => batch(&schema, Vec::new(), distinct.len())?,
            false => interleave_record_batch(&sources, &distinct)?,
        };
        Ok(indices.into_iter().map(|of| Held { of, values: values.clone() }).collect())
    }
}

/// The new number of each.
fn mapped(of: &[u32], map: &[u32]) -> ScalarBuffer<u32> {
    of.iter().map(|index| map[*index as usize]).collect()
}
