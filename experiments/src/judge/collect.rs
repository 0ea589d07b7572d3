//! The rows of a run, by SQL. History is a day on each side of it: a run that is
//! judged long after has fault-free time behind it too.

use std::collections::{BTreeMap, BTreeSet};

use schema::ErrorKind;
use serde_json::Value;

use crate::Error;
use crate::alert::statement::{self, Transition};
use crate::completeness::{self, Grade};
use crate::document::Experiment;
use crate::document::guard::Watch;
use crate::document::probe::{Effect, EffectCheck, Mode, Probe};
use crate::document::provider::{Indicator, Measure, Nature, Outcome, Provider};
use crate::document::scope::Scaling;
use crate::document::tolerance::Tolerance;
use crate::document::units::Period;
use crate::indicator::scale::{self, Point};
use crate::indicator::{self, Ask, Series, Stratum, Stretch, Table, answer, flow, query};
use crate::radius;
use crate::radius::seen::{self, Answers, Past};
use crate::radius::site::{Names, Sites};
use crate::verdict::evidence::{
    Answered, Asked, Control, Evidence, Flow, Gap, Heard, Layer, Load, Measured, Observed,
    Sighting, Source, Stop,
};
use crate::verdict::strata::{self, Moved};
use crate::verdict::{alerts, compare};
use crate::window::{BUCKET, Phase, Phases, Span, Window};

/// How far back, and on, fault-free history is looked for.
pub const HISTORY: Period = Period::secs(24 * 3_600);
/// So far back a gauge that is scraped was told.
const SCRAPED: Period = Period::secs(300);

pub(super) const PHASES: [Phase; 3] = [Phase::Baseline, Phase::Injection, Phase::Recovery];

/// Asks for everything that the verdict needs.
pub async fn collect(
    experiment: &Experiment,
    window: &Window,
    judged: i64,
    seed: u64,
    ask: &dyn Ask,
) -> Result<Evidence, Error> {
    let phases = Phases::of(window, &experiment.window);
    let mut collector =
        Collector { experiment, window, phases, judged, ask, known: BTreeMap::new() };
    let mut probes = Vec::new();
    let mut with_sites = false;
    let mut sources = BTreeSet::from([Source::Spans]);
    for probe in &experiment.steady_state_hypothesis.probes {
        probes.push(match &probe.provider {
            Provider::Measure(measure) if measure.indicator == Indicator::CallsiteShift => {
                sources.insert(Source::Logs);
                with_sites = true;
                Observed::Sites
            }
            Provider::Measure(measure) => {
                sources.insert(Source::of(measure.family));
                let history = matches!(probe.tolerance, Tolerance::Relative(_));
                let mut measured = collector.measured(measure, history).await?;
                measured.metered = collector.metered(measure, &measured).await?;
                if measured.metered.is_some() {
                    sources.insert(Source::Metrics);
                }
                for phase in probe.mode.phases() {
                    let layers = collector.layers(measure, *phase).await?;
                    measured.strata.extend(layers.map(|layers| (*phase, layers)));
                }
                Observed::Measure(measured)
            }
            Provider::Sql { query, result } => {
                sources.extend([Source::Logs, Source::Metrics]);
                Observed::Sql(collector.answered(probe, query, *result).await?)
            }
        });
    }
    let mut effects = Vec::new();
    let mut reported = BTreeMap::new();
    if let Some(EffectCheck::Any { any }) = &experiment.effect_check {
        for effect in any {
            let measure = match effect {
                Effect::Moved { measure, .. } => measure,
                Effect::Reported { event } => {
                    reported.insert(event.clone(), collector.reported(event).await?);
                    continue;
                }
            };
            sources.insert(Source::of(measure.family));
            if measure.indicator == Indicator::CallsiteShift {
                with_sites = true;
                continue;
            }
            let mut measured = collector.measured(measure, false).await?;
            // What is told too seldom to compare it with its baseline, or was not yet.
            let few = |phase| match measured.phases.get(&phase).map(|asked| &asked.answer) {
                Some(Ok(series)) => compare::is_few(measure, series),
                _ => false,
            };
            let gauge = measure.indicator.nature() == Nature::Gauge;
            if few(Phase::Baseline) || gauge && few(Phase::Injection) {
                measured.history = Some(collector.history(measure, None).await?.0);
            }
            effects.push(measured);
        }
    }
    if experiment.expect.scaling.is_some() {
        sources.insert(Source::Metrics);
    }
    let mut flows = BTreeMap::new();
    for source in sources {
        flows.insert(source, collector.flow(source).await?);
    }
    let load = collector.load().await?;
    let mut grades = BTreeMap::new();
    for source in flows.keys() {
        for (phase, grade) in collector.grades(*source).await? {
            grades.insert((*source, phase), grade);
        }
    }
    let sites = if with_sites { Some(collector.sites().await?) } else { None };
    let scaling = match &experiment.expect.scaling {
        Some(scaling) => Some(collector.scaling(scaling).await?),
        None => None,
    };
    let stop = collector.stop(experiment).await?;
    let looked = alerts::looked(experiment, window, &phases);
    let alerts = Heard {
        known: collector.known_alerts().await?,
        transitions: collector.transitions(looked).await?,
    };
    let (radius, extent) = (None, None);
    Ok(Evidence {
        phases,
        probes,
        effects,
        reported,
        flows,
        load,
        grades,
        radius,
        extent,
        scaling,
        sites,
        stop,
        alerts,
        judged,
        seed,
    })
}

