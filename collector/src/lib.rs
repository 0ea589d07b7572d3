//! OTLP in, Arrow out: the doors that senders know, and what happens between
//! them and the [`Sink`](schema::Sink).
//!
//! A request is admitted by its bytes (B1, B2), read within its limits,
//! decompressed and decoded off the I/O threads, appended whole or not at all,
//! and answered in the words of its protocol. All of that but the words is in
//! [`export`] and knows no protocol; a door only frames and names.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`collector`] | [`Collector`]: wiring, readiness, the two `serve` calls |
//! | [`settings`] | [`Settings`]: every number, with its origin |
//! | [`error`] | [`Error`]: why a collector cannot start or go on |
//! | [`export`] | the route of one request: admit, decode, append |
//! | [`admission`] | bytes are paid for before they are kept |
//! | [`intake`] | a body read within its limit, its payment and its time |
//! | [`compression`] | gzip, zstd and deflate, bounded |
//! | [`quarantine`] | payloads that made the decoder panic |
//! | [`gate`] | starting, serving, draining |
//! | [`connection`] | accepting, recognising, guarding and ending connections |
//! | [`grpc`], [`http`] | the doors |
//! | [`partial`], [`media`] | what both doors word alike |
//! | [`decode`], [`json`] | OTLP to rows |
//! | [`rewrite`] | recorded requests, counted and moved in time for `replay` |
//! | [`metrics`] | what this crate tells about itself |
//!
//! Deliberately not here: disks, tables, SQL. Authentication and tenants will
//! enter between admission and decode; until then everything is the default
//! tenant's.

pub mod decode;
pub mod error;
pub mod json;
pub mod rewrite;
pub mod settings;

pub(crate) mod admission;
mod collector;
pub(crate) mod compression;
pub(crate) mod connection;
pub(crate) mod export;
pub(crate) mod gate;
pub(crate) mod grpc;
pub(crate) mod http;
pub(crate) mod intake;
pub(crate) mod media;
pub(crate) mod metrics;
pub(crate) mod partial;
pub(crate) mod quarantine;

pub use collector::Collector;
pub use error::Error;
pub use export::Components;
pub use settings::{Cors, Settings};
