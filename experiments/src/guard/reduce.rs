//! Rows on their way in as marks: which of them guards count, and what flowed at
//! all. Reads a few columns of a batch, and more only of rows that match.

use std::collections::BTreeSet;
use std::hash::Hasher as _;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, BooleanArray, Int64Array, StringArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use schema::rows::{ORIGINS, Place};
use schema::{Batch, Rows, Signal, Tenant};

use super::ring::SECOND;
use super::subject::{Stream, Subject};
use super::tally::{Mark, cell};
use crate::indicator::sampling;
use crate::verdict::evidence::Source;

/// What is looked for. Each stands here once, however many runs ask for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    pub watched: Vec<(Tenant, Subject)>,
    /// Whose guards want to know what flows, even where they ask for all else.
    pub tenants: BTreeSet<Tenant>,
}

/// Marks of one watched subject that arrived in one second.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    pub subject: Subject,
    pub second: i64,
    pub marks: Vec<Mark>,
}

/// What one batch told.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    pub tenant: Tenant,
    pub source: Source,
    /// When the node received it, in nanoseconds since 1970.
    pub received: i64,
    /// The latest event time in it.
    pub newest: i64,
    pub rows: u64,
    /// Rows of the services that are watched.
    pub services: Vec<(String, u64)>,
    pub arrivals: Vec<Arrival>,
}

impl Heard {
    pub fn marks(&self) -> usize {
        self.arrivals.iter().map(|arrival| arrival.marks.len()).sum()
    }
}

/// `None` of a table that no guard reads.
pub fn reduce(plan: &Plan, batch: &Batch) -> Option<Heard> {
    let source = match batch.table.signal? {
        Signal::Traces => Source::Spans,
        Signal::Logs => Source::Logs,
        Signal::Metrics => Source::Metrics,
    };
    let columns = Columns(&batch.rows);
    let (received, times) = (columns.received(), columns.long("time_unix_nano"));
    let times = times.as_ref().map(|times| times.as_primitive::<Int64Type>());
    let newest = times.and_then(arrow::compute::max);
    let mut heard = Heard {
        tenant: batch.tenant.clone(),
        source,
        received: received.as_ref().and_then(arrow::compute::max).unwrap_or_default(),
        newest: newest.unwrap_or_default(),
        rows: batch.rows.num_rows() as u64,
        services: Vec::new(),
        arrivals: Vec::new(),
    };
    let mine = |(tenant, subject): &&(Tenant, Subject)| {
        *tenant == batch.tenant && subject.stream.source() == source
    };
    let Some(names) = columns.services() else { return Some(heard) };
    for (_, subject) in plan.watched.iter().filter(mine) {
        let of: Vec<bool> = names.iter().map(|name| name == Some(&subject.service)).collect();
        if !of.contains(&true) {
            continue;
        }
        let own: Vec<usize> = (0..batch.rows.num_rows())
            .filter(|row| of[batch.rows.origin_of()[*row] as usize])
            .collect();
        if !heard.services.iter().any(|(known, _)| *known == subject.service) {
            heard.services.push((subject.service.clone(), own.len() as u64));
        }
        let (Some(received), Some(times)) = (&received, times) else { continue };
        let reader = Reader::of(subject, &columns, times);
        for row in own {
            let Some(mark) = reader.mark(row) else { continue };
            let second = received.value(row).div_euclid(SECOND);
            match heard.arrivals.last_mut() {
                Some(last) if last.second == second && last.subject == *subject => {
                    last.marks.push(mark);
                }
                _ => heard.arrivals.push(Arrival {
                    subject: subject.clone(),
                    second,
                    marks: vec![mark],
                }),
            }
        }
    }
    Some(heard)
}

struct Columns<'a>(&'a Rows);

impl Columns<'_> {
    /// A column of the rows' own; `None` where all are NULL.
    fn own(&self, name: &str) -> Option<ArrayRef> {
        match self.0.layout().find(name) {
            Ok(Place::Own(index)) => self.0.own()[index].clone(),
            _ => None,
        }
    }

    fn long(&self, name: &str) -> Option<ArrayRef> {
        self.own(name).filter(|column| column.as_primitive_opt::<Int64Type>().is_some())
    }

    fn text(&self, name: &str) -> Option<StringArray> {
        self.own(name)?.as_string_opt::<i32>().cloned()
    }

    /// When each row was received, in nanoseconds.
    fn received(&self) -> Option<Int64Array> {
        let column = self.own("ingest_time")?;
        let micros = column.as_primitive_opt::<TimestampMicrosecondType>()?;
        Some(micros.unary(|micros| micros.saturating_mul(1_000)))
    }

    /// The service of each origin.
    fn services(&self) -> Option<StringArray> {
        let Ok(Place::Held(ORIGINS, index)) = self.0.layout().find("service_name") else {
            return None;
        };
        self.0.origins().column(index).as_string_opt::<i32>().cloned()
    }
}

