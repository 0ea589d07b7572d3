//! The measured blast radius: which services a fault touched, which of them it
//! came from, and how that compares with what was declared.
//!
//! | file | its part |
//! | --- | --- |
//! | [`statement`] | one statement per signal, for all services at once |
//! | [`history`] | fault-free time, in pieces |
//! | [`collect`] | the rows of the phase and of what it is compared with |
//! | [`seen`] | what a stretch showed of every service |
//! | [`signal`], [`site`], [`request`] | signs: significant *and* large moves of a signal |
//! | [`onset`] | when something began |
//! | [`calibrate`] | A/A: which signs are stronger than they are without a fault |
//! | [`blame`] | from signs to services, ranked; inside or off target |
//! | [`extent`] | endpoints, shares of traces and users, errors that nobody saw |
//!
//! What a phase is compared with are pieces of fault-free time, from a day on each
//! side and away from other windows: a few, so that a day costs little; what takes
//! longer must do so beside its baseline too. Deliberately not here: declared
//! hypotheses (`verdict`); finding what nobody declared has floors and thresholds
//! of its own.

pub mod blame;
pub mod calibrate;
pub mod collect;
pub mod depth;
pub mod extent;
pub mod history;
pub mod onset;
pub mod request;
pub mod seen;
pub mod signal;
pub mod site;
pub mod statement;
#[cfg(test)]
mod tests;

pub use blame::{Place, Radius, Suspect, Why};
pub use collect::discover;
pub use extent::{Extent, measure};
pub use signal::{About, Sign, Signal};
