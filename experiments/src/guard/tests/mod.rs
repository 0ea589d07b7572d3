//! Guards on rows that were made up.
//!
//! | file | what it proves |
//! | --- | --- |
//! | [`stream`] | a streamed value is that of the judge's SQL |
//! | [`missing`] | no data is never healthy: a test per row of the paper's table |
//! | [`life`] | what a run's guards make of time, losses and restarts |
//! | [`asking`] | guards that ask: the blast radius, and a clock that is set |

mod asking;
mod life;
mod missing;
mod stream;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    new_null_array,
};
use schema::{Batch, Budget, Catalog, Door, Rows, Tenant};

use super::reduce::{Heard, Plan, plan, reduce};
use super::ring::SECOND;
use super::*;
use crate::document::{Allowed, Experiment};

/// A span or log record, as far as guards read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub service: &'static str,
    pub kind: &'static str,
    pub name: &'static str,
    pub id: u64,
    pub parent: bool,
    pub error: bool,
    pub time: i64,
    pub duration: i64,
    pub received: i64,
    pub state: Option<&'static str>,
}

impl Row {
    pub fn served(service: &'static str, id: u64, received: i64) -> Row {
        Row {
            service,
            kind: "SERVER",
            name: "GET /",
            id,
            parent: false,
            error: false,
            time: received - SECOND / 10,
            duration: 20_000_000,
            received,
            state: None,
        }
    }
}

pub fn batch(table: &str, rows: &[Row]) -> Batch {
    let table = Catalog::default().get(table).unwrap().clone();
    let text = |value: fn(&Row) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(value).collect::<StringArray>())
    };
    let long = |value: fn(&Row) -> i64| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(value(row))).collect::<Int64Array>())
    };
    let micros = rows.iter().map(|row| Some(row.received / 1_000));
    let column = |field: &arrow::datatypes::FieldRef| -> ArrayRef {
        match field.name().as_str() {
            "service_name" => text(|row| Some(row.service.into())),
            "kind" => text(|row| Some(row.kind.into())),
            "name" => text(|row| Some(row.name.into())),
            "trace_id" => text(|row| Some(format!("{:032x}", row.id))),
            "span_id" => text(|row| Some(format!("{:016x}", row.id))),
            "parent_span_id" => text(|row| row.parent.then(|| "p".into())),
            "trace_state" => text(|row| row.state.map(Into::into)),
            "severity" => text(|row| Some(if row.error { "ERROR" } else { "INFO" }.into())),
            "is_error" => {
                Arc::new(rows.iter().map(|row| Some(row.error)).collect::<BooleanArray>())
            }
            "time_unix_nano" => long(|row| row.time),
            "duration_ns" => long(|row| row.duration),
            "ingest_time" => {
                Arc::new(micros.clone().collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
            }
            _ => new_null_array(field.data_type(), rows.len()),
        }
    };
    let columns = table.schema.fields().iter().map(column).collect();
    let plain = RecordBatch::try_new(table.schema.clone(), columns).unwrap();
    let rows = Rows::plain(&table.layout, &plain).unwrap();
    let reservation = Budget::new(1 << 30).try_reserve(1).unwrap();
    Batch { tenant: Tenant::default(), table, door: Door::OtlpHttp, rows, reservation }
}

pub fn watch(watcher: &Watcher) -> Arc<Plan> {
    plan(
        [Tenant::default()],
        watcher.subjects().map(|subject| (Tenant::default(), subject.clone())),
    )
}

pub fn hear(plan: &Plan, table: &str, rows: &[Row]) -> Heard {
    reduce(plan, &batch(table, rows)).unwrap()
}

/// An experiment with these guards.
pub fn experiment(guards: &str) -> Arc<Experiment> {
    let text = format!(
        "{{apiVersion: chaos/v1, kind: Experiment, title: t, target: {{services: [pay]}}, effect-check: none, \
          steady-state-hypothesis: {{probes: [{{service: shop, indicator: rate, min: 1}}]}}, guard: [{guards}]}}"
    );
    Arc::new(Experiment::parse(&text, &Allowed::new()).unwrap_or_else(|e| panic!("{e}")))
}
