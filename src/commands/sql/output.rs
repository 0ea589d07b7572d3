//! Rows to standard output. One code for both targets, so that their answers
//! are alike.

use std::collections::BTreeMap;
use std::io::{BufWriter, ErrorKind, Stdout, Write};
use std::time::Instant;

use anyhow::{Context as _, Result};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use query::Summary;
use query::render::{self, Encoder, Options};
use storage::encode::RowsWriter;

use crate::cli::Format;

/// Writes one answer.
pub struct Output {
    form: Form,
    /// The format itself has a place for what is missing.
    tells: bool,
    rows: u64,
    started: Instant,
}

enum Form {
    Text { encoder: Encoder, out: BufWriter<Stdout>, chunk: Vec<u8> },
    Parquet(RowsWriter<BufWriter<Stdout>>),
}

/// The reader of our output has gone.
#[derive(Debug)]
pub struct Unread;

impl std::fmt::Display for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("nobody reads the output any more")
    }
}

impl std::error::Error for Unread {}

impl Output {
    pub fn new(format: Format, schema: SchemaRef, started: Instant) -> Result<Output> {
        let out = BufWriter::new(std::io::stdout());
        let text = match format {
            Format::Parquet => {
                let form = Form::Parquet(RowsWriter::new(schema, out)?);
                return Ok(Output { form, tells: false, rows: 0, started });
            }
            Format::Table => render::Format::Table,
            Format::Json => render::Format::Json,
            Format::Ndjson => render::Format::Ndjson,
            Format::Csv => render::Format::Csv,
            Format::Arrow => render::Format::Arrow,
        };
        let mut encoder = Encoder::new(text, schema, Options::default())?;
        let mut chunk = Vec::new();
        encoder.head(&mut chunk);
        let tells = matches!(format, Format::Table | Format::Json);
        Ok(Output { form: Form::Text { encoder, out, chunk }, tells, rows: 0, started })
    }

    pub fn rows(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        match &mut self.form {
            Form::Text { encoder, out, chunk } => {
                encoder.rows(batch, chunk)?;
                written(out.write_all(chunk))?;
                chunk.clear();
                // So that the first rows of a slow question are seen at once.
                written(out.flush())
            }
            Form::Parquet(writer) => writer.write(batch).map_err(parquet_failed),
        }
    }

    /// Ends the answer. `summary` is what the engine knows; without it (rows
    /// that came over HTTP) what can be counted here.
    pub fn finish(self, summary: Option<Summary>, complete: bool) -> Result<()> {
        let summary = summary.unwrap_or_else(|| self.counted(complete));
        if !self.tells {
            warn(&summary);
        }
        match self.form {
            Form::Text { mut encoder, mut out, mut chunk } => {
                encoder.tail(&summary, &mut chunk)?;
                written(out.write_all(&chunk))?;
                written(out.flush())?;
            }
            Form::Parquet(writer) => writer.finish().map_err(parquet_failed)?,
        }
        Ok(())
    }

    fn counted(&self, complete: bool) -> Summary {
        let mut incomplete = BTreeMap::new();
        if !complete {
            let why = "some rows could not be seen; --format json says which and why";
            incomplete.insert("answer".to_owned(), why.to_owned());
        }
        Summary {
            versions: BTreeMap::new(),
            files_read: 0,
            files_pruned: 0,
            bytes_read: 0,
            rows: self.rows,
            elapsed_ms: self.started.elapsed().as_micros() as f64 / 1000.0,
            peak_memory_bytes: 0,
            truncated: false,
            incomplete,
        }
    }
}

/// Says on standard error what an answer lacks.
fn warn(summary: &Summary) {
    if summary.truncated {
        eprintln!("warning: the answer was cut at {} rows", summary.rows);
    }
    for (table, why) in &summary.incomplete {
        eprintln!("warning: incomplete: {table}: {why}");
    }
}

/// Copies bytes that are in their format already.
pub fn copy(bytes: &[u8]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    written(out.write_all(bytes).and_then(|()| out.flush()))
}

fn written(outcome: std::io::Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Unread.into()),
        other => other.context("cannot write to standard output"),
    }
}

fn parquet_failed(error: storage::Error) -> anyhow::Error {
    let broken = std::error::Error::source(&error)
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|source| source.kind() == ErrorKind::BrokenPipe);
    if broken { Unread.into() } else { error.into() }
}
