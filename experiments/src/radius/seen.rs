//! What a stretch of time showed of every service, and the answers that say so.

use std::collections::BTreeMap;

use serde_json::Value;

use super::site::Sites;
use crate::indicator::text::cell_millis;
use crate::indicator::{Series, Table};
use crate::window::{BUCKET, Span};

/// Durations of many subjects.
pub type Durations<K> = BTreeMap<K, Series>;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    pub exclusive: Durations<String>,
    /// By caller and callee.
    pub gaps: Durations<(String, String)>,
    pub sites: Sites,
}

impl Seen {
    /// Several stretches as one.
    pub fn joined<'s>(parts: impl Iterator<Item = &'s Seen> + Clone) -> Seen {
        let mut whole =
            Seen { sites: Sites::sum(parts.clone().map(|seen| &seen.sites)), ..Seen::default() };
        for seen in parts {
            append(&mut whole.exclusive, &seen.exclusive);
            append(&mut whole.gaps, &seen.gaps);
        }
        whole
    }
}

fn append<K: Ord + Clone>(whole: &mut Durations<K>, part: &Durations<K>) {
    for (key, series) in part {
        whole.entry(key.clone()).or_default().buckets.extend(series.buckets.iter().cloned());
    }
}

/// Rows of key, bucket, cell, n into durations of each stretch.
pub fn durations<K: Ord + Clone>(
    table: &Table,
    spans: &[Span],
    key: impl Fn(&[Value]) -> Option<K>,
) -> Vec<Durations<K>> {
    let mut seen: Vec<Durations<K>> = vec![BTreeMap::new(); spans.len()];
    let Some(origin) = spans.first().map(|span| span.from) else { return seen };
    for row in &table.rows {
        let Some((head, [bucket, cell, n])) = row.split_last_chunk::<3>() else { continue };
        let numbers = (bucket.as_i64(), cell.as_i64(), n.as_u64());
        let (Some(bucket), Some(cell), Some(n)) = numbers else { continue };
        let at = origin.saturating_add(bucket.saturating_mul(BUCKET.nanos()));
        let Some(stretch) = spans.partition_point(|span| span.from <= at).checked_sub(1) else {
            continue;
        };
        let span = spans[stretch];
        let Some(key) = key(head) else { continue };
        let empty = || Series::empty(span.buckets as usize);
        let series = seen[stretch].entry(key).or_insert_with(empty);
        let bucket = usize::try_from((at - span.from) / BUCKET.nanos()).unwrap_or(usize::MAX);
        if let Some(bucket) = series.buckets.get_mut(bucket) {
            bucket.add(n, 1.0);
            bucket.cells.push((cell_millis(cell), n as f64));
        }
    }
    seen
}

pub fn text(row: &[Value], at: usize) -> Option<String> {
    row.get(at)?.as_str().map(str::to_owned)
}
