//! What a run's guards want to know, and of which time.

use super::super::asked::{self, question};
use super::super::ring::SECOND;
use super::super::watched::{How, Watched};
use super::{LATE, Question, RADIUS, Want, Watcher};
use crate::document::scope::Baseline;
use crate::document::units::Period;
use crate::indicator::{flow as flowed, statement};
use crate::window::{Span, Window};

/// What is usual where a document compares with another week: so long before the run.
const USUAL: Period = Period::secs(600);
/// Rows that were received are seen by SQL a moment later.
const VISIBLE: Period = Period::secs(1);

impl Watcher {
    /// What is to be asked now; each is answered by [`Watcher::answered`].
    pub fn questions(&mut self, now: i64) -> Vec<Question> {
        let mut questions = Vec::new();
        for want in self.wants(now) {
            let at = self.due.get(&want).copied().unwrap_or(i64::MIN);
            if now < at || self.asking.contains(&want) {
                continue;
            }
            if let Some(question) = self.question(&want, now) {
                self.asking.insert(want);
                questions.push(question);
            }
        }
        questions
    }

    fn wants(&self, now: i64) -> Vec<Want> {
        let mut wants = Vec::new();
        for (subject, ring) in &self.rings {
            let Some(whole) = ring.wanted().filter(|whole| now >= whole + VISIBLE.nanos()) else {
                continue;
            };
            wants.push(match self.cells.contains_key(&(subject.clone(), whole)) {
                true => Want::Total(subject.clone(), whole),
                false => Want::Cells(subject.clone(), whole),
            });
        }
        for (at, guard) in self.guards.iter().enumerate() {
            match &guard.how {
                How::Asked { .. } => wants.push(Want::Value(at)),
                How::Radius { .. } => wants.push(Want::Radius(at)),
                How::Heard(..) if !self.own.contains_key(&at) => wants.push(Want::Usual(at)),
                _ => {}
            }
        }
        let unknown = self.sources.iter().filter(|source| !self.others.contains_key(source));
        wants.extend(unknown.map(|source| Want::Flowed(*source)));
        wants
    }

    /// The stretch before the run, or before its injection when that came later.
    pub(super) fn before(&self) -> Span {
        let end = self.injected.map_or(self.opened, |injected| injected.min(self.opened));
        let lead = match self.experiment.window.baseline {
            Baseline::Before(length) => length,
            // Now is what a guard looks at, whatever the run is compared with.
            Baseline::Like(_) => USUAL,
        };
        Span::between(end.saturating_sub(lead.nanos()), end)
    }

    fn question(&self, want: &Want, now: i64) -> Option<Question> {
        let late = self.experiment.window.late.max(LATE).nanos();
        // Rows from both sides of a jump lie apart: they are heard, or never told.
        let jumped = |from: i64| self.time.jumped().is_some_and(|jumped| from <= jumped);
        let wall = |at: i64| self.time.wall(at);
        let judged = self.time.judged(now);
        let sql = match want {
            Want::Cells(subject, whole) => {
                let from = whole - self.rings.get(subject)?.span() * SECOND;
                if jumped(from) {
                    return None;
                }
                asked::cells(subject, wall(from), wall(*whole), late, None)
            }
            Want::Total(subject, whole) => {
                let since = self.rings.get(subject)?.counts_since()?;
                if jumped(since) {
                    return None;
                }
                asked::cells(subject, wall(since), wall(*whole), late, Some(wall(since)))
            }
            Want::Usual(at) => match &self.guards.get(*at)?.how {
                How::Heard(measure, _) => statement(measure, self.before(), judged),
                _ => return None,
            },
            Want::Flowed(source) => flowed::rows(*source, self.before(), judged),
            Want::Value(at) => {
                let guard = self.guards.get(*at)?;
                let How::Asked { provider, .. } = &guard.how else { return None };
                question(provider, self.stretch(guard, now)?.ok()?, judged)
            }
            Want::Radius(_) => {
                let since = self.since?;
                if now - since < self.experiment.window.settle.nanos() + RADIUS.nanos() {
                    return None;
                }
                let (inject, recover) = self.time.carried(since, now).ok()?;
                let window = Window {
                    run_id: self.id.clone(),
                    inject,
                    recover,
                    uncertainty_ms: 0,
                    others: Vec::new(),
                    aborted: None,
                };
                return Some(Question::Radius(want.clone(), window));
            }
        };
        Some(Question::Sql(want.clone(), sql))
    }

    /// The buckets that a guard's question is about, by the time that rows carry;
    /// `None` before there is any.
    pub(super) fn stretch(&self, guard: &Watched, now: i64) -> Option<Result<Span, String>> {
        let span = match guard.seconds() {
            Some(seconds) => asked::stretch(now, seconds * SECOND),
            None => Span::between(self.since?, now),
        };
        let carried = self.time.carried(span.from, now);
        let span = carried.map(|(from, _)| Span { from, ..span });
        (!matches!(span, Ok(Span { buckets: 0, .. }))).then_some(span)
    }

    /// Guards do not ask while the clock was set and nobody knows by which time rows are
    /// to be looked for; what they know grows stale.
    pub(super) fn doubt(&mut self, now: i64) {
        for at in 0..self.guards.len() {
            let Some(guard) = self.guards.get(at) else { continue };
            let doubt = match guard.how {
                How::Asked { .. } => self.stretch(guard, now).and_then(Result::err),
                How::Radius { .. } => {
                    self.since.and_then(|since| self.time.carried(since, now).err())
                }
                _ => None,
            };
            if let Some(guard) = self.guards.get_mut(at) {
                guard.doubt = doubt;
            }
        }
    }
}
