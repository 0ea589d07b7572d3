//! Fault-free time: what indicators are calibrated on. Of spans and logs no more
//! is asked for than calibration needs; metrics are told by so few points that a
//! day of them costs less than a minute of spans.

use crate::Error;
use crate::document::provider::{Measure, Subject};
use crate::indicator::{self, Series, Stretch, Table, answer, flow};
use crate::radius;
use crate::radius::history::{self, History};
use crate::verdict::calibrate;
use crate::verdict::evidence::{Asked, Source};
use crate::window::{BUCKET, Span};

use super::collect::Collector;
use super::stretch::stretches;

/// Fault-free time of one measure, and the same of what its moves are taken against.
pub(super) type Past = (Asked<Vec<Series>>, Option<Asked<Vec<Series>>>);

impl Collector<'_> {
    /// Fault-free time around the run, in pieces.
    pub(super) async fn quiet(&mut self) -> Result<Asked<History>, Error> {
        let (phases, window) = (self.phases, self.window);
        let reach = history::reach(&phases, self.judged);
        let sql = radius::statement::recorded(reach, self.judged);
        let read = |table: &Table| Ok(History::of(table, reach, &phases, window));
        let answer = self.read(&sql, read).await?;
        Ok(Asked { sql, answer })
    }

    /// What is fault-free of a measure, in unbroken stretches.
    pub(super) async fn history(
        &mut self,
        measure: &Measure,
        control: Option<&Measure>,
    ) -> Result<Past, Error> {
        let margin = match self.quiet().await? {
            Asked { answer: Ok(quiet), .. } => quiet.margin,
            Asked { sql, answer: Err(gap) } => return Ok((Asked { sql, answer: Err(gap) }, None)),
        };
        let mut taken = history::taken(&self.phases, self.window, margin);
        let season = self.phases.season();
        if let Some(ago) = season {
            // What was taken then is no history of now either.
            let then: Vec<Span> = taken.iter().map(|span| span.later(ago)).collect();
            taken.extend(then);
        }
        let pieces = match self.pieces(measure, &taken).await? {
            Asked { answer: Ok(pieces), .. } => pieces,
            Asked { sql, answer: Err(gap) } => return Ok((Asked { sql, answer: Err(gap) }, None)),
        };
        let own = self.past(measure, &pieces).await?;
        let beside = match (control, season) {
            (Some(control), _) => Some(self.past(control, &pieces).await?),
            (None, Some(ago)) => {
                let then: Vec<Span> = pieces.iter().map(|piece| piece.earlier(ago)).collect();
                Some(self.past(measure, &then).await?)
            }
            (None, None) => None,
        };
        let both = [Some(&own), beside.as_ref()].into_iter().flatten();
        let all: Vec<&Series> = both.filter_map(|asked| asked.answer.as_ref().ok()).collect();
        let from = radius::statement::hull(&pieces).from;
        let bucket = |at: i64| usize::try_from((at - from) / BUCKET.nanos()).unwrap_or(usize::MAX);
        let each = pieces.iter().map(|piece| bucket(piece.from)..bucket(piece.to()));
        let ranges: Vec<_> = each.flat_map(|piece| stretches(&all, piece)).collect();
        let cut = |Asked { sql, answer }: Asked<Series>| {
            let parts = |series: Series| ranges.iter().map(|r| series.part(r.clone())).collect();
            Asked { sql, answer: answer.map(parts) }
        };
        Ok((cut(own), beside.map(cut)))
    }

    /// Which time is looked at.
    async fn pieces(
        &mut self,
        measure: &Measure,
        taken: &[Span],
    ) -> Result<Asked<Vec<Span>>, Error> {
        let reach = history::reach(&self.phases, self.judged);
        let source = Source::of(measure.family);
        let service = match &measure.subject {
            Subject::Service { service, .. } => service,
            Subject::Edge { edge, .. } => &edge.to,
        };
        if source == Source::Metrics {
            return Ok(Asked { sql: String::new(), answer: Ok(History::all(reach, taken)) });
        }
        let needed = calibrate::needed(&self.phases);
        let sql = flow::recorded(source, service, reach, self.judged);
        let read = |table: &Table| {
            let table = answer::Rows::of(table)?.table();
            Ok(History::of_runs(table, reach, taken, needed))
        };
        let answer = self.read(&sql, read).await?;
        Ok(Asked { sql, answer })
    }

    /// A measure over pieces of time, as one series over all that they lie in.
    async fn past(&mut self, measure: &Measure, pieces: &[Span]) -> Result<Asked<Series>, Error> {
        let span = radius::statement::hull(pieces);
        let few = (Source::of(measure.family) != Source::Metrics).then_some(pieces);
        let sql = indicator::of(measure, &Stretch { pieces: few, ..self.stretch(span) });
        if pieces.is_empty() {
            return Ok(Asked { sql, answer: Ok(Series::default()) });
        }
        let answer = self.read(&sql, |table| answer::series(measure, span, table)).await?;
        // So many rows are not kept for the sake of a second question.
        self.known.remove(&sql);
        Ok(Asked { sql, answer })
    }
}
