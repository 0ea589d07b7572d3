//! Signals of chaos in telemetry: an injector that says what it does, in an
//! event, a span, or a Kubernetes event of its own objects.
//!
//! | file | its part |
//! | --- | --- |
//! | [`reader`] | a batch, looked over for keys, then read by them |
//! | [`otlp`] | events and spans that speak of runs themselves |
//! | [`kubernetes`] | Events about the objects of Chaos Mesh and Litmus |
//! | [`objects`] | Kubernetes objects, whole: Events, and faults with their conditions |
//! | [`matching`] | which run an event tells of |
//!
//! It stands behind every append, so a batch without such keys costs one look
//! over the bytes of its keys. Deliberately not here: what an event makes of a run (`run`).

pub mod kubernetes;
pub mod matching;
pub mod objects;
pub mod otlp;
pub(crate) mod reader;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::LazyLock;

use memchr::memmem::Finder;
use schema::{Batch, Signal};
use serde::{Deserialize, Serialize};

use crate::run::{Mark, Moment, RunId, Source, Told};
use reader::Reader;

/// What happened to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Start,
    Inject,
    Recover,
    End,
    Abort,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Start => "start",
            Kind::Inject => "inject",
            Kind::Recover => "recover",
            Kind::End => "end",
            Kind::Abort => "abort",
        }
    }
}

/// One signal, as it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The same when it is told again.
    pub id: String,
    pub kind: Kind,
    /// By its source's clock, in nanoseconds since 1970.
    pub at: i64,
    pub source: Source,
    /// The run's id, where the source has one.
    pub run: Option<RunId>,
    pub experiment: Option<String>,
    pub told: Told,
    /// The source's own word for it.
    pub reason: Option<String>,
    pub message: Option<String>,
    /// Where the row is: its table and predicate.
    pub raw_ref: String,
}

/// The events that a batch tells of, in the order of their time.
pub fn events(batch: &Batch) -> Vec<Event> {
    static CHAOS: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("chaos."));
    static RUN: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(otlp::RUN));
    static REASON: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(kubernetes::REASON));
    static RESOURCE: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(objects::RESOURCE));
    let mut events = Vec::new();
    let reader = Reader::new(batch);
    match batch.table.signal {
        Some(Signal::Logs) => {
            if reader.mentions(&CHAOS) || reader.promotes(otlp::RUN) {
                events.extend((0..reader.rows()).filter_map(|row| otlp::logged(&reader, row)));
            }
            if reader.mentions(&REASON) || reader.promotes(kubernetes::REASON) {
                let found = (0..reader.rows()).filter_map(|row| kubernetes::event(&reader, row));
                events.extend(found);
            }
            if reader.mentions(&RESOURCE) || reader.promotes(objects::RESOURCE) {
                let found = (0..reader.rows()).filter_map(|row| objects::event(&reader, row));
                events.extend(found);
            }
        }
        Some(Signal::Traces) => {
            let litmus = reader.has_service(otlp::LITMUS);
            if litmus || reader.mentions(&RUN) || reader.promotes(otlp::RUN) {
                (0..reader.rows()).for_each(|row| otlp::traced(&reader, row, &mut events));
            }
        }
        _ => {}
    }
    events.sort_by_key(|event| (event.at, event.kind));
    events
}

/// Where a row is: a predicate that finds it again.
fn raw_ref(table: &str, time: i64, service: Option<&str>) -> String {
    let service = service.map(|service| service.replace('\'', "''"));
    let service = service.map_or("IS NULL".to_owned(), |service| format!("= '{service}'"));
    format!("{table} WHERE time_unix_nano = {time} AND service_name {service}")
}

impl Event {
    pub fn moment(&self, received: i64) -> Moment {
        // Nothing was heard of before it happened: such a clock is ahead.
        Moment::new(self.at, received, self.source)
    }

    /// What it marks; a start only opens.
    pub fn mark(&self) -> Option<Mark> {
        Some(match self.kind {
            Kind::Start => return None,
            Kind::Inject => Mark::Inject,
            Kind::Recover => Mark::Recover,
            Kind::End => Mark::End,
            Kind::Abort => Mark::Abort {
                guard: self.told.injector.clone().unwrap_or_else(|| "injector".to_owned()),
                reason: self.message.clone().or_else(|| self.reason.clone()).unwrap_or_default(),
            },
        })
    }

    /// What a run is called that nobody named.
    pub fn name(&self) -> String {
        let named = [&self.experiment, &self.told.object, &self.told.fault];
        named.into_iter().flatten().next().cloned().unwrap_or_else(|| "observed".to_owned())
    }
}
