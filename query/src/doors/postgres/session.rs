//! One connection's session: its settings, its transaction, and what it has
//! prepared and opened.

use std::collections::HashMap;
use std::sync::Arc;

use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::response::{CommandComplete, ReadyForQuery, TransactionStatus};
use pgwire::messages::startup::ParameterStatus;

use super::cancel::Key;
use super::cursor::Cursor;
use super::extended::{Portal, Prepared};
use super::frontend::{Message, Target};
use super::settings::Settings;
use super::status::{Failure, Refusal};
use super::wire::{Broken, Writer};
use crate::doors::Caller;
use crate::{Engine, Params, Query};

/// Bytes of text that a connection may keep prepared.
const MAX_PREPARED: usize = 1 << 20;
/// Portals and cursors that it may keep open.
const MAX_PORTALS: usize = 64;

pub(super) struct Session {
    pub engine: Arc<Engine>,
    pub caller: Caller,
    pub writer: Writer,
    pub settings: Settings,
    pub transaction: Transaction,
    pub prepared: HashMap<String, Arc<Prepared>>,
    /// Portals and cursors: one space of names, as in PostgreSQL.
    pub portals: HashMap<String, Portal>,
    /// An error was told: what comes before the next Sync is not looked at.
    skipping: bool,
    key: Key,
}

/// Nothing is written, so a transaction is no more than what clients are told
/// of it, and how long settings and cursors last.
#[derive(Default)]
pub(super) struct Transaction {
    pub status: Status,
    pub savepoints: Vec<String>,
    /// The settings when it began.
    pub before: Option<Settings>,
    /// How the last one ended.
    pub rolled_back: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Status {
    #[default]
    Idle,
    Open,
    Failed,
}

/// Whether the connection goes on.
pub(super) enum Flow {
    On,
    End,
}

impl Session {
    pub fn new(
        engine: Arc<Engine>,
        caller: Caller,
        writer: Writer,
        settings: Settings,
        key: Key,
    ) -> Session {
        Session {
            engine,
            caller,
            writer,
            settings,
            transaction: Transaction::default(),
            prepared: HashMap::new(),
            portals: HashMap::new(),
            skipping: false,
            key,
        }
    }

    /// Tells the client what it should know before it asks anything.
    pub async fn welcome(&mut self) -> Result<(), Broken> {
        use pgwire::messages::startup::{BackendKeyData, SecretKey};
        self.report(&[]).map_err(Broken::Refused)?;
        let secret = SecretKey::I32(self.key.secret.cast_signed());
        let key = PgWireBackendMessage::BackendKeyData(BackendKeyData::new(self.key.pid, secret));
        self.writer.push(key).map_err(Broken::Refused)?;
        self.ready().await
    }

