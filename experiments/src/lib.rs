//! Experiments: what was injected, did it bite, what did it touch, and did the
//! steady state hold. It asks the engine by SQL through one seam and scans
//! nothing itself; it has no clock and no chance of its own, so that a verdict
//! is a pure function of an experiment and the rows of its windows (J1), and
//! missing evidence is never a pass (J2).
//!
//! | folder | its part on the way from a document to a verdict |
//! | --- | --- |
//! | [`document`] | YAML in, a complete experiment or all its problems out; lint |
//! | [`statistics`] | intervals and tests over buckets, pure and seeded |
//! | [`run`] | a run's life: declared, marked, ended, or aborted for good |
//! | [`signal`] | what injectors tell of runs, in telemetry |
//! | [`window`] | a run and its phases, cut into buckets |
//! | [`indicator`] | what is measured: statements, and their answers as series |
//! | [`verdict`] | experiment and rows in, five verdicts out |
//! | [`tap`] | what is learnt of rows on their way in |
//! | [`guard`] | what stops a run while it goes on |
//! | [`radius`] | what a fault touched, and whom to blame |
//! | [`completeness`] | whether telemetry is whole enough to judge by |
//! | [`judge`] | asks for the rows, has them judged, verifies a report |
//! | [`alert`] | alerts of others: webhooks and log events as transitions |
//! | [`report`] | JSON and its schema, Markdown, JUnit, HTML |
//!
//! Deliberately not here: reading files, the environment and HTTP (the root).

pub mod alert;
pub mod completeness;
pub mod document;
pub mod error;
pub mod guard;
pub mod indicator;
pub mod judge;
pub mod radius;
pub mod report;
pub mod run;
pub mod signal;
pub mod statistics;
pub mod tap;
pub mod verdict;
pub mod window;

pub use document::{Experiment, Invalid};
pub use error::Error;
pub use indicator::{Ask, Table};
pub use judge::{Verified, judge, verify};
pub use report::Report;
pub use run::{Mark, Run, RunId};
pub use verdict::Verdict;
pub use window::Window;
