//! Statements run for their effect on the session, and the simple protocol,
//! which takes several in one string.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::copy::{CopyDone, CopyOutResponse};
use pgwire::messages::response::EmptyQueryResponse;

use super::command::Command;
use super::copy::Copy;
use super::cursor::Cursor;
use super::extended::{Portal, Prepared};
use super::frontend::Formats;
use super::rows::Columns;
use super::session::{Session, Status};
use super::settings::Settings;
use super::status::{Failure, Refusal, warning};
use crate::{Params, sandbox};

impl Session {
    /// A string of statements: each is answered, up to the first that fails.
    pub async fn simple(&mut self, sql: &str) -> Result<(), Failure> {
        let statements =
            sandbox::split(sql).map_err(|error| Refusal::from(error).in_text(sql, sql))?;
        if statements.is_empty() {
            let empty = PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new());
            self.writer.push(empty)?;
        }
        for statement in statements {
            match self.one(statement).await {
                Err(Failure::Refused(refusal)) => {
                    return Err(refusal.in_text(sql, statement).into());
                }
                done => done?,
            }
        }
        Ok(self.ready().await?)
    }

    async fn one(&mut self, statement: &str) -> Result<(), Failure> {
        let prepared = Prepared::of(&self.engine, statement, Vec::new()).await?;
        self.may_run(&prepared.command)?;
        let rows = match &prepared.command {
            Command::Query(_) => {
                let mut cursor = self.start(&prepared, Params::default()).await?;
                let columns =
                    Columns::new(&cursor.schema, &Formats::default(), self.settings.zone());
                self.writer.push(columns.description())?;
                let rows = cursor.send(&columns, usize::MAX, &mut self.writer).await?;
                self.warn(&cursor)?;
                rows
            }
            _ => {
                if let Some(columns) = self.columns_of(&prepared.command, &Formats::default())? {
                    self.writer.push(columns.description())?;
                }
                self.run(&prepared, Params::default(), &Formats::default()).await?
            }
        };
        let tag = self.tag(&prepared.command, rows);
        Ok(self.complete(tag)?)
    }

    /// In a failed transaction nothing runs but what ends or mends it.
    pub fn may_run(&self, command: &Command) -> Result<(), Refusal> {
        if self.transaction.status != Status::Failed || command.mends() {
            return Ok(());
        }
        let message =
            "current transaction is aborted, commands ignored until end of transaction block";
        Err(Refusal::new("25P02", message))
    }

    pub fn warn(&mut self, cursor: &Cursor) -> Result<(), Refusal> {
        for message in cursor.warnings() {
            self.writer.push(message)?;
        }
        Ok(())
    }

    /// The columns of the commands that answer with rows.
    pub fn columns_of(
        &self,
        command: &Command,
        formats: &Formats,
    ) -> Result<Option<Columns>, Refusal> {
        Ok(match command {
            Command::Fetch { name, moves: false, .. } => match self.portals.get(name) {
                Some(Portal::Open { cursor, formats: own, .. }) => {
                    // A binary cursor is binary however it is fetched.
                    let formats = if own.is_binary(0) { own } else { formats };
                    Some(Columns::new(&cursor.schema, formats, self.settings.zone()))
                }
                _ => return Err(no_cursor(name)),
            },
            Command::Show(name) => {
                Some(Columns::new(&shown(name.as_deref()), formats, self.settings.zone()))
            }
            _ => None,
        })
    }

    /// Runs a command of the session; says how many rows it gave or went past.
    pub async fn run(
        &mut self,
        prepared: &Prepared,
        params: Params,
        formats: &Formats,
    ) -> Result<usize, Failure> {
        let told = |settings: &Settings| -> Vec<(&'static str, String)> {
            settings.reported().into_iter().map(|(name, value)| (name, value.to_owned())).collect()
        };
        let before = told(&self.settings);
        let mut rows = 0;
        match &prepared.command {
            Command::Query(_) => return Err(Refusal::new("XX000", "a query is no command").into()),
            Command::Begin => match self.transaction.status {
                Status::Idle => {
                    self.transaction.status = Status::Open;
                    self.transaction.before = Some(self.settings.clone());
                }
                _ => {
                    let message = "there is already a transaction in progress".into();
                    self.writer.push(warning("25001", message))?;
                }
            },
            Command::Commit | Command::Rollback if self.transaction.status == Status::Idle => {
                self.transaction.rolled_back = false;
                self.writer.push(warning("25P01", "there is no transaction in progress".into()))?;
            }
            Command::Commit => self.end(self.transaction.status == Status::Open),
            Command::Rollback => self.end(false),
            Command::Savepoint(name) => {
                self.in_transaction("SAVEPOINT")?;
                self.transaction.savepoints.push(name.clone());
            }
            Command::Release(name) => {
                self.in_transaction("RELEASE SAVEPOINT")?;
                let at = self.savepoint(name)?;
                self.transaction.savepoints.truncate(at);
            }
            Command::RollbackTo(name) => {
                self.in_transaction("ROLLBACK TO SAVEPOINT")?;
                let at = self.savepoint(name)?;
                self.transaction.savepoints.truncate(at + 1);
                self.transaction.status = Status::Open;
            }
            Command::Set { name, value, local } => {
                self.settings.set(&self.engine, name, value.clone(), *local)?;
                // Without a transaction it lasts for nothing.
                if *local && self.transaction.status == Status::Idle {
                    self.settings.end_of_transaction();
                }
            }
            Command::SetTransaction | Command::Unlisten => {}
            Command::Reset(Some(name)) => self.settings.set(&self.engine, name, None, false)?,
            Command::Reset(None) => self.settings.reset_all(),
            Command::Show(name) => rows = self.show(name.as_deref(), formats)?,
            Command::Discard(what) => match what.as_str() {
                "all" => {
                    self.settings.reset_all();
                    self.prepared.clear();
                    self.portals.clear();
                }
                "plans" | "sequences" | "temp" | "temporary" => {}
                _ => {
                    return Err(Refusal::new(
                        "42601",
                        "syntax: DISCARD ALL, PLANS, SEQUENCES or TEMP",
                    )
                    .into());
                }
            },
            Command::Deallocate(None) => self.prepared = HashMap::new(),
            Command::Deallocate(Some(name)) => {
                if self.prepared.remove(name).is_none() {
                    return Err(no_statement(name).into());
                }
            }
            Command::Declare { name, hold, binary, .. } => {
                if !hold {
                    self.in_transaction("DECLARE CURSOR")?;
                }
                if self.portals.contains_key(name) {
                    let message = format!("cursor \"{name}\" already exists");
                    return Err(Refusal::new("42P03", message).into());
                }
                let cursor = Box::new(self.start(prepared, params).await?);
                let formats = if *binary { Formats::binary() } else { Formats::default() };
                self.keep(name.clone(), Portal::Open { cursor, formats, hold: *hold })?;
            }
            Command::Fetch { name, rows: most, moves } => {
                rows = self.fetch(name, *most, *moves, formats).await?;
            }
            Command::Close(None) => self.portals.clear(),
            Command::Close(Some(name)) => {
                if self.portals.remove(name).is_none() {
                    return Err(no_cursor(name).into());
                }
            }
            Command::Copy(copy) => rows = self.copy(copy, prepared, params).await?,
        }
        self.report(&before)?;
        Ok(rows)
    }

    /// What its `CommandComplete` says.
    pub fn tag(&self, command: &Command, rows: usize) -> String {
        match command {
            Command::Commit if self.transaction.rolled_back => "ROLLBACK".into(),
            command => command.tag(rows),
        }
    }

    fn end(&mut self, commit: bool) {
        self.transaction.rolled_back = !commit;
        match self.transaction.before.take() {
            Some(before) if !commit => self.settings = before,
            _ => self.settings.end_of_transaction(),
        }
        self.transaction.savepoints.clear();
        self.transaction.status = Status::Idle;
        self.portals.retain(|_, portal| portal.outlives());
    }

    fn in_transaction(&self, what: &str) -> Result<(), Refusal> {
        match self.transaction.status {
            Status::Idle => {
                Err(Refusal::new("25P01", format!("{what} can only be used in transaction blocks"))
                    .with_hint("BEGIN one"))
            }
            _ => Ok(()),
        }
    }

    fn savepoint(&self, name: &str) -> Result<usize, Refusal> {
        let found = self.transaction.savepoints.iter().rposition(|known| known == name);
        found.ok_or_else(|| Refusal::new("3B001", format!("savepoint \"{name}\" does not exist")))
    }

    fn show(&mut self, name: Option<&str>, formats: &Formats) -> Result<usize, Refusal> {
        let schema = Arc::new(shown(name));
        let lines: Vec<(String, String)> = match name {
            Some(name) => vec![(name.to_owned(), self.settings.get(name)?.to_owned())],
            None => {
                let all = self.settings.all().into_iter();
                all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
            }
        };
        let column = |of: fn(&(String, String)) -> &str| -> arrow::array::ArrayRef {
            Arc::new(lines.iter().map(|line| Some(of(line))).collect::<StringArray>())
        };
        let values = column(|(_, value)| value);
        let arrays = match name {
            Some(_) => vec![values],
            None => vec![column(|(name, _)| name), values, column(|_| "")],
        };
        let batch = RecordBatch::try_new(schema.clone(), arrays)
            .map_err(|error| Refusal::new("XX000", error.to_string()))?;
        let columns = Columns::new(&schema, formats, self.settings.zone());
        for row in 0..batch.num_rows() {
            columns.data_row(&batch, row, self.writer.output())?;
        }
        Ok(batch.num_rows())
    }

    async fn fetch(
        &mut self,
        name: &str,
        most: usize,
        moves: bool,
        formats: &Formats,
    ) -> Result<usize, Failure> {
        let Some(Portal::Open { mut cursor, formats: own, hold }) = self.portals.remove(name)
        else {
            return Err(no_cursor(name).into());
        };
        // If this is cut short, by an error or a cancel, the cursor is gone.
        let rows = if moves {
            cursor.skip(most).await?
        } else {
            let columns = Columns::new(
                &cursor.schema,
                if own.is_binary(0) { &own } else { formats },
                self.settings.zone(),
            );
            let rows = cursor.send(&columns, most, &mut self.writer).await?;
            if rows < most {
                self.warn(&cursor)?;
            }
            rows
        };
        self.keep(name.to_owned(), Portal::Open { cursor, formats: own, hold })?;
        Ok(rows)
    }

    async fn copy(
        &mut self,
        copy: &Copy,
        prepared: &Prepared,
        params: Params,
    ) -> Result<usize, Failure> {
        let mut cursor = self.start(prepared, params).await?;
        let binary = copy.form.is_binary();
        let formats = if binary { Formats::binary() } else { Formats::default() };
        let columns = Columns::new(&cursor.schema, &formats, self.settings.zone());
        let each = vec![i16::from(binary); columns.len()];
        let response = CopyOutResponse::new(i8::from(binary), columns.len() as i16, each);
        self.writer.push(PgWireBackendMessage::CopyOutResponse(response))?;
        copy.form.head(&columns, self.writer.output());
        let mut rows = 0;
        while let Some(batch) = cursor.take(usize::MAX).await? {
            for row in 0..batch.num_rows() {
                let first = rows + row == 0;
                copy.form.row(&columns, &batch, row, first, self.writer.output())?;
                self.writer.relieve().await?;
            }
            rows += batch.num_rows();
        }
        copy.form.tail(rows == 0, self.writer.output());
        self.writer.push(PgWireBackendMessage::CopyDone(CopyDone::new()))?;
        self.warn(&cursor)?;
        Ok(rows)
    }
}

fn shown(name: Option<&str>) -> Schema {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    Schema::new(match name {
        Some("timezone") => vec![text("TimeZone")],
        Some("datestyle") => vec![text("DateStyle")],
        Some("intervalstyle") => vec![text("IntervalStyle")],
        Some(name) => vec![text(name)],
        None => vec![text("name"), text("setting"), text("description")],
    })
}

pub(super) fn no_cursor(name: &str) -> Refusal {
    Refusal::new("34000", format!("cursor \"{name}\" does not exist"))
}

pub(super) fn no_statement(name: &str) -> Refusal {
    Refusal::new("26000", format!("prepared statement \"{name}\" does not exist"))
}
