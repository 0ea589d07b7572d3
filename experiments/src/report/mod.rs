//! A judged run, written down. JSON is the canonical form: everything that the
//! others show is in it, with what is needed to judge the run again.
//!
//! | file | its part |
//! | --- | --- |
//! | [`chart`] | what pictures are drawn from: indicators bucket by bucket |
//! | [`reach`] | what was touched, and who calls whom around it |
//! | [`form`] | the JSON Schema of a report |
//! | [`escape`] | text of anybody's in HTML and XML |
//! | [`markdown`] | for people and step summaries; its [`summary`] for terminals |
//! | [`junit`] | for CI: what is inconclusive or invalid is an error, never skipped |
//! | [`html`] | one file with pictures, for a browser and for paper |
//!
//! Deliberately not here: where reports go, which is the caller's.

pub mod chart;
mod escape;
mod form;
mod html;
mod junit;
mod markdown;
pub mod reach;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Error;
use crate::alert::State;
use crate::completeness::Grade;
use crate::document::Experiment;
use crate::document::scope::Target;
use crate::radius::Radius;
use crate::verdict::aftermath::Aftermath;
use crate::verdict::evidence::Evidence;
use crate::verdict::{self, Judgement, Reason, Verdict, alerts};
use crate::window::{Phase, Phases, Window};

use chart::Chart;
pub use form::{Numbers, schema};
pub use html::html;
pub use junit::junit;
pub use markdown::{markdown, summary};
use reach::{Call, ReachEntry, SuspectEntry};

/// The form of a report. It changes when a key changes its meaning or goes.
pub const SCHEMA: &str = "cloudsail.experiment.report/1";

/// Alerts that a report shows.
const MOST_ALARMS: usize = 100;

/// A report, as its JSON has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    pub schema: String,
    pub title: String,
    /// Of the document.
    pub version: String,
    /// The completed document.
    pub document: String,
    pub window: Window,
    pub phases: Phases,
    /// Rows ingested later were not looked at.
    pub judged_at: String,
    pub judged_unix_nano: i64,
    pub seed: u64,
    pub verdict: Verdict,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    pub detail: String,
    /// Effect, baseline, then the hypotheses.
    pub findings: Vec<Entry>,
    pub notes: Vec<String>,
    /// What the fault touched, the likeliest cause first. Found, not judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspects: Vec<SuspectEntry>,
    /// How far the fault reached, and that beside what was declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<ReachEntry>,
    /// The services that the document aims at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
    /// Who called whom, around what was touched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call>,
    /// Alerts that fired, or could not be evaluated, while the run went on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<Alarm>,
    /// For a run that a guard stopped: whether that helped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aftermath: Option<Aftermath>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charts: Vec<Chart>,
    /// How far each source had come, with the statements that tell.
    pub sources: BTreeMap<String, SourceEntry>,
    /// How whole they are, which caps what depends on them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub completeness: Vec<GradeEntry>,
}

/// A finding in a report. Its numbers are kept as they were written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    pub hypothesis: String,
    pub severity: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    pub verdict: Verdict,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    pub detail: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Numbers>")]
    pub numbers: Option<Value>,
    pub evidence_sql: Vec<String>,
}

/// An alert of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Alarm {
    pub rule: String,
    pub fingerprint: String,
    pub state: State,
    /// Nanoseconds since 1970.
    pub from: i64,
    /// Missing while it was not over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<i64>,
}

/// How whole a source is in a phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GradeEntry {
    pub source: String,
    pub phase: Phase,
    /// Missing where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grade: Option<Grade>,
    pub sql: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SourceEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<String>,
    pub sql: String,
}

