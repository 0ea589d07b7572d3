//! A judged run, written down. JSON is the canonical form: everything that the
//! others show is in it, with what is needed to judge the run again.
//!
//! | file | its part |
//! | --- | --- |
//! | [`markdown`] | for people and step summaries |
//! | [`junit`] | for CI: what is inconclusive or invalid is an error, never skipped |
//!
//! Deliberately not here: where reports go, which is the caller's.

mod junit;
mod markdown;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Error;
use crate::document::Experiment;
use crate::radius::{Radius, Suspect};
use crate::verdict::evidence::Evidence;
use crate::verdict::{self, Judgement, Reason, Verdict};
use crate::window::{Phases, Window};

pub use junit::junit;
pub use markdown::markdown;

/// The form of a report. It changes when a key changes its meaning or goes.
pub const SCHEMA: &str = "cloudsail.experiment.report/1";

/// A report, as its JSON has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// How far each source had come, with the statements that tell.
    pub sources: BTreeMap<String, SourceEntry>,
}

/// A finding in a report. Its numbers are kept as they were written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    pub numbers: Option<Value>,
    pub evidence_sql: Vec<String>,
}

/// A service of the measured blast radius.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SuspectEntry {
    pub service: String,
    pub strength: f64,
    /// `inside`, `explained` or `off-target`.
    pub place: String,
    pub signs: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
        let Judgement { ruling, effect, baseline, findings, mut notes } = judgement;
        let radius = radius.unwrap_or_default();
        notes.extend(
            radius
                .under_reach
                .iter()
                .map(|service| format!("{service} is a target and shows no sign of the fault")),
        );
        let all = [effect, baseline].into_iter().chain(findings);
        let sources = evidence.flows.iter().map(|(source, asked)| {
            let watermark = asked.answer.as_ref().ok().and_then(|flow| flow.watermark);
            let entry = SourceEntry { watermark: watermark.map(instant), sql: asked.sql.clone() };
            (source.table().to_owned(), entry)
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
            suspects: radius.suspects.into_iter().map(SuspectEntry::new).collect(),
            sources: sources.collect(),
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

impl SuspectEntry {
    fn new(suspect: Suspect) -> SuspectEntry {
        SuspectEntry {
            service: suspect.service,
            strength: suspect.strength,
            place: suspect.place.name().to_owned(),
            signs: suspect.signs.into_iter().map(|sign| sign.detail).collect(),
        }
    }
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
