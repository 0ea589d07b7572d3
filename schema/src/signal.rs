//! Signals, the doors they come in by, and the tenant they belong to.

use std::fmt;
use std::sync::Arc;

/// One of OTLP's three signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    Traces,
    Metrics,
    Logs,
}

impl Signal {
    pub const ALL: [Signal; 3] = [Signal::Traces, Signal::Metrics, Signal::Logs];

    /// The name used in paths, labels and `system.ledger`.
    pub fn as_str(self) -> &'static str {
        match self {
            Signal::Traces => "traces",
            Signal::Metrics => "metrics",
            Signal::Logs => "logs",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where rows entered this process; the ledger (L1) is kept per door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Door {
    OtlpGrpc = 1,
    OtlpHttp = 2,
    /// Rows the daemon writes about itself.
    Internal = 3,
}

impl Door {
    pub const ALL: [Door; 3] = [Door::OtlpGrpc, Door::OtlpHttp, Door::Internal];

    pub fn as_str(self) -> &'static str {
        match self {
            Door::OtlpGrpc => "otlp_grpc",
            Door::OtlpHttp => "otlp_http",
            Door::Internal => "internal",
        }
    }

    /// The door behind a code read from disk, if this build knows it.
    pub fn from_code(code: u8) -> Option<Door> {
        Door::ALL.into_iter().find(|door| *door as u8 == code)
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whose rows these are. It becomes a path segment, so only safe names exist.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// Checks a name: 1 to 150 characters of `A-Z a-z 0-9 ! - _ . * ' ( )`, not
    /// `.` or `..` and not starting with `_` (reserved for our own folders).
    pub fn new(name: &str) -> Result<Tenant, InvalidTenant> {
        let legal = |c: char| c.is_ascii_alphanumeric() || "!-_.*'()".contains(c);
        let ok = !name.is_empty()
            && name.len() <= 150
            && name.chars().all(legal)
            && name != "."
            && name != ".."
            && !name.starts_with('_');
        if ok { Ok(Tenant(name.into())) } else { Err(InvalidTenant) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Tenant("default".into())
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a tenant name: use 1 to 150 of A-Z a-z 0-9 ! - _ . * ' ( ), not . or .., not starting with _"
)]
pub struct InvalidTenant;

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: names that would escape their folder are offered as tenants.
    /// Guarantees: none of them becomes a `Tenant`.
    #[test]
    fn a_tenant_is_a_safe_path_segment() {
        for bad in ["", ".", "..", "a/b", "../x", "a\0", "_delta_log", "ü", "a b"] {
            assert_eq!(Tenant::new(bad), Err(InvalidTenant), "{bad:?}");
        }
        assert_eq!(Tenant::new("team-1").unwrap().as_str(), "team-1");
    }
}
