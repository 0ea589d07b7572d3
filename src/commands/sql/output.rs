//! Rows to standard output or to a file. One code for both targets, so that
//! their answers are alike.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, IsTerminal as _, Stdout, Write};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use query::Summary;
use query::render::{self, Encoder, Expanded, Options};
use storage::encode::RowsWriter;

use super::progress::Progress;
use crate::cli::Format;

/// How answers are wanted.
#[derive(Debug, Clone)]
pub struct Wish {
    pub format: Format,
    /// How a table shows its rows.
    pub expanded: Expanded,
    /// A file that is there, instead of standard output. Answers in text follow
    /// one another in it; of the other formats it holds the last.
    pub file: Option<PathBuf>,
}

impl Wish {
    pub fn new(format: Format) -> Wish {
        Wish { format, expanded: Expanded::Never, file: None }
    }

    fn options(&self) -> Options {
        // A terminal's width says nothing about a file.
        let expanded = match (self.expanded, &self.file) {
            (Expanded::Beyond(_), Some(_)) => Expanded::Never,
            (expanded, _) => expanded,
        };
        Options { expanded, ..Options::default() }
    }

    /// Where the next answer goes.
    fn open(&self) -> Result<Sink> {
        let Some(path) = &self.file else { return Ok(Sink::Stdout(io::stdout())) };
        let whole = matches!(self.format, Format::Arrow | Format::Parquet);
        let mut options = OpenOptions::new();
        let options = if whole { options.write(true).truncate(true) } else { options.append(true) };
        let file =
            options.open(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Sink::File(file))
    }
}

enum Sink {
    Stdout(Stdout),
    File(File),
}

impl Sink {
    fn is_terminal(&self) -> bool {
        match self {
            Sink::Stdout(out) => out.is_terminal(),
            Sink::File(_) => false,
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Sink::Stdout(out) => out.write(bytes),
            Sink::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Sink::Stdout(out) => out.flush(),
            Sink::File(file) => file.flush(),
        }
    }
}

/// Writes one answer.
pub struct Output {
    form: Form,
    /// The format itself has a place for what is missing.
    tells: bool,
    rows: u64,
    started: Instant,
    /// Taken away before rows appear where it is drawn.
    progress: Option<Progress>,
}

enum Form {
    Text { encoder: Encoder, out: BufWriter<Sink>, chunk: Vec<u8> },
    Parquet(RowsWriter<BufWriter<Sink>>),
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
    pub fn new(
        wish: &Wish,
        schema: SchemaRef,
        started: Instant,
        progress: &Progress,
    ) -> Result<Output> {
        let out = wish.open()?;
        let progress = out.is_terminal().then(|| progress.clone());
        let out = BufWriter::new(out);
        let text = match wish.format {
            Format::Parquet => {
                let form = Form::Parquet(RowsWriter::new(schema, out)?);
                return Ok(Output { form, tells: false, rows: 0, started, progress });
            }
            Format::Table => render::Format::Table,
            Format::Json => render::Format::Json,
            Format::Ndjson => render::Format::Ndjson,
            Format::Csv => render::Format::Csv,
            Format::Arrow => render::Format::Arrow,
        };
        let mut encoder = Encoder::new(text, schema, wish.options())?;
        let mut chunk = Vec::new();
        encoder.head(&mut chunk);
        let tells = matches!(wish.format, Format::Table | Format::Json);
        Ok(Output { form: Form::Text { encoder, out, chunk }, tells, rows: 0, started, progress })
    }

    pub fn rows(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        match &mut self.form {
            Form::Text { encoder, out, chunk } => {
                encoder.rows(batch, chunk)?;
                if let Some(progress) = self.progress.take_if(|_| !chunk.is_empty()) {
                    progress.over();
                }
                written(out.write_all(chunk))?;
                chunk.clear();
                // So that the first rows of a slow question are seen at once.
                written(out.flush())
            }
            Form::Parquet(writer) => writer.write(batch).map_err(parquet_failed),
        }
    }

    /// Ends the answer, and says how many rows it had. `summary` is what the
    /// engine knows; without it (rows that came over HTTP) what can be counted
    /// here.
    pub fn finish(self, summary: Option<Summary>, complete: bool) -> Result<u64> {
        let summary = summary.unwrap_or_else(|| self.counted(complete));
        if let Some(progress) = &self.progress {
            progress.over();
        }
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
        Ok(self.rows)
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

/// Copies an answer that is in its format already.
pub struct Copy {
    out: Sink,
    progress: Option<Progress>,
}

impl Copy {
    pub fn new(wish: &Wish, progress: &Progress) -> Result<Copy> {
        let out = wish.open()?;
        let progress = out.is_terminal().then(|| progress.clone());
        Ok(Copy { out, progress })
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(progress) = self.progress.take() {
            progress.over();
        }
        written(self.out.write_all(bytes).and_then(|()| self.out.flush()))
    }
}

/// Prints what is not an answer.
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

fn written(outcome: io::Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Unread.into()),
        other => other.context("cannot write the answer"),
    }
}

fn parquet_failed(error: storage::Error) -> anyhow::Error {
    let broken = std::error::Error::source(&error)
        .and_then(|source| source.downcast_ref::<io::Error>())
        .is_some_and(|source| source.kind() == ErrorKind::BrokenPipe);
    if broken { Unread.into() } else { error.into() }
}
