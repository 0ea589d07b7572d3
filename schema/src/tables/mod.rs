//! One file per table: its columns with their meaning, its order, its blooms.
//! A column is added, never changed or removed; `tests` holds every schema.
//!
//! | file | table |
//! | --- | --- |
//! | [`common`] | the types and the columns that all signals share, the fixed promotions |
//! | [`spans`] | `spans` |
//! | [`trace_parts`] | `trace_parts`, derived from `spans`: where a trace is |
//! | [`logs`] | `logs` |
//! | [`metrics`] | `metrics`, all five kinds in one |
//! | [`usage_parts`] | `usage_parts`, what each service has cost; written by the daemon itself |
//! | [`experiments`] | the tables of experiments, by revisions; written by the daemon itself |

pub mod common;
pub mod experiments;
pub mod logs;
pub mod metrics;
pub mod spans;
pub mod trace_parts;
pub mod usage_parts;

#[cfg(test)]
mod tests;
