//! The vocabulary every other crate speaks: what a signal, a table, a batch and
//! a sink are. No I/O, no clock, no protocol; it knows nobody.
//!
//! | file | what it names |
//! | --- | --- |
//! | [`signal`] | [`Signal`], [`Door`] (where rows came in), [`Tenant`] |
//! | [`position`] | [`Position`], [`Version`], [`WalId`] |
//! | [`budget`] | [`Budget`] and [`Reservation`]: the bytes that may be in memory (B1) |
//! | [`rows`] | [`Rows`]: what a resource and a scope say stands once |
//! | [`batch`] | [`Batch`], the [`Sink`] that takes it, the [`Ack`] it gives (D1, D2) |
//! | [`error`] | [`ErrorKind`]: what the caller should do; [`Refusal`] |
//! | [`clock`] | [`Clock`], because time is given and never taken |
//! | [`table`] | [`TableDef`], [`Promotion`], [`Catalog`] |
//! | [`tables`] | one file per table: its columns, order and meaning |
//! | [`usage`] | [`Meter`]: what each service costs |
//!
//! Deliberately not here: how rows are decoded (`collector`), kept (`storage`)
//! or asked for (`query`).

pub mod batch;
pub mod budget;
pub mod clock;
pub mod error;
pub mod position;
pub mod rows;
pub mod signal;
pub mod table;
pub mod tables;
pub mod usage;

pub use batch::{Ack, Batch, Sink};
pub use budget::{Budget, Reservation};
pub use clock::Clock;
pub use error::{ErrorKind, Refusal};
pub use position::{Position, Version, WalId};
pub use rows::Rows;
pub use signal::{Door, Signal, Tenant};
pub use table::{Catalog, ColumnType, Derived, Latest, Promotion, Scope, TableDef};
pub use usage::Meter;