    /// Tells the settings that differ from what the client was told.
    pub fn report(&mut self, told: &[(&'static str, String)]) -> Result<(), Refusal> {
        let news = self.settings.reported().into_iter();
        let news = news.filter(|(name, value)| !told.iter().any(|(n, v)| n == name && v == value));
        let messages: Vec<_> =
            news.map(|(name, value)| ParameterStatus::new(name.into(), value.into())).collect();
        for message in messages {
            self.writer.push(PgWireBackendMessage::ParameterStatus(message))?;
        }
        Ok(())
    }

    /// Answers a message. An error is told here; the connection ends by another.
    pub async fn handle(&mut self, message: Message) -> Result<Flow, Broken> {
        if self.skipping && !matches!(message, Message::Sync | Message::Terminate) {
            return Ok(Flow::On);
        }
        let simple = matches!(message, Message::Query(_));
        let asked = self.key.asked.clone();
        let cancelled = asked.notified();
        let answered = tokio::select! {
            answered = self.answer(message) => answered,
            () = cancelled => Err(Refusal::cancelled().into()),
        };
        match answered {
            Ok(flow) => Ok(flow),
            Err(Failure::Broken(broken)) => Err(broken),
            Err(Failure::Refused(refusal)) if refusal.is_fatal() => Err(Broken::Refused(refusal)),
            Err(Failure::Refused(refusal)) => {
                self.writer.push(refusal.message()).map_err(Broken::Refused)?;
                if self.transaction.status == Status::Open {
                    self.transaction.status = Status::Failed;
                }
                self.skipping = !simple;
                if simple {
                    self.ready().await?
                } else {
                    self.writer.flush().await?
                }
                Ok(Flow::On)
            }
        }
    }

    async fn answer(&mut self, message: Message) -> Result<Flow, Failure> {
        match message {
            Message::Query(sql) => self.simple(&sql).await?,
            Message::Parse { name, sql, types } => self.parse(name, &sql, types).await?,
            Message::Bind(bind) => self.bind(bind).await?,
            Message::Describe(Target::Statement(name)) => self.describe_statement(&name).await?,
            Message::Describe(Target::Portal(name)) => self.describe_portal(&name).await?,
            Message::Execute { portal, rows } => self.execute(portal, rows).await?,
            Message::Close(target) => self.close(target)?,
            Message::Flush => self.writer.flush().await?,
            Message::Sync => {
                self.skipping = false;
                self.ready().await?;
            }
            Message::Copy => {}
            Message::Terminate => return Ok(Flow::End),
        }
        Ok(Flow::On)
    }

    /// The client's turn. Outside of a transaction nothing outlives this but
    /// what was declared to.
    pub async fn ready(&mut self) -> Result<(), Broken> {
        let status = match self.transaction.status {
            Status::Idle => {
                self.portals.retain(|_, portal| portal.outlives());
                TransactionStatus::Idle
            }
            Status::Open => TransactionStatus::Transaction,
            Status::Failed => TransactionStatus::Error,
        };
        let ready = PgWireBackendMessage::ReadyForQuery(ReadyForQuery::new(status));
        self.writer.push(ready).map_err(Broken::Refused)?;
        self.writer.flush().await
    }

    pub fn into_writer(self) -> Writer {
        self.writer
    }

    pub fn complete(&mut self, tag: String) -> Result<(), Refusal> {
        self.writer.push(PgWireBackendMessage::CommandComplete(CommandComplete::new(tag)))
    }

    /// A statement as the engine takes it, with what the session says about it.
    pub fn statement(&self, sql: &str, params: Params) -> Query {
        Query {
            params,
            tenant: self.caller.tenant.clone(),
            principal: self.caller.principal.clone(),
            deadline: self.settings.timeout(),
            zone: self.settings.zone().map(Into::into),
            connection: Some(self.key.pid),
            ..Query::new(sql, "postgres")
        }
    }

    /// Starts what a prepared statement asks for.
    pub async fn start(&self, prepared: &Prepared, params: Params) -> Result<Cursor, Refusal> {
        let query = self.statement(&prepared.runs, params);
        match self.engine.run(query).await {
            Ok(answer) => Ok(Cursor::of(answer)),
            Err(error) => Err(prepared.placed(error.into())),
        }
    }

    pub fn keep(&mut self, name: String, portal: Portal) -> Result<(), Refusal> {
        if self.portals.len() >= MAX_PORTALS && !self.portals.contains_key(&name) {
            return Err(Refusal::new(
                "54000",
                format!("{MAX_PORTALS} portals and cursors are open"),
            )
            .with_hint("close some, or end the transaction"));
        }
        self.portals.insert(name, portal);
        Ok(())
    }

    pub fn keep_prepared(&mut self, name: String, prepared: Arc<Prepared>) -> Result<(), Refusal> {
        self.prepared.remove(&name);
        let held: usize = self.prepared.values().map(|other| other.sql.len()).sum();
        if held + prepared.sql.len() > MAX_PREPARED || self.prepared.len() >= MAX_PREPARED / 1_000 {
            return Err(Refusal::new("54000", "this connection keeps too much prepared")
                .with_hint("close statements that are not needed: DEALLOCATE ALL"));
        }
        self.prepared.insert(name, prepared);
        Ok(())
    }
}
