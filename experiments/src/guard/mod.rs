//! Guards: what stops a run while it goes on. Rows are heard on their way in
//! (`tap`) as marks of one second; what no row alone can tell is asked by SQL
//! every few seconds. Nothing here waits, asks, or knows what time it is.
//!
//! ```text
//! batch ─► reduce ─► ring ─┐
//!              └──► flow ──┤
//! engine ─► asked ─────────┴─► watched ─► state ─► watcher ─► decision
//! ```
//!
//! | file | its part |
//! | --- | --- |
//! | [`subject`] | what a guard counts, as far as a row alone says it |
//! | [`reduce`] | a batch as marks, and what flowed at all |
//! | [`tally`] | counts that add up, with a sketch of durations |
//! | [`ring`] | a subject's recent seconds, and all since the injection |
//! | [`flow`] | whether telemetry can be seen, and whether others send |
//! | [`asked`] | statements for what was not heard, and their answers |
//! | [`watched`] | one guard: where it looks and what it sees |
//! | [`state`] | how long a condition holds, how long a guard is blind |
//! | [`watcher`] | a run's guards together, and what they want to know |
//! | [`timeline`] | the time that all of this goes by |
//! | [`decision`] | go, stop, or cannot tell |
//! | [`lint`] | guards that cannot work |
//!
//! A guard counts a row in the second that the node received it, so that slow
//! requests and late batches count when they become known, and no clock but the
//! node's is trusted, which may be set all the same; what ended over a minute (or `window.late`, if longer) before
//! says nothing of now. What cannot be seen is `cannot_tell`, and after `grace` a stop (J2).
//!
//! Deliberately not here: tasks, time, HTTP and webhooks (the root), and what an
//! abort makes of a run (`run`).

pub mod asked;
pub mod decision;
pub mod flow;
pub mod lint;
pub mod reduce;
pub mod ring;
pub mod state;
pub mod subject;
pub mod tally;
#[cfg(test)]
pub(crate) mod tests;
pub mod timeline;
pub mod watched;
pub mod watcher;

pub use decision::{Decision, Verdict};
pub use flow::Flow;
pub use reduce::{Heard, Plan};
pub use subject::Subject;
pub use timeline::Timeline;
pub use watcher::{Answer, Fired, Question, Want, Watcher};
