//! Rows into Parquet: ordered, one file per day, with the statistics that let
//! a query leave it alone.
//!
//! Second-last station of the route in, between seal and stage. Pure CPU: it
//! names no file and touches no store.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`order`] | [`days`]: which row goes to which day, and in which order |
//! | [`codes`] | texts as codes, hashed once where they came from |
//! | [`interleave`] | rows of several arrays, in an order |
//! | [`picked`] | [`Picked`](picked::Picked): which rows these are, one by one or by stretches |
//! | [`gather`] | rows of several batches in a file's order, with their texts by codes |
//! | [`absent`] | [`Absent`](absent::Absent): promoted keys that no map of a file has |
//! | [`parquet`] | [`write`]: the rows of a day as one Parquet file; [`FileWriter`]: rows as they come |
//! | [`chunk`] | column chunks of texts and of numbers, written by codes |
//! | [`plain`] | which columns are not worth compressing |
//! | [`rows`] | [`RowsWriter`]: a query's answer as Parquet |
//! | [`stats`] | [`from_footer`](stats::from_footer): bounds and null counts per column, sound under cuts and NaN |
//!
//! Rows are gathered chunk by chunk straight from the sealed batches, so that
//! encoding adds one chunk and one row group to memory and no copy of the seal
//! (B1).
//!
//! Deliberately not here: merging files into larger ones (compaction), and the
//! form in which Delta writes statistics (`table`).

pub mod absent;
mod chunk;
pub mod codes;
mod gather;
pub mod interleave;
pub mod order;
pub mod parquet;
pub mod picked;
pub mod plain;
pub mod rows;
pub mod stats;

pub use order::{Day, Keys, days};
pub use parquet::{Encoded, FileWriter, Form, write};
pub use rows::RowsWriter;