/// The columns that tell whether a row counts, and as what.
struct Reader<'a> {
    stream: Stream,
    endpoint: Option<&'a str>,
    times: &'a Int64Array,
    durations: Option<Int64Array>,
    errors: Option<BooleanArray>,
    kind: Option<StringArray>,
    name: Option<StringArray>,
    parent: Option<StringArray>,
    trace: Option<StringArray>,
    span: Option<StringArray>,
    state: Option<StringArray>,
    severity: Option<StringArray>,
    body: Option<StringArray>,
}

fn said(column: &Option<StringArray>, row: usize) -> Option<&str> {
    column.as_ref().filter(|column| column.is_valid(row)).map(|column| column.value(row))
}

impl<'a> Reader<'a> {
    fn of(subject: &'a Subject, columns: &Columns<'_>, times: &'a Int64Array) -> Reader<'a> {
        let spans = subject.stream.source() == Source::Spans;
        let text = |wanted: bool, name: &str| columns.text(name).filter(|_| wanted);
        let durations = columns.long("duration_ns");
        Reader {
            stream: subject.stream,
            endpoint: subject.endpoint.as_deref(),
            times,
            durations: durations.map(|column| column.as_primitive::<Int64Type>().clone()),
            errors: columns.own("is_error").and_then(|column| column.as_boolean_opt().cloned()),
            kind: text(spans, "kind"),
            name: text(spans && subject.endpoint.is_some(), "name"),
            parent: text(spans, "parent_span_id"),
            trace: columns.text("trace_id"),
            span: columns.text("span_id"),
            state: text(spans, "trace_state"),
            severity: text(!spans, "severity"),
            body: text(!spans, "body"),
        }
    }

    /// The row as a mark, if it counts.
    fn mark(&self, row: usize) -> Option<Mark> {
        let counts = match self.stream {
            Stream::Served => matches!(said(&self.kind, row), Some("SERVER" | "CONSUMER")),
            Stream::Roots => said(&self.parent, row).is_none(),
            Stream::Logs => true,
        };
        let named = self.endpoint.is_none_or(|wanted| said(&self.name, row) == Some(wanted));
        if !counts || !named || self.times.is_null(row) {
            return None;
        }
        let begun = self.times.value(row);
        let duration = match &self.durations {
            Some(durations) if durations.is_valid(row) => durations.value(row),
            _ => 0,
        };
        let failed = self.errors.as_ref().is_some_and(|e| e.is_valid(row) && e.value(row));
        let logged = matches!(said(&self.severity, row), Some("ERROR" | "FATAL"));
        Some(Mark {
            id: self.id(row, begun, duration, failed),
            ended: begun.saturating_add(duration.max(0)),
            cell: cell(duration),
            error: failed || logged,
            traced: said(&self.trace, row).is_some(),
            weight: said(&self.state, row).map_or(Some(1.0), weight),
        })
    }

    /// Of the columns that the judge's SQL calls a row distinct by.
    fn id(&self, row: usize, begun: i64, duration: i64, failed: bool) -> u64 {
        let mut hasher = twox_hash::XxHash64::with_seed(0);
        hasher.write_i64(begun);
        hasher.write_i64(duration);
        hasher.write_u8(u8::from(failed));
        for column in [&self.trace, &self.span, &self.state, &self.severity, &self.body] {
            let text = said(column, row);
            // A length before each keeps neighbours apart, and nothing from empty.
            hasher.write_u64(text.map_or(u64::MAX, |text| text.len() as u64));
            hasher.write(text.unwrap_or_default().as_bytes());
        }
        hasher.finish()
    }
}

/// For how many a span of this trace state stands, as the judge's SQL reads it
/// (`sampling::THRESHOLD`): one, unless OpenTelemetry's part says otherwise.
fn weight(state: &str) -> Option<f64> {
    let ours = state.split(',').find_map(|part| part.trim_start().strip_prefix("ot="));
    let Some(ours) = ours else { return Some(1.0) };
    let threshold = ours.split(';').find_map(|field| field.strip_prefix("th:"));
    sampling::weight(threshold?.trim_end())
}

/// The plan of several subjects, each once, and of all who have guards.
pub fn plan(
    tenants: impl IntoIterator<Item = Tenant>,
    subjects: impl IntoIterator<Item = (Tenant, Subject)>,
) -> Arc<Plan> {
    let mut watched: Vec<(Tenant, Subject)> = subjects.into_iter().collect();
    watched.sort();
    watched.dedup();
    Arc::new(Plan { watched, tenants: tenants.into_iter().collect() })
}
