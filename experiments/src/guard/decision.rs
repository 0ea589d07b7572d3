//! What the guards of a run say together.

use serde::Serialize;

/// Never two-valued: what cannot be told is not healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Go,
    CannotTell,
    Stop,
}

impl Verdict {
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Go => "go",
            Verdict::CannotTell => "cannot_tell",
            Verdict::Stop => "stop",
        }
    }
}

/// At one moment, in nanoseconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decision {
    pub verdict: Verdict,
    /// The guard that decided it.
    pub guard: Option<String>,
    /// A word: of the closed list of reasons, or `threshold`, `off_target`,
    /// `lease`, `aborted`, `ended`.
    pub reason: Option<String>,
    /// In words, for a person.
    pub detail: String,
    /// What that guard measured, in its indicator's unit.
    pub value: Option<f64>,
    pub n: u64,
    pub evaluated_at: i64,
}

impl Decision {
    pub fn cannot_tell(reason: &str, detail: impl Into<String>, now: i64) -> Decision {
        Decision {
            verdict: Verdict::CannotTell,
            guard: None,
            reason: Some(reason.to_owned()),
            detail: detail.into(),
            value: None,
            n: 0,
            evaluated_at: now,
        }
    }

    pub fn stop(guard: &str, reason: &str, detail: impl Into<String>, now: i64) -> Decision {
        Decision {
            verdict: Verdict::Stop,
            guard: Some(guard.to_owned()),
            ..Decision::cannot_tell(reason, detail, now)
        }
    }
}
