//! Words about runs, as rows of `experiment_events`.

use std::collections::BTreeMap;

use experiments::Run;
use experiments::run::{Mark, Moment, RunId, Source};
use experiments::signal::{Event, Kind};
use serde::Serialize;

pub use schema::tables::experiments::EVENTS;

use super::Error;

const MICRO: i64 = 1_000;

/// The columns of the table; times in microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventRow {
    time: i64,
    revision: i64,
    event_id: String,
    run_id: Option<RunId>,
    event_time: i64,
    received_time: i64,
    source: Source,
    kind: &'static str,
    experiment: Option<String>,
    fault_type: Option<String>,
    injector: Option<String>,
    object: Option<String>,
    target: BTreeMap<String, String>,
    reason: Option<String>,
    message: Option<String>,
    accepted: bool,
    raw_ref: Option<String>,
}

/// What telemetry told.
pub fn row(event: &Event, run: Option<&Run>, received: i64, accepted: bool) -> EventRow {
    EventRow {
        time: received / MICRO,
        revision: received / MICRO,
        event_id: event.id.clone(),
        run_id: run.map(|run| run.id.clone()).or_else(|| event.run.clone()),
        event_time: event.at / MICRO,
        received_time: received / MICRO,
        source: event.source,
        kind: event.kind.name(),
        experiment: event.experiment.clone(),
        fault_type: event.told.fault.clone(),
        injector: event.told.injector.clone(),
        object: event.told.object.clone(),
        target: event.told.target.clone(),
        reason: event.reason.clone(),
        message: event.message.clone(),
        accepted,
        raw_ref: Some(event.raw_ref.clone()),
    }
}

/// What somebody said to the API, or the plan.
pub fn event(run: &Run, kind: Kind, moment: Moment, accepted: bool) -> EventRow {
    EventRow {
        time: moment.received / MICRO,
        revision: moment.received / MICRO,
        event_id: format!(
            "{}/{}/{}/{}",
            moment.source.name(),
            run.id,
            kind.name(),
            moment.at / MICRO
        ),
        run_id: Some(run.id.clone()),
        event_time: moment.at / MICRO,
        received_time: moment.received / MICRO,
        source: moment.source,
        kind: kind.name(),
        experiment: Some(run.name.clone()),
        fault_type: run.told.fault.clone(),
        injector: run.told.injector.clone(),
        object: run.told.object.clone(),
        target: run.told.target.clone(),
        reason: None,
        message: None,
        accepted,
        raw_ref: None,
    }
}

/// What was done for a run: a webhook sent, a lease taken, a guard that would
/// have stopped it.
pub fn note(run: &Run, kind: &'static str, now: i64, reason: &str, message: &str) -> EventRow {
    let moment = Moment::new(now, now, Source::Guard);
    let mut row = event(run, Kind::Start, moment, true);
    row.kind = kind;
    row.event_id = format!("{kind}/{}/{reason}/{}", run.id, now / MICRO);
    (row.reason, row.message) = (Some(reason.to_owned()), Some(message.to_owned()));
    row
}

impl EventRow {
    pub fn accept(&mut self, accepted: bool) {
        self.accepted = accepted;
    }
}

pub fn marked(run: &Run, mark: &Mark, moment: Moment) -> EventRow {
    let kind = match mark {
        Mark::Inject => Kind::Inject,
        Mark::Recover => Kind::Recover,
        Mark::End => Kind::End,
        Mark::Abort { .. } => Kind::Abort,
    };
    let mut row = event(run, kind, moment, true);
    if let Mark::Abort { guard, reason } = mark {
        (row.reason, row.message) = (Some(guard.clone()), Some(reason.clone()));
    }
    row
}

/// What time alone made of a run.
pub fn advanced(before: &Run, after: &Run) -> Vec<EventRow> {
    let new = |kind, was: Option<Moment>, is: Option<Moment>| {
        is.filter(|_| was.is_none()).map(|moment| event(after, kind, moment, true))
    };
    let recovered = new(Kind::Recover, before.marks.recover, after.marks.recover);
    recovered.into_iter().chain(new(Kind::End, before.marks.end, after.marks.end)).collect()
}

pub fn in_the_future(mark: &Mark) -> Error {
    let message = format!("the time of {} lies in the future", mark.name());
    Error::invalid(message, "mark it when it happens; a run itself may be opened for later")
}
