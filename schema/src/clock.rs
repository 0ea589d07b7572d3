//! Wall-clock time, given from outside.

/// Reads the wall clock. The daemon gives the system's; tests give one they turn.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Nanoseconds since 1970-01-01T00:00:00Z. It may jump either way; nothing
    /// that must be ordered or awaited is derived from it.
    fn now_unix_nano(&self) -> i64;
}
