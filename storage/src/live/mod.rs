//! The live state of a tenant's table: hot rows, sealed ranges, staged ranges
//! and the committed files, under one lock, so that a snapshot is one moment.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`buffer`] | the hot rows since the last seal |
//! | [`table`] | [`Live`]: the route hot → sealed → staged → committed, and snapshots of it |
//! | [`set`] | [`LiveSet`]: every live table of the node |
//!
//! Invariants kept here: **S1** a row is visible in exactly one of committed,
//! staged, hot; **S2** a snapshot never changes; **C2** ranges leave in position
//! order. Deliberately not here: when to seal, and any file or store.

pub mod buffer;
pub mod set;
pub mod table;

pub use buffer::Counts;
pub use set::LiveSet;
pub use table::Live;

#[cfg(test)]
mod tests;
