//! What can be measured: the families of built-in indicators (section 3 of the
//! paper), their names, and how their numbers behave.

use std::fmt;

use super::units::Unit;

/// A family of built-in indicators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    Red,
    /// Time spent in a span and in none of its children.
    Exclusive,
    Edge,
    Log,
    Resource,
    Trace,
    Slo,
    /// `red` and `slo` by metrics. No document says it: it is what is looked at where
    /// spans are biased.
    Meter,
}

pub(super) const FAMILIES: [(&str, Family); 7] = [
    ("red", Family::Red),
    ("self", Family::Exclusive),
    ("edge", Family::Edge),
    ("log", Family::Log),
    ("resource", Family::Resource),
    ("trace", Family::Trace),
    ("slo", Family::Slo),
];

impl Family {
    pub fn name(self) -> &'static str {
        let of = if self == Family::Meter { Family::Red } else { self };
        FAMILIES.iter().find(|(_, family)| *family == of).map_or("", |(name, _)| name)
    }
}

/// A quantile in thousandths: 950 is written `p95`, 999 `p99.9`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(u16);

impl Level {
    pub const MEDIAN: Level = Level(500);

    pub fn share(self) -> f64 {
        f64::from(self.0) / 1e3
    }

    fn read(text: &str) -> Option<Level> {
        let percent: f64 = text.strip_prefix('p')?.parse().ok()?;
        let thousandths = (percent * 10.0).round();
        (thousandths > 0.0 && thousandths < 1000.0).then_some(Level(thousandths as u16))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", f64::from(self.0) / 10.0)
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Indicator {
    Rate,
    Errors,
    ErrorRatio,
    Quantile(Level),
    Calls,
    Gap(Level),
    CallRatio,
    MaskRatio,
    /// The share of an edge's calls that were tried again after a failed one.
    RetryRatio,
    /// The share that ran out of time.
    TimeoutRatio,
    TraceIdRatio,
    /// The share of an operation's traces in which a call site is new or missing.
    CallsiteShift,
    Cpu,
    Memory,
    /// The share of a container's scheduling periods in which it was held back.
    Throttling,
    Restarts,
    OomKills,
    /// Pods that are ready.
    Replicas,
    RootSuccess,
    CompleteRatio,
    /// The share of traces whose operations are no usual set.
    StructureDivergence,
    BurnRate,
    /// The share of the error budget of 30 days that a phase burned.
    BudgetBurned,
}

/// How its numbers behave, which decides how they are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// Durations with a distribution in each bucket.
    Duration,
    /// So many of so many.
    Ratio,
    /// Events in time.
    Count,
    /// One value per bucket, such as a gauge.
    Gauge,
}

impl Indicator {
    pub(super) fn read(family: Family, name: &str) -> Option<Indicator> {
        use Indicator::*;
        let found = match (family, name) {
            (Family::Red, "rate") => Rate,
            (Family::Red, "errors") => Errors,
            (Family::Red | Family::Edge | Family::Log, "error_ratio") => ErrorRatio,
            (Family::Red | Family::Exclusive, _) => Quantile(Level::read(name)?),
            (Family::Edge, "calls") => Calls,
            (Family::Edge, "call_ratio") => CallRatio,
            (Family::Edge, "mask_ratio") => MaskRatio,
            (Family::Edge, "retry_ratio") => RetryRatio,
            (Family::Edge, "timeout_ratio") => TimeoutRatio,
            (Family::Edge, _) => Gap(Level::read(name.strip_prefix("gap_")?)?),
            (Family::Log, "trace_id_ratio") => TraceIdRatio,
            (Family::Log, "callsite_shift") => CallsiteShift,
            (Family::Resource, "cpu") => Cpu,
            (Family::Resource, "memory") => Memory,
            (Family::Resource, "throttling") => Throttling,
            (Family::Resource, "restarts") => Restarts,
            (Family::Resource, "oom_kills") => OomKills,
            (Family::Resource, "replicas") => Replicas,
            (Family::Trace, "root_success") => RootSuccess,
            (Family::Trace, "complete_ratio") => CompleteRatio,
            (Family::Trace, "structure_divergence") => StructureDivergence,
            (Family::Slo, "burn_rate") => BurnRate,
            (Family::Slo, "budget_burned") => BudgetBurned,
            _ => return None,
        };
        Some(found)
    }

    pub(super) fn names(family: Family) -> &'static [&'static str] {
        match family {
            Family::Red => &["rate", "errors", "error_ratio", "p50", "p90", "p95", "p99"],
            Family::Exclusive => &["p50", "p90", "p95", "p99"],
            Family::Edge => &[
                "calls",
                "error_ratio",
                "gap_p50",
                "gap_p95",
                "call_ratio",
                "mask_ratio",
                "retry_ratio",
                "timeout_ratio",
            ],
            Family::Log => &["error_ratio", "trace_id_ratio", "callsite_shift"],
            Family::Resource => {
                &["cpu", "memory", "throttling", "restarts", "oom_kills", "replicas"]
            }
            Family::Trace => &["root_success", "complete_ratio", "structure_divergence"],
            Family::Meter => &[],
            Family::Slo => &["burn_rate", "budget_burned"],
        }
    }

    pub fn nature(self) -> Nature {
        use Indicator::*;
        match self {
            Quantile(_) | Gap(_) => Nature::Duration,
            Rate | Errors | Calls | Restarts | OomKills => Nature::Count,
            Cpu | Memory | Replicas => Nature::Gauge,
            ErrorRatio | CallRatio | MaskRatio | RetryRatio | TimeoutRatio | TraceIdRatio
            | CallsiteShift | Throttling | RootSuccess | CompleteRatio | StructureDivergence
            | BurnRate | BudgetBurned => Nature::Ratio,
        }
    }

    /// Counted as they are, not by the second.
    pub fn is_total(self) -> bool {
        matches!(self, Indicator::Errors | Indicator::Restarts | Indicator::OomKills)
    }

    /// Stands still in health: that it never moves does not make it dead.
    pub fn may_stand_still(self) -> bool {
        matches!(self, Indicator::Restarts | Indicator::OomKills | Indicator::Replicas)
    }

    /// The unit that its tolerances are written in, but for plain numbers.
    pub fn unit(self) -> Unit {
        match self.nature() {
            Nature::Duration => Unit::Time,
            Nature::Ratio if self != Indicator::BurnRate => Unit::Share,
            _ => Unit::Plain,
        }
    }
}

impl fmt::Display for Indicator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Indicator::*;
        f.write_str(match self {
            Rate => "rate",
            Errors => "errors",
            ErrorRatio => "error_ratio",
            Quantile(level) => return level.fmt(f),
            Calls => "calls",
            Gap(level) => return write!(f, "gap_{level}"),
            CallRatio => "call_ratio",
            MaskRatio => "mask_ratio",
            RetryRatio => "retry_ratio",
            TimeoutRatio => "timeout_ratio",
            TraceIdRatio => "trace_id_ratio",
            CallsiteShift => "callsite_shift",
            Cpu => "cpu",
            Memory => "memory",
            Throttling => "throttling",
            Restarts => "restarts",
            OomKills => "oom_kills",
            Replicas => "replicas",
            RootSuccess => "root_success",
            CompleteRatio => "complete_ratio",
            StructureDivergence => "structure_divergence",
            BurnRate => "burn_rate",
            BudgetBurned => "budget_burned",
        })
    }
}
