//! SQL in, rows out.
//!
//! Last on the route out (ARCHITECTURE.md): a door makes a [`Query`] and
//! forgets its protocol; the [`Engine`] runs it over what a
//! [`storage::Source`] shows. This is the only crate that knows `datafusion`,
//! and it knows no table format and no store: a snapshot names the files.
//!
//! | module | what |
//! | --- | --- |
//! | [`engine`] | permits, memory, deadline, cancellation; text to stream |
//! | [`sandbox`] | what a statement may be and reach (S19 to S23) |
//! | [`catalog`] | the tables a statement sees, pinned once each (S2, S11) |
//! | [`scan`] | committed ∪ staged ∪ hot, each row once (S1) |
//! | [`prune`] | files that cannot match, left unopened |
//! | [`codes`] | grouping by text as by numbers |
//! | [`runs`] | grouping by runs of rows |
//! | [`attributes`] | `attributes['k']`, whether `k` has a column or not |
//! | [`functions`] | functions of our own |
//! | [`series`] | rates and quantiles out of a metric's points |
//! | [`render`] | rows as text, JSON, CSV, Arrow |
//! | [`doors`] | HTTP, Arrow Flight SQL, the PostgreSQL protocol |
//!
//! Deliberately not here: Parquet writing and table logs (`storage`), who may
//! ask for which tenant (the doors are told), and listening sockets (the daemon).

#![cfg_attr(
    not(all(feature = "flight", feature = "postgres")),
    allow(dead_code, unused_imports, reason = "some calls on the engine are those doors' alone")
)]

mod attributes;
mod catalog;
mod codes;
pub mod doors;
mod engine;
mod error;
mod functions;
mod metrics;
mod prune;
mod redact;
pub mod render;
mod runs;
mod sandbox;
mod scan;
mod series;
mod settings;

pub use catalog::describe::{ColumnInfo, TableInfo};
pub use engine::{
    Answer, Description, Engine, Gauge, Params, Query, Rows, Sight, Stats, Summary, resident_bytes,
};
pub use error::{Error, Place};
pub use settings::Settings;
