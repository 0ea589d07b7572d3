//! What is measured: each built-in indicator as one statement per stretch of
//! time, and the answer as a [`Series`]. The statements stand alone: whoever
//! has a report can run them.
//!
//! | file | its part |
//! | --- | --- |
//! | [`ask`] | the seam to the engine, and an answer |
//! | [`text`] | literals, the predicate of a stretch, buckets and cells |
//! | [`red`], [`exclusive`], [`edge`], [`log`], [`resource`], [`trace`] | a family's statements |
//! | [`flow`] | what flowed at all: sources, watermarks, load |
//! | [`query`] | a document's own SQL |
//! | [`answer`] | rows as buckets; what is no number is an error |
//! | [`series`] | buckets, and what is read off them |
//!
//! Rows that an exporter sent twice are counted once: every statement starts
//! from distinct rows. Deliberately not here: comparing (`statistics`, `verdict`).

pub mod answer;
pub mod ask;
pub mod edge;
pub mod exclusive;
pub mod flow;
pub mod log;
pub mod query;
pub mod red;
pub mod resource;
pub mod series;
#[cfg(test)]
mod tests;
pub mod text;
pub mod trace;

use crate::document::provider::{Family, Measure};
use crate::window::Span;

pub use ask::{Ask, Table};
pub use series::{Bucket, Series};
use text::Stretch;

/// The statement that measures this in a stretch, over the rows that were
/// ingested up to `judged`, in nanoseconds since 1970.
pub fn statement(measure: &Measure, span: Span, judged: i64) -> String {
    let stretch = Stretch::new(span, judged);
    match measure.family {
        Family::Red | Family::Slo => red::statement(measure, &stretch),
        Family::Exclusive => exclusive::statement(measure, &stretch),
        Family::Edge => edge::statement(measure, &stretch),
        Family::Log => log::statement(measure, &stretch),
        Family::Resource => resource::statement(measure, &stretch),
        Family::Trace => trace::statement(measure, &stretch),
    }
}
