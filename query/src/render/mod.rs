//! Rows as bytes, one code for every door and for the command line.
//!
//! | file | what |
//! | --- | --- |
//! | this | [`Format`], [`Encoder`], writing a whole answer |
//! | [`value`] | one cell as JSON or as text |
//! | [`json`] | the API's JSON document, and a JSON object per line |
//! | [`csv`] | RFC 4180 |
//! | [`table`] | columns for a terminal |
//!
//! An encoder turns batches into chunks as they come and keeps nothing but
//! what its format needs, so that an answer of any size streams. Parquet is
//! not here: only `storage` writes it.

mod csv;
mod json;
mod table;
pub(crate) mod value;

#[cfg(test)]
mod tests;

use std::io::{Read, Write};
use std::str::FromStr;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use futures::StreamExt;
use schema::ErrorKind;

use crate::{Answer, Error, Summary};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns for a terminal.
    Table,
    /// One document: columns, rows as arrays, statistics.
    Json,
    /// One JSON object per row and line.
    Ndjson,
    Csv,
    /// Arrow IPC stream.
    Arrow,
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Format, Error> {
        Ok(match name {
            "table" => Format::Table,
            "json" => Format::Json,
            "ndjson" => Format::Ndjson,
            "csv" => Format::Csv,
            "arrow" => Format::Arrow,
            other => {
                return Err(Error::invalid(format!("there is no output format {other:?}"))
                    .with_hint("use table, json, ndjson, csv or arrow"));
            }
        })
    }
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// 64-bit integers as JSON strings, for readers whose numbers are doubles.
    pub int64_as_text: bool,
    /// How a table shows its rows.
    pub expanded: Expanded,
}

/// When a row of a table takes a line per column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Expanded {
    #[default]
    Never,
    Always,
    /// When lines would be wider than this many cells of a terminal.
    Beyond(usize),
}

/// Turns batches of one schema into bytes of one format. Call
/// [`head`](Self::head), [`rows`](Self::rows) per batch, then
/// [`tail`](Self::tail), or [`broken`](Self::broken) when rows fail to come.
pub struct Encoder {
    schema: SchemaRef,
    options: Options,
    kind: Kind,
}

enum Kind {
    Table(table::Table),
    Json { first: bool },
    Ndjson,
    Csv,
    Arrow(Box<StreamWriter<Vec<u8>>>),
}

impl Encoder {
    pub fn new(format: Format, schema: SchemaRef, options: Options) -> Result<Encoder, Error> {
        let kind = match format {
            Format::Table => Kind::Table(table::Table::new(&schema, options.expanded)),
            Format::Json => Kind::Json { first: true },
            Format::Ndjson => Kind::Ndjson,
            Format::Csv => Kind::Csv,
            Format::Arrow => {
                Kind::Arrow(Box::new(StreamWriter::try_new(Vec::new(), &schema).map_err(failed)?))
            }
        };
        Ok(Encoder { schema, options, kind })
    }

    pub fn head(&mut self, out: &mut Vec<u8>) {
        match &mut self.kind {
            Kind::Json { .. } => json::head(&self.schema, out),
            Kind::Csv => csv::head(&self.schema, out),
            // The schema message is written already.
            Kind::Arrow(writer) => out.append(writer.get_mut()),
            Kind::Table(_) | Kind::Ndjson => {}
        }
    }

    pub fn rows(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), Error> {
        match &mut self.kind {
            Kind::Table(table) => table.rows(batch, out).map_err(failed),
            Kind::Json { first } => json::rows(batch, self.options, first, out).map_err(failed),
            Kind::Ndjson => json::lines(batch, self.options, out).map_err(failed),
            Kind::Csv => csv::rows(batch, out).map_err(failed),
            Kind::Arrow(writer) => {
                writer.write(batch).map_err(failed)?;
                out.append(writer.get_mut());
                Ok(())
            }
        }
    }

    pub fn tail(&mut self, summary: &Summary, out: &mut Vec<u8>) -> Result<(), Error> {
        match &mut self.kind {
            Kind::Table(table) => table.tail(summary, out),
            Kind::Json { .. } => json::tail(summary, out),
            Kind::Arrow(writer) => {
                writer.finish().map_err(failed)?;
                out.append(writer.get_mut());
            }
            Kind::Ndjson | Kind::Csv => {}
        }
        Ok(())
    }

    /// Says inside the document that the rows broke off; false when the format
    /// has no place for it and the transport has to.
    pub fn broken(&mut self, error: &Error, out: &mut Vec<u8>) -> bool {
        match &mut self.kind {
            Kind::Json { .. } => json::broken(error, out),
            Kind::Ndjson => json::broken_line(error, out),
            Kind::Table(_) | Kind::Csv | Kind::Arrow(_) => return false,
        }
        true
    }
}

/// The API's error document.
pub fn error_document(error: &Error) -> serde_json::Value {
    json::error_value(error)
}

fn failed(error: ArrowError) -> Error {
    Error::from(datafusion::common::DataFusionError::from(error))
}

fn unwritten(error: std::io::Error) -> Error {
    let kind = match error.kind() {
        // Whoever reads has had enough: `| head`.
        std::io::ErrorKind::BrokenPipe => ErrorKind::Cancelled,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("the rows cannot be written: {error}"))
}

/// Writes an answer as it comes.
pub async fn write(
    answer: Answer,
    format: Format,
    options: Options,
    out: &mut impl Write,
) -> Result<Summary, Error> {
    let Answer { schema, mut rows, stats, .. } = answer;
    let mut encoder = Encoder::new(format, schema, options)?;
    let mut chunk = Vec::new();
    encoder.head(&mut chunk);
    while let Some(batch) = rows.next().await {
        encoder.rows(&batch?, &mut chunk)?;
        out.write_all(&chunk).map_err(unwritten)?;
        chunk.clear();
    }
    let summary = stats.summary();
    encoder.tail(&summary, &mut chunk)?;
    out.write_all(&chunk).and_then(|()| out.flush()).map_err(unwritten)?;
    Ok(summary)
}

/// Turns an Arrow IPC stream, as the HTTP door sends it, into another format.
/// What the summary would say is not in the stream.
pub fn transcode(
    input: impl Read,
    format: Format,
    options: Options,
    summary: &Summary,
    out: &mut impl Write,
) -> Result<(), Error> {
    let reader = StreamReader::try_new(input, None).map_err(failed)?;
    let mut encoder = Encoder::new(format, reader.schema(), options)?;
    let mut chunk = Vec::new();
    encoder.head(&mut chunk);
    for batch in reader {
        encoder.rows(&batch.map_err(failed)?, &mut chunk)?;
        out.write_all(&chunk).map_err(unwritten)?;
        chunk.clear();
    }
    encoder.tail(summary, &mut chunk)?;
    out.write_all(&chunk).and_then(|()| out.flush()).map_err(unwritten)
}
