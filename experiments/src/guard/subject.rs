//! What a guard counts, as far as a row alone says it, so that it can be told on
//! the way in.

use crate::document::provider::{Family, Indicator, Measure, Subject as Named};
use crate::verdict::evidence::Source;

/// Rows of one kind of one service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    pub stream: Stream,
    pub service: String,
    /// The name of the spans, where only one endpoint counts.
    pub endpoint: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// What the service was asked: SERVER and CONSUMER spans.
    Served,
    /// Spans without a parent.
    Roots,
    /// Log records.
    Logs,
}

impl Stream {
    pub fn source(self) -> Source {
        match self {
            Stream::Served | Stream::Roots => Source::Spans,
            Stream::Logs => Source::Logs,
        }
    }
}

impl Subject {
    /// `None` where a measure needs more than the rows of its subject: the other
    /// end of a call, the children of a span, a metric's series.
    pub fn of(measure: &Measure) -> Option<Subject> {
        let stream = match (measure.family, measure.indicator) {
            (Family::Slo, Indicator::BudgetBurned) => return None,
            (Family::Red | Family::Slo, _) => Stream::Served,
            (Family::Log, Indicator::CallsiteShift) => return None,
            (Family::Log, _) => Stream::Logs,
            (Family::Trace, Indicator::RootSuccess) => Stream::Roots,
            _ => return None,
        };
        match &measure.subject {
            Named::Service { service, endpoint } => {
                Some(Subject { stream, service: service.clone(), endpoint: endpoint.clone() })
            }
            Named::Edge { .. } => None,
        }
    }
}
