//! Rows as buckets. What is not what was asked for is an error of its own, not
//! a zero: text for a number, NaN, a bucket outside of the stretch, two series.

use std::collections::BTreeMap;

use serde_json::Value;

use super::ask::Table;
use super::sampling;
use super::series::Series;
use super::text::cell_millis;
use crate::document::provider::{Family, Measure, Nature, Outcome};
use crate::verdict::evidence::{Flow, Gap, PhaseCounts};
use crate::window::{Phase, Span};

/// The answer of [`statement`](super::statement).
pub fn series(measure: &Measure, span: Span, table: &Table) -> Result<Series, Gap> {
    series_of("cell", measure, span, table)
}

/// The same with durations of a column of their own.
pub fn series_of(cell: &str, measure: &Measure, span: Span, table: &Table) -> Result<Series, Gap> {
    let rows = Rows::of(table)?;
    let mut series = Series::empty(span.buckets as usize);
    for row in rows.iter() {
        let at = usize::try_from(row.whole("bucket")?).unwrap_or(usize::MAX);
        let Some(bucket) = series.buckets.get_mut(at) else {
            return Err(Gap::Error(format!("bucket {at} lies outside of the stretch")));
        };
        let n = row.count("n")?;
        if measure.family == Family::Resource {
            let answered = row.count("series")?;
            if answered != 1 {
                let why = format!("{answered} metrics answer {measure}, and one must");
                return Err(Gap::Error(why));
            }
        }
        let weight = row.weight();
        let unknown = if weight.is_none() { n } else { 0 };
        let weight = weight.unwrap_or(1.0);
        series.sampled += unknown;
        bucket.add(n, weight);
        match measure.indicator.nature() {
            Nature::Duration => {
                bucket.cells.push((cell_millis(row.whole(cell)?), n as f64 * weight));
            }
            Nature::Gauge => {
                bucket.value = Some(row.number("value")?);
            }
            Nature::Ratio | Nature::Count => {
                bucket.hits += row.count("hits")? as f64 * weight;
            }
        }
    }
    for bucket in &mut series.buckets {
        bucket.cells.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        if measure.indicator.nature() == Nature::Ratio && bucket.hits > bucket.n * (1.0 + 1e-9) {
            return Err(Gap::Error(format!("{} of {} is no ratio", bucket.hits, bucket.n)));
        }
    }
    Ok(series)
}

/// Rows per service and bucket of one phase, into a flow.
pub fn flow(flow: &mut Flow, phase: Phase, span: Span, table: &Table) -> Result<(), Gap> {
    for row in Rows::of(table)?.iter() {
        // Rows without a name are rows all the same.
        let service = row.get("service_name").and_then(Value::as_str).unwrap_or_default();
        let counts: &mut PhaseCounts = flow.services.entry(service.to_owned()).or_default();
        let counts = counts.entry(phase).or_insert_with(|| vec![0; span.buckets as usize]);
        let at = usize::try_from(row.whole("bucket")?).unwrap_or(usize::MAX);
        if let Some(bucket) = counts.get_mut(at) {
            *bucket += row.count("n")?;
        }
    }
    Ok(())
}

/// One number, or none.
pub fn number(column: &str, table: &Table) -> Result<Option<i64>, Gap> {
    let rows = Rows::of(table)?;
    let one = rows.iter().next().ok_or_else(|| Gap::Error("no row".into()))?;
    match one.get(column) {
        Some(Value::Null) | None => Ok(None),
        Some(_) => one.whole(column).map(Some),
    }
}

/// A name and a count per row. What stands for others counts as many, as far
/// as is known.
pub fn counts(name: &str, table: &Table) -> Result<BTreeMap<String, f64>, Gap> {
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    for row in Rows::of(table)?.iter() {
        let key = row.get(name).and_then(Value::as_str).unwrap_or_default();
        *counts.entry(key.to_owned()).or_default() +=
            row.count("n")? as f64 * row.weight().unwrap_or(1.0);
    }
    Ok(counts)
}

/// What a document's query answered, by what it is taken for.
pub fn value(result: Outcome, table: &Table) -> Result<Value, Gap> {
    let rows = Rows::of(table)?.table;
    match result {
        Outcome::Rows => Ok(rows.rows.len().into()),
        Outcome::Table => Ok(rows
            .rows
            .iter()
            .map(|row| {
                let named = rows.columns.iter().cloned().zip(row.iter().cloned());
                Value::Object(named.collect())
            })
            .collect()),
        Outcome::Scalar => match rows.rows.as_slice() {
            [row] if row.len() == 1 => sound(&row[0]),
            [row] => Err(Gap::Error(format!("{} columns, and a scalar is one", row.len()))),
            rows => Err(Gap::Error(format!("{} rows, and a scalar is one", rows.len()))),
        },
    }
}

fn sound(value: &Value) -> Result<Value, Gap> {
    match value {
        Value::Null => Err(Gap::Error("NULL is no value".into())),
        Value::String(text) if matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity") => {
            Err(Gap::Error(format!("{text} is no value")))
        }
        value => Ok(value.clone()),
    }
}

/// A table that holds everything that was asked for.
pub(crate) struct Rows<'a> {
    table: &'a Table,
}

pub(crate) struct Row<'a> {
    columns: &'a [String],
    values: &'a [Value],
}

impl<'a> Rows<'a> {
    pub(crate) fn of(table: &'a Table) -> Result<Rows<'a>, Gap> {
        if table.truncated {
            return Err(Gap::Incomplete("the answer was cut at a limit of rows".into()));
        }
        if !table.incomplete.is_empty() {
            return Err(Gap::Incomplete(table.incomplete.join("; ")));
        }
        Ok(Rows { table })
    }

    pub(crate) fn table(&self) -> &'a Table {
        self.table
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Row<'a>> {
        let columns = &self.table.columns;
        self.table.rows.iter().map(move |values| Row { columns, values })
    }
}

impl<'a> Row<'a> {
    pub(crate) fn get(&self, column: &str) -> Option<&'a Value> {
        self.values.get(self.columns.iter().position(|name| name == column)?)
    }

    pub(crate) fn whole(&self, column: &str) -> Result<i64, Gap> {
        let value = self.get(column);
        let whole = value.and_then(|value| match value {
            // 64-bit integers may come as text.
            Value::String(text) => text.parse().ok(),
            other => other.as_i64(),
        });
        whole.ok_or_else(|| self.unfit(column, "a whole number"))
    }

    pub(crate) fn count(&self, column: &str) -> Result<u64, Gap> {
        u64::try_from(self.whole(column)?).map_err(|_| self.unfit(column, "a count"))
    }

    /// For how many this row stands; `None` where that is not known.
    pub(crate) fn weight(&self) -> Option<f64> {
        match self.get("th") {
            None | Some(Value::Null) => Some(1.0),
            Some(threshold) => sampling::weight(threshold.as_str().unwrap_or_default()),
        }
    }

    pub(crate) fn number(&self, column: &str) -> Result<f64, Gap> {
        let number = self.get(column).and_then(Value::as_f64).filter(|n| n.is_finite());
        number.ok_or_else(|| self.unfit(column, "a finite number"))
    }

    fn unfit(&self, column: &str, wanted: &str) -> Gap {
        let found = self.get(column).map_or("nothing".to_owned(), Value::to_string);
        Gap::Error(format!("{column} is {found}, and must be {wanted}"))
    }
}
