//! What was found: five verdicts and the closed list of reasons.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::aftermath::Aftermath;
use crate::document::probe::Severity;
use crate::document::tolerance::Limits;
use crate::statistics::Interval;
use crate::window::Phase;

/// Never two-valued. Ordered from best to worst, so that the worst of several
/// is their maximum.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Shown to be within the tolerance.
    Held,
    /// Neither was shown.
    Inconclusive,
    /// Shown to be outside.
    Deviated,
    /// The run shows nothing: its baseline was not steady, or the fault was never
    /// seen to take effect.
    Invalid,
    /// A guard stopped it.
    Aborted,
}

impl Verdict {
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Held => "held",
            Verdict::Inconclusive => "inconclusive",
            Verdict::Deviated => "deviated",
            Verdict::Invalid => "invalid",
            Verdict::Aborted => "aborted",
        }
    }

    /// Of a process. 2 and 6 are usage and failure, which are no verdicts.
    pub fn exit_code(self) -> u8 {
        match self {
            Verdict::Held => 0,
            Verdict::Deviated => 1,
            Verdict::Inconclusive => 3,
            Verdict::Invalid => 4,
            Verdict::Aborted => 5,
        }
    }
}

/// Why. The list is closed.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    NoData,
    TooFew,
    PipelineGap,
    Late,
    Overlap,
    LoadConfounded,
    Idle,
    DeadSignal,
    Biased,
    Error,
    Uncalibrated,
    Silence,
    BaselineDirty,
    NoEffect,
}

impl Reason {
    pub fn name(self) -> &'static str {
        match self {
            Reason::NoData => "no_data",
            Reason::TooFew => "too_few",
            Reason::PipelineGap => "pipeline_gap",
            Reason::Late => "late",
            Reason::Overlap => "overlap",
            Reason::LoadConfounded => "load_confounded",
            Reason::Idle => "idle",
            Reason::DeadSignal => "dead_signal",
            Reason::Biased => "biased",
            Reason::Error => "error",
            Reason::Uncalibrated => "uncalibrated",
            Reason::Silence => "silence",
            Reason::BaselineDirty => "baseline_dirty",
            Reason::NoEffect => "no_effect",
        }
    }
}

/// A verdict with its reason. What is held needs none; what deviated by its
/// numbers has them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ruling {
    pub verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// In words, for a person.
    pub detail: String,
}

impl Ruling {
    pub fn held(detail: impl Into<String>) -> Ruling {
        Ruling { verdict: Verdict::Held, reason: None, detail: detail.into() }
    }

    pub fn deviated(detail: impl Into<String>) -> Ruling {
        Ruling { verdict: Verdict::Deviated, reason: None, detail: detail.into() }
    }

    pub fn silence(detail: impl Into<String>) -> Ruling {
        let detail = detail.into();
        Ruling { verdict: Verdict::Deviated, reason: Some(Reason::Silence), detail }
    }

    pub fn inconclusive(reason: Reason, detail: impl Into<String>) -> Ruling {
        Ruling { verdict: Verdict::Inconclusive, reason: Some(reason), detail: detail.into() }
    }

    pub fn invalid(reason: Reason, detail: impl Into<String>) -> Ruling {
        Ruling { verdict: Verdict::Invalid, reason: Some(reason), detail: detail.into() }
    }
}

/// The numbers behind a ruling.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Numbers {
    pub value: Interval,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// What the indicator was in the baseline, where it was compared with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<f64>,
    /// A12 of the phase against the baseline, for values of buckets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub a12: Option<f64>,
    pub n: u64,
    /// What the samples are worth, dependence and dispersion taken off.
    pub n_effective: f64,
    /// The smallest move that these samples show in four of five runs.
    pub mde: f64,
    /// Of being outside by chance, before and after Holm's correction.
    pub p: f64,
    pub p_adjusted: f64,
    /// By how much the interval was widened by calibration.
    pub widened: f64,
    /// What made the interval.
    pub method: &'static str,
}

impl Numbers {
    pub fn limits(&self) -> Limits {
        Limits { low: self.low, high: self.high }
    }
}

/// One hypothesis, judged in one phase.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    pub hypothesis: String,
    pub severity: Severity,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    #[serde(flatten)]
    pub ruling: Ruling,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numbers: Option<Numbers>,
    /// The statements that give the rows behind it.
    pub evidence_sql: Vec<String>,
}

/// A run, judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judgement {
    #[serde(flatten)]
    pub ruling: Ruling,
    pub effect: Finding,
    pub baseline: Finding,
    pub findings: Vec<Finding>,
    /// For a run that a guard stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aftermath: Option<Aftermath>,
    /// What a reader should know and no verdict tells.
    pub notes: Vec<String>,
}