pub(super) struct Collector<'a> {
    experiment: &'a Experiment,
    pub(super) window: &'a Window,
    pub(super) phases: Phases,
    pub(super) judged: i64,
    ask: &'a dyn Ask,
    /// Answers by statement: several hypotheses ask for the same.
    pub(super) known: BTreeMap<String, Result<Table, Gap>>,
}

impl Collector<'_> {
    /// Asks, unless it was asked before, and reads the answer. An engine that is
    /// away fails the judging; one that refuses is a gap.
    pub(super) async fn read<T>(
        &mut self,
        sql: &str,
        read: impl FnOnce(&Table) -> Result<T, Gap>,
    ) -> Result<Result<T, Gap>, Error> {
        if !self.known.contains_key(sql) {
            let answer = match self.ask.ask(sql).await {
                Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
                answer => answer.map_err(|error| Gap::Error(error.to_string())),
            };
            self.known.insert(sql.to_owned(), answer);
        }
        Ok(match self.known.get(sql) {
            Some(Ok(table)) => read(table),
            Some(Err(gap)) => Err(gap.clone()),
            None => Err(Gap::Error("it was not answered".into())),
        })
    }

    pub(super) fn stretch(&self, span: Span) -> Stretch<'static> {
        Stretch { usual: Some(self.phases.baseline), ..Stretch::new(span, self.judged) }
    }

    async fn series(&mut self, measure: &Measure, span: Span) -> Result<Asked<Series>, Error> {
        let sql = indicator::of(measure, &self.stretch(span));
        if span.buckets == 0 {
            return Ok(Asked { sql, answer: Ok(Series::default()) });
        }
        let answer = self.read(&sql, |table| answer::series(measure, span, table)).await?;
        Ok(Asked { sql, answer })
    }

    async fn measured(&mut self, measure: &Measure, history: bool) -> Result<Measured, Error> {
        let mut phases = BTreeMap::new();
        for phase in PHASES {
            phases.insert(phase, self.series(measure, self.phases.get(phase)).await?);
        }
        let measured = Measured { phases, ..Measured::default() };
        if !history {
            return Ok(measured);
        }
        let control = self.experiment.control.as_ref().and_then(|control| control.of(measure));
        let (history, beside) = self.history(measure, control.as_ref()).await?;
        let control = match control {
            Some(measure) => {
                let mut phases = BTreeMap::new();
                for phase in PHASES {
                    phases.insert(phase, self.series(&measure, self.phases.get(phase)).await?);
                }
                Some(Box::new(Control { measure, phases }))
            }
            None => None,
        };
        Ok(Measured { history: Some(history), beside, control, ..measured })
    }

    /// The endpoints of a phase, where their mix is not the baseline's.
    async fn layers(
        &mut self,
        measure: &Measure,
        phase: Phase,
    ) -> Result<Option<Vec<Layer>>, Error> {
        if phase == Phase::Baseline || !strata::can_weight(measure) {
            return Ok(None);
        }
        let load = self.load().await?.answer;
        let moved = load.ok().and_then(|load| strata::moved(&load, &self.phases, phase));
        let Some(Moved::Mix { strata, .. }) = moved else { return Ok(None) };
        let mut layers = Vec::new();
        for stratum in strata {
            let before = self.stratum(measure, self.phases.baseline, &stratum).await?;
            let after = self.stratum(measure, self.phases.get(phase), &stratum).await?;
            layers.push(Layer { stratum, before, after });
        }
        Ok(Some(layers))
    }

    async fn stratum(
        &mut self,
        measure: &Measure,
        span: Span,
        stratum: &Stratum,
    ) -> Result<Asked<Series>, Error> {
        let stretch = Stretch { stratum: Some(stratum), ..self.stretch(span) };
        let sql = indicator::of(measure, &stretch);
        let answer = self.read(&sql, |table| answer::series(measure, span, table)).await?;
        Ok(Asked { sql, answer })
    }

    /// What all services said in the injection, and in fault-free time.
    async fn sites(&mut self) -> Result<Asked<Sighting>, Error> {
        let Asked { sql, answer } = self.quiet().await?;
        let quiet = match answer {
            Ok(quiet) => quiet,
            Err(gap) => return Ok(Asked { sql, answer: Err(gap) }),
        };
        let spans = [vec![self.phases.injection], quiet.asked()];
        let sql = [&spans[0], &spans[1]].map(|s| radius::statement::sites(s, self.judged));
        let whole = |table: &Table| Sites::whole(table).cloned();
        let now = self.read(&sql[0], whole).await?;
        let usual = self.read(&sql[1], whole).await?;
        let answer = now.and_then(|now| {
            let (usual, mut names) = (usual?, Names::default());
            let past = Past::read(quiet, Answers::of_sites(&usual), &mut names);
            let now = Answers::of_sites(&now);
            let injection = seen::seen(spans[0][0], now, &mut names).sites;
            Ok(Sighting { injection, past, names })
        });
        Ok(Asked { sql: sql.join(";\n"), answer })
    }

    async fn answered(
        &mut self,
        probe: &Probe,
        text: &str,
        result: Outcome,
    ) -> Result<Vec<Answered>, Error> {
        let Phases { baseline, injection, recovery } = self.phases;
        // What must be so at the end is asked of all that happened since the injection.
        let end = self.phases.end();
        let whole = Span::between(injection.from, end);
        let spans: Vec<(Phase, Span)> = match probe.mode {
            Mode::SOT => vec![(Phase::Baseline, baseline)],
            Mode::OnChaos => vec![(Phase::Injection, injection)],
            Mode::EOT => vec![(Phase::Recovery, whole)],
            Mode::Edge => vec![(Phase::Baseline, baseline), (Phase::Recovery, whole)],
            Mode::Continuous => vec![
                (Phase::Baseline, baseline),
                (Phase::Injection, injection),
                (Phase::Recovery, recovery),
            ],
        };
        let mut answers = Vec::new();
        for (phase, span) in spans.into_iter().filter(|(_, span)| span.buckets > 0) {
            let sql = query::statement(text, span, self.judged);
            let answer = self.read(&sql, |table| answer::value(result, table)).await?;
            let value: Asked<Value> = Asked { sql, answer };
            let scanned = query::scanned(span, self.judged);
            let scanned = self.read(&scanned, |table| answer::number("n", table)).await?;
            let scanned = scanned.ok().flatten().and_then(|n| u64::try_from(n).ok());
            answers.push(Answered { phase, value, scanned: scanned.unwrap_or(0) });
        }
        Ok(answers)
    }

    async fn flow(&mut self, source: Source) -> Result<Asked<Flow>, Error> {
        let mut sum = Flow::default();
        let mut gap = None;
        let mut statements = Vec::new();
        for phase in PHASES {
            let span = self.phases.get(phase);
            if span.buckets == 0 {
                continue;
            }
            let sql = flow::rows(source, span, self.judged);
            let added = self.read(&sql, |table| answer::flow(&mut sum, phase, span, table)).await?;
            statements.push(sql);
            gap = gap.or(added.err());
        }
        let sql = flow::watermark(source, self.phases.start(), self.judged);
        let watermark = self.read(&sql, |table| answer::number("watermark", table)).await?;
        statements.push(sql);
        match watermark {
            Ok(watermark) => sum.watermark = watermark,
            Err(error) => gap = gap.or(Some(error)),
        }
        let answer = gap.map_or(Ok(sum), Err);
        Ok(Asked { sql: statements.join(";\n"), answer })
    }

    /// Points from before the injection, so that what was usual is known, to the end.
    async fn scaling(&mut self, scaling: &Scaling) -> Result<Asked<Vec<Point>>, Error> {
        let from = self.window.inject.saturating_sub(SCRAPED.nanos());
        let span = Span::between(from, self.phases.end().max(self.window.recover));
        let sql = scale::statement(scaling, span, self.judged);
        let answer = self.read(&sql, scale::points).await?;
        Ok(Asked { sql, answer })
    }

    /// How whole a source is in each phase. Spans and metrics beside those of the baseline.
    async fn grades(&mut self, source: Source) -> Result<Vec<(Phase, Asked<Grade>)>, Error> {
        let mut grades = Vec::new();
        let mut usual = completeness::Usual::default();
        let mut before = None;
        for phase in PHASES {
            let span = self.phases.get(phase);
            if span.buckets == 0 {
                continue;
            }
            let sql = completeness::statements(source, span, before, self.judged);
            before = before.or(Some(span));
            let mut tables = Vec::new();
            let mut gap = None;
            for sql in &sql {
                match self.read(sql, |table| answer::Rows::of(table).map(|_| table.clone())).await?
                {
                    Ok(table) => tables.push(table),
                    Err(error) => gap = gap.or(Some(error)),
                }
            }
            let answer = match gap {
                Some(gap) => Err(gap),
                None => completeness::graded_by(source, &tables, &mut usual)
                    .map_err(|error| Gap::Error(error.to_string())),
            };
            grades.push((phase, Asked { sql: sql.join(";\n"), answer }));
        }
        Ok(grades)
    }

    /// What the guard watches that stopped the run, where it is an indicator.
    async fn stop(&mut self, experiment: &Experiment) -> Result<Option<Stop>, Error> {
        let Some(name) = &self.window.aborted else { return Ok(None) };
        let stopped = experiment.guard.iter().find(|guard| guard.name == *name);
        let Some(Watch::Threshold(threshold)) = stopped.map(|guard| &guard.watch) else {
            return Ok(None);
        };
        let Provider::Measure(measure) = &threshold.provider else { return Ok(None) };
        Ok(Some(Stop {
            guard: name.clone(),
            limits: threshold.within(),
            measured: self.measured(measure, false).await?,
            measure: measure.clone(),
        }))
    }

    /// Edges are told by clocks that may differ by as much as is known of, and a bucket.
    async fn reported(&mut self, event: &str) -> Result<Asked<i64>, Error> {
        let unsure = Period::millis(self.window.uncertainty_ms).nanos() + BUCKET.nanos();
        let between =
            (self.window.inject.saturating_sub(unsure), self.window.recover.saturating_add(unsure));
        let sql = flow::reported(&self.window.run_id, event, between, self.judged);
        let answer = self.read(&sql, |table| answer::number("n", table)).await?;
        Ok(Asked { sql, answer: answer.map(Option::unwrap_or_default) })
    }

    async fn known_alerts(&mut self) -> Result<Asked<i64>, Error> {
        let from = self.phases.start().saturating_sub(alerts::HEARD.nanos());
        let sql = statement::known(from, self.judged);
        let answer = self.read(&sql, |table| answer::number("n", table)).await?;
        Ok(Asked { sql, answer: answer.map(Option::unwrap_or_default) })
    }

    async fn transitions(
        &mut self,
        (from, to): (i64, i64),
    ) -> Result<Asked<Vec<Transition>>, Error> {
        let sql = statement::transitions(from, to, self.judged);
        let answer = self.read(&sql, statement::read).await?;
        Ok(Asked { sql, answer })
    }

    async fn load(&mut self) -> Result<Asked<Load>, Error> {
        let mut load = Load::default();
        let mut gap = None;
        let mut statements = Vec::new();
        for phase in PHASES {
            let span = self.phases.get(phase);
            if span.buckets == 0 {
                continue;
            }
            let sql = flow::load(span, self.judged);
            let counts = self.read(&sql, |table| answer::counts("endpoint", table)).await?;
            statements.push(sql);
            match counts {
                Ok(counts) => {
                    for (endpoint, n) in counts {
                        load.endpoints.entry(endpoint).or_default().insert(phase, n);
                    }
                }
                Err(error) => gap = gap.or(Some(error)),
            }
        }
        Ok(Asked { sql: statements.join(";\n"), answer: gap.map_or(Ok(load), Err) })
    }
}
