//! The same by metrics, where spans stand for an unknown number of others.

use std::collections::BTreeMap;

use crate::Error;
use crate::document::provider::{Measure, Nature};
use crate::indicator::{Series, answer, meter};
use crate::radius::history::{self, History};
use crate::verdict::evidence::{Asked, Measured, Metered};
use crate::window::{Phase, Span};

use super::collect::{Collector, PHASES};
use super::stretch::stretches;

/// The ends of the buckets that durations lie in.
const ENDS: [&str; 2] = ["low_cell", "cell"];

impl Collector<'_> {
    /// `None` where spans tell by themselves, or where no metric does.
    pub(super) async fn metered(
        &mut self,
        measure: &Measure,
        measured: &Measured,
    ) -> Result<Option<Box<Metered>>, Error> {
        let instead = meter::instead_of(measure).filter(|_| measured.is_biased());
        let Some(measure) = instead else { return Ok(None) };
        let told = meter::told(&measure, &self.stretch(self.phases.injection));
        let metrics = self.read(&told, |table| meter::chosen(&measure, table)).await?;
        let Ok(metrics) = metrics else { return Ok(None) };
        if metrics.is_empty() {
            return Ok(None);
        }
        let ends: &[&str] = match measure.indicator.nature() {
            Nature::Duration => &ENDS,
            _ => &ENDS[1..],
        };
        let mut at_end = Vec::new();
        for end in ends {
            let mut phases = BTreeMap::new();
            for phase in PHASES {
                let span = self.phases.get(phase);
                phases.insert(phase, self.by_metrics(end, &measure, &metrics, span).await?);
            }
            let history = match measured.history {
                Some(_) => Some(self.metric_history(end, &measure, &metrics).await?),
                None => None,
            };
            at_end.push((phases, history));
        }
        // What came before at its lowest beside what comes after at its highest.
        let mut bounds = Vec::new();
        for (at, (phases, history)) in at_end.iter().enumerate() {
            let (before, _) = &at_end[at_end.len() - 1 - at];
            let mut phases = phases.clone();
            phases
                .extend(before.get(&Phase::Baseline).map(|asked| (Phase::Baseline, asked.clone())));
            bounds.push(Measured { phases, history: history.clone(), ..Measured::default() });
        }
        Ok(Some(Box::new(Metered { measure, metrics, told, bounds })))
    }

    async fn by_metrics(
        &mut self,
        end: &str,
        measure: &Measure,
        metrics: &[&str],
        span: Span,
    ) -> Result<Asked<Series>, Error> {
        let sql = meter::statement(measure, metrics, &self.stretch(span));
        if span.buckets == 0 {
            return Ok(Asked { sql, answer: Ok(Series::default()) });
        }
        let read = |table: &_| answer::series_of(end, measure, span, table);
        let answer = self.read(&sql, read).await?;
        Ok(Asked { sql, answer })
    }

    /// Points are so few that all that is fault-free is asked for.
    async fn metric_history(
        &mut self,
        end: &str,
        measure: &Measure,
        metrics: &[&str],
    ) -> Result<Asked<Vec<Series>>, Error> {
        let margin = match self.quiet().await? {
            Asked { answer: Ok(quiet), .. } => quiet.margin,
            Asked { sql, answer: Err(gap) } => return Ok(Asked { sql, answer: Err(gap) }),
        };
        let taken = history::taken(&self.phases, self.window, margin);
        let reach = history::reach(&self.phases, self.judged);
        let Asked { sql, answer } = self.by_metrics(end, measure, metrics, reach).await?;
        let pieces = History::all(reach, &taken);
        let cut = |series: Series| {
            let bucket = |at: i64| Span::between(reach.from, at).buckets as usize;
            let each = pieces.iter().map(|piece| bucket(piece.from)..bucket(piece.to()));
            let ranges = each.flat_map(|piece| stretches(&[&series], piece));
            ranges.map(|range| series.part(range)).collect()
        };
        Ok(Asked { sql, answer: answer.map(cut) })
    }
}
