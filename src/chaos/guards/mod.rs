//! Guards of live runs: the task that hears rows and asks the engine, what it
//! decided for whoever polls, leases, webhooks.
//!
//! ```text
//! tap ─► hub ─► board ─► GET /api/v1/guards/{run}, its long poll and events
//!         │ fires ─► Runs::mark(abort)
//!         └────────► webhooks ─► egress
//! ```
//!
//! | file | its part |
//! | --- | --- |
//! | [`hub`] | the one task: rows, time, changes of runs, answers of the engine |
//! | [`board`] | the last decision of each run, and what is said of a run without one |
//! | [`lease`] | dead-man leases of injectors |
//! | [`api`] | the routes of guards and leases |
//! | [`deed`] | what follows: stops, webhooks, records |
//! | [`webhook`] | who is told of what, signed, tried again, recorded |
//! | [`egress`] | HTTP to the outside, to allowed hosts alone |
//! | [`metrics`] | what guards tell of themselves |
//!
//! A decision to stop is seen by whoever polls before anything is written, and
//! holds from then on: the run is aborted, and an aborted run never reopens. One
//! node hears what is sent to it; `node` in an answer says which that is.

mod api;
mod board;
mod deed;
pub mod egress;
mod hub;
mod lease;
mod metrics;
pub mod webhook;

pub use api::router;
pub(super) use deed::written;
pub use hub::{Components, Hub};
