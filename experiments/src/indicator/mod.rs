//! What is measured: each built-in indicator as one statement per stretch of
//! time, and the answer as a [`Series`]. The statements stand alone: whoever
//! has a report can run them.
//!
//! | file | its part |
//! | --- | --- |
//! | [`ask`] | the seam to the engine, and an answer |
//! | [`text`] | literals, the predicate of a stretch, buckets and cells |
//! | [`red`], [`exclusive`], [`edge`], [`log`], [`resource`], [`trace`] | a family's statements |
//! | [`attempt`] | an edge's calls that were tried again, or took too long |
//! | [`growth`] | counters of containers as what they grew by |
//! | [`scale`] | how many pods are wanted, ready and allowed |
//! | [`shape`] | traces by the operations in them |
//! | [`meter`] | rate, errors and duration by metrics, where spans are biased |
//! | [`flow`] | what flowed at all: sources, watermarks, load |
//! | [`query`] | a document's own SQL |
//! | [`stratum`] | traces by the endpoint of their root |
//! | [`sampling`] | spans that stand for others |
//! | [`answer`] | rows as buckets; what is no number is an error |
//! | [`series`] | buckets, and what is read off them |
//!
//! Rows that an exporter sent twice are counted once: every statement starts
//! from distinct rows. Deliberately not here: comparing (`statistics`, `verdict`).

pub mod answer;
pub mod ask;
mod attempt;
pub mod edge;
pub mod exclusive;
pub mod flow;
mod growth;
pub mod log;
pub mod meter;
pub mod query;
pub mod red;
pub mod resource;
pub mod sampling;
pub mod scale;
pub mod series;
mod shape;
pub mod stratum;
#[cfg(test)]
mod tests;
pub mod text;
pub mod trace;

use crate::document::provider::{Family, Measure};
use crate::window::Span;

pub use ask::{Ask, Table};
pub use series::{Bucket, Series};
pub use stratum::Stratum;
pub use text::Stretch;

/// The statement that measures this in a stretch, over the rows that were
/// ingested up to `judged`, in nanoseconds since 1970.
pub fn statement(measure: &Measure, span: Span, judged: i64) -> String {
    of(measure, &Stretch::new(span, judged))
}

/// The same of a stretch as it is said: over some traces alone, or beside another one.
pub fn of(measure: &Measure, stretch: &Stretch<'_>) -> String {
    match measure.family {
        Family::Red | Family::Slo => red::statement(measure, stretch),
        Family::Exclusive => exclusive::statement(measure, stretch),
        Family::Edge => edge::statement(measure, stretch),
        Family::Log => log::statement(measure, stretch),
        Family::Resource => resource::statement(measure, stretch),
        Family::Trace => trace::statement(measure, stretch),
        Family::Meter => meter::statement(measure, &[], stretch),
    }
}
