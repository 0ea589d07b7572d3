//! From the bytes of one OTLP request to the rows of one batch: the second step
//! of the route in, behind admission and before the append.
//!
//! A request is walked resource, scope, item, one item at a time: its bytes
//! become a borrowed [`model`] value, the value becomes one row in Arrow
//! builders, and the next item takes its place. So memory follows the rows and
//! never the number of empty messages a sender can put into a body (D11).
//! Protobuf and JSON meet in the model: the same request gives the same rows
//! (J15). What is wrong with an item rejects that item with a reason; what is
//! wrong with the body is an [`Error`] for the whole of it.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`model`] | what OTLP says, borrowed from the body: no protobuf, no JSON, no Arrow |
//! | [`wire`] | protobuf's wire format: tags, varints, groups |
//! | [`protobuf`] | OTLP's messages on that wire, into the model |
//! | [`attributes`] | sorted, deduplicated, limited, split into columns and map |
//! | [`text`] | a value as text, with a letter for its type |
//! | [`columns`] | Arrow builders, and the batch that fits its `TableDef` |
//! | [`origin`] | the columns that a resource and a scope give all their items |
//! | [`spans`], [`logs`], [`metrics`] | the rules of one signal (D1 to D5), row by row |
//! | [`series`] | the stable hash of a metric's series |
//! | [`outcome`] | what was accepted, rejected and remarked |
//! | [`error`] | why a body is not decodable |
//!
//! JSON's half is `crate::json`. Deliberately not here: compression and sizes
//! (the doors), permits (`admission`), what a code is called on the wire.

mod attributes;
mod columns;
mod error;
mod logs;
mod metrics;
pub(crate) mod model;
mod origin;
mod outcome;
mod protobuf;
mod series;
mod spans;
mod text;
mod wire;

use schema::{Signal, TableDef};

pub use error::Error;
pub(crate) use error::{Malformed, Segment};
pub(crate) use origin::Rows;
pub(crate) use outcome::Notes;
pub use outcome::{Decoded, Reason, Rejected, Warning, Warnings};

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Protobuf,
    Json,
}

/// What a request may make us build (D8, G28). A record past `max_depth` or
/// `max_record_bytes` is rejected; attributes past the other limits are cut,
/// counted in `dropped_attributes_count` and remarked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Arrays and maps inside each other in one value.
    pub max_depth: usize,
    /// Attributes in one set (of a resource, scope, record, event or link);
    /// promoted ones are always kept.
    pub max_attributes: usize,
    /// Bytes of one attribute's text.
    pub max_value_bytes: usize,
    /// Encoded bytes of one span, log record, data point, resource or scope.
    pub max_record_bytes: usize,
    /// Bytes of all rows of one request: attributes of a resource are repeated
    /// on every row, so a small body can ask for a large batch. Arrow's 32-bit
    /// offsets need it below 1 GiB.
    pub max_batch_bytes: usize,
    /// JSON: take `snake_case` names too, which OTLP says to ignore (J2).
    pub json_snake_case: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_depth: 24,
            max_attributes: 1024,
            max_value_bytes: 64 << 10,
            max_record_bytes: 1 << 20,
            max_batch_bytes: 512 << 20,
            json_snake_case: false,
        }
    }
}

/// All that a row needs besides the body.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub node_id: &'a str,
    /// When the request arrived.
    pub ingest_unix_nano: i64,
    /// The table of the signal; its columns are the batch's columns.
    pub table: &'a TableDef,
    pub limits: &'a Limits,
}

/// Decodes one request body. An empty protobuf body is an empty request; an
/// empty JSON body is an error (H5).
pub fn decode(
    signal: Signal,
    encoding: Encoding,
    body: &[u8],
    cx: &Context<'_>,
) -> Result<Decoded, Error> {
    match signal {
        Signal::Traces => spans::decode(encoding, body, cx),
        Signal::Logs => logs::decode(encoding, body, cx),
        Signal::Metrics => metrics::decode(encoding, body, cx),
    }
}
