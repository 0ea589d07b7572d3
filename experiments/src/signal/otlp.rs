//! Injectors that speak OTLP: log events by name, spans with a run's id, and the
//! spans of Litmus' own experiment job. No semantic convention for chaos was
//! found; `chaos.experiment.id` and `.name` are the spelling seen most.
//!
//! A run's id in W3C baggage is copied to the spans of requests: those say that a
//! request is meant, and not when a fault was in place.

use std::collections::BTreeMap;

use super::reader::Reader;
use super::{Event, Kind};
use crate::run::{RunId, Source, Told};

/// The attribute that names a run.
pub const RUN: &str = "chaos.run.id";
/// Litmus' service.
pub const LITMUS: &str = "chaos_experiment_job";

/// What an event is called by a log record's `event_name`, or by the attribute
/// that older SDKs have for it.
pub fn logged(reader: &Reader<'_>, row: usize) -> Option<Event> {
    let name = reader.text("event_name", row).or_else(|| reader.record("event.name", row))?;
    let kind = match name.as_str() {
        "chaos.run.started" => Kind::Start,
        "chaos.fault.injected" => Kind::Inject,
        "chaos.fault.recovered" => Kind::Recover,
        "chaos.run.ended" => Kind::End,
        "chaos.run.aborted" => Kind::Abort,
        _ => return None,
    };
    let message = reader.text("body", row);
    Some(Event { message, ..event(reader, row, kind, reader.time(row), "logs", &name) })
}

/// The edges that a span has: its start is the injection, its end the recovery.
pub fn traced(reader: &Reader<'_>, row: usize, events: &mut Vec<Event>) {
    let (start, length) = (reader.time(row), reader.long("duration_ns", row).unwrap_or(0));
    let name = reader.text("name", row).unwrap_or_default();
    let named = reader.record(RUN, row);
    let litmus = reader.text("service_name", row).as_deref() == Some(LITMUS);
    if named.is_none() && !litmus {
        return;
    }
    let window = match litmus {
        true => name.starts_with("Inject"),
        false => is_window(reader, row),
    };
    let edges = [(Kind::Inject, start), (Kind::Recover, start.saturating_add(length))];
    let kinds = if window { &edges[..] } else { &[(Kind::Start, start)] };
    for (kind, at) in kinds {
        let mut told = event(reader, row, *kind, *at, "spans", &name);
        if litmus {
            told.run = told.run.or_else(|| RunId::near(&reader.text("trace_id", row)?).ok());
            told.told.injector.get_or_insert_with(|| "litmus".to_owned());
        }
        told.id = identity(&told, &name);
        events.push(told);
    }
}

/// Whether a span with a run's id stands for the fault itself: it says more of
/// the experiment than the id, or is a root that is nobody's request.
fn is_window(reader: &Reader<'_>, row: usize) -> bool {
    let says =
        ["chaos.fault.type", "chaos.experiment.id", "chaos.experiment.name", "chaos.injector"];
    if says.iter().any(|key| reader.record(key, row).is_some()) {
        return true;
    }
    let kind = reader.text("kind", row).unwrap_or_default();
    reader.text("parent_span_id", row).is_none()
        && matches!(kind.as_str(), "INTERNAL" | "UNSPECIFIED")
}

fn event(reader: &Reader<'_>, row: usize, kind: Kind, at: i64, table: &str, reason: &str) -> Event {
    let said = |key: &str| reader.either(key, row);
    let mut target = BTreeMap::new();
    for (key, value) in reader.entries(row) {
        match key.strip_prefix("chaos.target.") {
            Some(part) => drop(target.insert(part.to_owned(), value)),
            None if key.starts_with("k8s.") => drop(target.insert(key, value)),
            None => {}
        }
    }
    // A configured column may hold it instead of the map.
    if let Some(service) = said("chaos.target.service") {
        target.insert("service".to_owned(), service);
    }
    let experiment = said("chaos.experiment.name").or_else(|| said("chaos.experiment.id"));
    let service = reader.text("service_name", row);
    let mut event = Event {
        id: String::new(),
        kind,
        at,
        source: Source::Otlp,
        run: said(RUN).and_then(|id| RunId::near(&id).ok()),
        experiment,
        told: Told {
            fault: said("chaos.fault.type"),
            injector: said("chaos.injector"),
            target,
            object: None,
        },
        reason: Some(reason.to_owned()),
        message: None,
        raw_ref: super::raw_ref(table, reader.time(row), service.as_deref()),
    };
    event.id = identity(&event, reason);
    event
}

/// The same event has the same id when an exporter sends it again.
fn identity(event: &Event, name: &str) -> String {
    let run = event.run.as_ref().map(RunId::as_str);
    let whose = run.or(event.experiment.as_deref()).unwrap_or_default();
    // Any number of spans open one run.
    match (event.kind, run) {
        (Kind::Start, Some(run)) if !name.starts_with("chaos.") => format!("otlp/{run}/start"),
        (kind, _) => format!("otlp/{whose}/{}/{}", kind.name(), event.at),
    }
}
