//! The engine over a source made by hand: real Parquet files on an in-memory
//! store, staged files, rows in memory.
//!
//! | file | what is held |
//! | --- | --- |
//! | [`source`] | the source, and rows out of JSON |
//! | [`ask`] | asking, and answers as text |
//! | [`union`] | S1, S2: each row once, one moment per statement |
//! | [`pruning`] | files left unopened by statistics, dates and limits |
//! | [`plans`] | what is skipped, seen in `EXPLAIN ANALYZE` |
//! | [`traces`] | the index of traces: prunes, and never loses a row |
//! | [`traces_joined`] | the same on a real store, joined over many logs |
//! | [`functions`] | `metric_rate`, `metric_quantile`, `red`, `service_graph`, `trace_tree`, `changes` |
//! | [`cookbook`] | what the README says, word for word |
//! | [`alike`] | promoted or not, pruned or not: the same answer |
//! | [`narrow`] | rows, columns and pages left out before they are read |
//! | [`attributes`] | plans behind `attributes['k']` |
//! | [`sandbox`] | S19 to S23: what is refused |
//! | [`attacks`] | a corpus of hostile statements, and that none does harm |
//! | [`bounds`] | deadline, rows, memory, permits, cancellation |
//! | [`damage`] | F25: bodies of the store that are not what was stored |
//! | [`system`] | system tables, `information_schema`, descriptions |
//! | [`http`] | the HTTP door over loopback |
//! | [`flight`] | the Flight SQL door over loopback |
//! | [`postgres`] | the Postgres door over loopback |
//! | [`slt`] | the `.slt` files |

#![allow(clippy::unwrap_used, reason = "a test stops where it goes wrong")]

/// The daemon's: what the process holds is measured here, too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod alike;
mod ask;
mod attacks;
mod attributes;
mod bounds;
mod cookbook;
mod damage;
#[path = "../../../storage/tests/it/faulty/mod.rs"]
#[allow(dead_code, reason = "the tests of storage use the rest of it")]
mod faulty;
mod flight;
mod functions;
mod http;
mod narrow;
mod plans;
mod postgres;
mod pruning;
mod sandbox;
mod slt;
mod source;
mod system;
mod traces;
mod traces_joined;
mod union;