impl Report {
    pub fn new(
        experiment: &Experiment,
        window: &Window,
        judged: i64,
        evidence: &Evidence,
        judgement: Judgement,
        radius: Option<Radius>,
    ) -> Result<Report, Error> {
        let Judgement { ruling, effect, baseline, findings, aftermath, mut notes } = judgement;
        let begun = |radius: &Radius| reach::reach(radius, evidence, window);
        let reached = radius.as_ref().map(begun);
        let mut radius = radius.unwrap_or_default();
        if radius.aim == Target::default() {
            radius.aim = experiment.target.clone();
        }
        notes.extend(
            radius
                .under_reach
                .iter()
                .map(|target| format!("{target} is a target and shows no sign of the fault")),
        );
        notes.extend(evidence.grades.iter().filter_map(|((source, phase), asked)| {
            let grade = asked.answer.as_ref().ok().filter(|grade| **grade != Grade::Whole)?;
            Some(format!("{} of the {} are {}", source.table(), phase.name(), grade.name()))
        }));
        let all = [effect, baseline].into_iter().chain(findings);
        let sources = evidence.flows.iter().map(|(source, asked)| {
            let watermark = asked.answer.as_ref().ok().and_then(|flow| flow.watermark);
            let entry = SourceEntry { watermark: watermark.map(instant), sql: asked.sql.clone() };
            (source.table().to_owned(), entry)
        });
        let completeness = evidence.grades.iter().map(|((source, phase), asked)| GradeEntry {
            source: source.table().to_owned(),
            phase: *phase,
            grade: asked.answer.as_ref().ok().copied(),
            sql: asked.sql.clone(),
        });
        Ok(Report {
            schema: SCHEMA.to_owned(),
            title: experiment.title.clone(),
            version: experiment.version(),
            document: experiment.to_yaml()?,
            window: window.clone(),
            phases: evidence.phases,
            judged_at: instant(judged),
            judged_unix_nano: judged,
            seed: evidence.seed,
            verdict: ruling.verdict,
            reason: ruling.reason,
            detail: ruling.detail,
            findings: all.map(Entry::new).collect::<Result<_, Error>>()?,
            notes,
            targets: radius.aim.level_0(),
            calls: reach::calls(&radius),
            suspects: reach::suspects(&radius, evidence, window),
            reach: reached,
            alerts: alarms(experiment, window, evidence),
            aftermath,
            charts: chart::charts(experiment, evidence),
            sources: sources.collect(),
            completeness: completeness.collect(),
        })
    }

    /// Reads a report that was written before.
    pub fn read(text: &str) -> Result<Report, Error> {
        let report: Report = serde_json::from_str(text)
            .map_err(|error| Error::invalid(format!("this is no report: {error}")))?;
        if report.schema != SCHEMA {
            return Err(Error::invalid(format!(
                "the report has the schema {}; this version knows {SCHEMA}",
                report.schema
            )));
        }
        Ok(report)
    }

    /// The canonical form: keys sorted, so that equal reports are equal texts.
    pub fn to_json(&self) -> Result<String, Error> {
        let value = serde_json::to_value(self).map_err(unwritable)?;
        serde_json::to_string_pretty(&value).map(|text| text + "\n").map_err(unwritable)
    }

    pub fn in_short(&self) -> String {
        in_short(self.verdict, self.reason)
    }
}

/// The alerts that a picture of the run shows.
fn alarms(experiment: &Experiment, window: &Window, evidence: &Evidence) -> Vec<Alarm> {
    let (looked, _) = alerts::looked(experiment, window, &evidence.phases);
    let transitions = evidence.alerts.transitions.answer.as_deref().unwrap_or_default();
    let (from, end) = (evidence.phases.baseline.from, evidence.phases.end());
    let spells = alerts::spells(transitions, looked).into_iter();
    let during = spells.filter(|s| s.from <= end && s.to.is_none_or(|to| to >= from));
    let alarm = |alerts::Spell { rule, fingerprint, state, from, to }| Alarm {
        rule,
        fingerprint,
        state,
        from,
        to,
    };
    during.take(MOST_ALARMS).map(alarm).collect()
}

impl Entry {
    fn new(finding: verdict::Finding) -> Result<Entry, Error> {
        let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
        let severity = serde_json::to_value(finding.severity).map_err(unwritable)?;
        let numbers = finding.numbers.map(serde_json::to_value).transpose().map_err(unwritable)?;
        Ok(Entry {
            hypothesis: finding.hypothesis,
            severity: text(severity),
            phase: finding.phase.map(|phase| phase.name().to_owned()),
            verdict: finding.ruling.verdict,
            reason: finding.ruling.reason,
            detail: finding.ruling.detail,
            numbers,
            evidence_sql: finding.evidence_sql,
        })
    }

    pub fn in_short(&self) -> String {
        in_short(self.verdict, self.reason)
    }
}

/// `inconclusive: too_few`.
fn in_short(verdict: Verdict, reason: Option<Reason>) -> String {
    match reason {
        Some(reason) => format!("{}: {}", verdict.name(), reason.name()),
        None => verdict.name().to_owned(),
    }
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::internal(format!("the report cannot be written: {error}"))
}

/// RFC 3339 to the microsecond.
fn instant(nanos: i64) -> String {
    let since = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
    humantime::format_rfc3339_micros(UNIX_EPOCH + since).to_string()
}
