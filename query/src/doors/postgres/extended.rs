//! The extended protocol: statements prepared, bound to values, and executed
//! in as many steps as the client likes.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use pgwire::api::Type;
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::data::{NoData, ParameterDescription};
use pgwire::messages::extendedquery::{
    BindComplete, CloseComplete, ParseComplete, PortalSuspended,
};
use pgwire::messages::response::EmptyQueryResponse;
use tokio::sync::OnceCell;

use super::command::Command;
use super::cursor::Cursor;
use super::frontend::{Bind, Formats, Target};
use super::rows::Columns;
use super::session::Session;
use super::simple::no_statement;
use super::status::{Failure, Refusal};
use super::{compat, params};
use crate::catalog::postgres::types;
use crate::{Engine, Params, sandbox};

/// A statement that was looked at once and may run often.
#[derive(Debug)]
pub(super) struct Prepared {
    pub sql: String,
    pub command: Command,
    /// What the engine runs for it.
    pub runs: String,
    /// Whether that is the statement as it was sent.
    as_sent: bool,
    /// The types of its parameters that the client said; 0 where it did not.
    oids: Vec<u32>,
    described: OnceCell<Described>,
}

#[derive(Debug)]
struct Described {
    schema: Option<SchemaRef>,
    params: Vec<Option<DataType>>,
}

impl Prepared {
    /// Of one statement.
    pub async fn of(engine: &Engine, sql: &str, oids: Vec<u32>) -> Result<Prepared, Refusal> {
        let command = Command::read(sql)?;
        let query = command.query().unwrap_or_default();
        let (runs, as_sent) = match compat::rewritten(engine, query).await {
            Some(rewritten) => (rewritten, false),
            None => (query.to_owned(), matches!(command, Command::Query(_))),
        };
        let described = OnceCell::new();
        Ok(Prepared { sql: sql.to_owned(), command, runs, as_sent, oids, described })
    }

    /// A place in what ran means nothing to a client that sent something else.
    pub fn placed(&self, refusal: Refusal) -> Refusal {
        if self.as_sent { refusal } else { refusal.without_place() }
    }
}

/// Something that gives rows.
#[derive(Debug)]
pub(super) enum Portal {
    /// Nothing of it runs yet. `None`: an empty statement.
    Bound {
        prepared: Option<Arc<Prepared>>,
        params: Params,
        formats: Formats,
    },
    Open {
        cursor: Box<Cursor>,
        formats: Formats,
        hold: bool,
    },
}

impl Portal {
    /// Whether it lives on when no transaction holds it.
    pub fn outlives(&self) -> bool {
        matches!(self, Portal::Open { hold: true, .. })
    }
}

impl Session {
    pub async fn parse(&mut self, name: String, sql: &str, oids: Vec<u32>) -> Result<(), Failure> {
        if !name.is_empty() && self.prepared.contains_key(&name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(Refusal::new("42P05", message).into());
        }
        let statements =
            sandbox::split(sql).map_err(|error| Refusal::from(error).in_text(sql, sql))?;
        let statement = match statements.as_slice() {
            [] => "",
            [only] => only,
            _ => {
                let message = "cannot insert multiple commands into a prepared statement";
                return Err(Refusal::new("42601", message).into());
            }
        };
        let prepared = Prepared::of(&self.engine, statement, oids).await?;
        self.may_run(&prepared.command)?;
        self.keep_prepared(name, Arc::new(prepared))?;
        Ok(self.writer.push(PgWireBackendMessage::ParseComplete(ParseComplete::new()))?)
    }

    fn statement_named(&self, name: &str) -> Result<Arc<Prepared>, Refusal> {
        self.prepared.get(name).cloned().ok_or_else(|| no_statement(name))
    }

    /// What a statement wants and gives; planned once.
    async fn described<'a>(&self, prepared: &'a Prepared) -> Result<&'a Described, Refusal> {
        let describe = || async {
            if prepared.runs.is_empty() {
                return Ok(Described { schema: None, params: Vec::new() });
            }
            let query = self.statement(&prepared.runs, Params::default());
            let described = self.engine.describe(query).await.map_err(|error| {
                prepared.placed(error.into()).in_text(&prepared.sql, &prepared.sql)
            })?;
            let rows = matches!(prepared.command, Command::Query(_));
            Ok(Described { schema: rows.then_some(described.schema), params: described.params })
        };
        prepared.described.get_or_try_init(describe).await
    }

    pub async fn bind(&mut self, bind: Bind) -> Result<(), Failure> {
        let prepared = self.statement_named(&bind.statement)?;
        let oid = |index: usize| prepared.oids.get(index).copied().unwrap_or(0);
        // What the client left open, the places of the values tell.
        let open = (0..bind.values.len()).any(|index| oid(index) == 0);
        let places = match open {
            true => self.described(&prepared).await?.params.as_slice(),
            false => &[],
        };
        if open && bind.values.len() != places.len() {
            let message = format!(
                "bind message supplies {} parameters, but the statement requires {}",
                bind.values.len(),
                places.len()
            );
            return Err(Refusal::new("08P01", message).into());
        }
        let values = bind.values.iter().enumerate().map(|(index, value)| {
            let place = places.get(index).and_then(Option::as_ref);
            let binary = bind.formats.is_binary(index);
            params::value(oid(index), place, self.settings.zone(), binary, value.as_ref())
        });
        let params = Params::of(values.collect::<Result<_, _>>()?);
        let empty = prepared.sql.is_empty();
        let prepared = (!empty).then_some(prepared);
        let named = !bind.portal.is_empty();
        if named && self.portals.contains_key(&bind.portal) {
            let message = format!("portal \"{}\" already exists", bind.portal);
            return Err(Refusal::new("42P03", message).into());
        }
        self.keep(bind.portal, Portal::Bound { prepared, params, formats: bind.results })?;
        Ok(self.writer.push(PgWireBackendMessage::BindComplete(BindComplete::new()))?)
    }

    pub async fn describe_statement(&mut self, name: &str) -> Result<(), Failure> {
        let prepared = self.statement_named(name)?;
        let described = self.described(&prepared).await?;
        let count = described.params.len().max(prepared.oids.len());
        let types = (0..count).map(|index| {
            let said = prepared.oids.get(index).copied().filter(|oid| *oid != 0);
            let place = described.params.get(index).and_then(Option::as_ref);
            said.unwrap_or_else(|| place.map_or(Type::TEXT, types::of_data).oid())
        });
        let types = ParameterDescription::new(types.collect());
        let columns = match &described.schema {
            Some(schema) => Some(Columns::new(schema, &Formats::default(), self.settings.zone())),
            None => self.columns_of(&prepared.command, &Formats::default())?,
        };
        self.writer.push(PgWireBackendMessage::ParameterDescription(types))?;
        self.columns(columns)
    }

    pub async fn describe_portal(&mut self, name: &str) -> Result<(), Failure> {
        self.open(name).await?;
        let columns = match self.portals.get(name) {
            Some(Portal::Open { cursor, formats, .. }) => {
                Some(Columns::new(&cursor.schema, formats, self.settings.zone()))
            }
            Some(Portal::Bound { prepared: Some(prepared), formats, .. }) => {
                self.columns_of(&prepared.command, formats)?
            }
            _ => None,
        };
        self.columns(columns)
    }

    fn columns(&mut self, columns: Option<Columns>) -> Result<(), Failure> {
        let message = match columns {
            Some(columns) => columns.description(),
            None => PgWireBackendMessage::NoData(NoData::new()),
        };
        Ok(self.writer.push(message)?)
    }

    /// Starts a portal's query, once: to say what its columns are is to plan it.
    async fn open(&mut self, name: &str) -> Result<(), Failure> {
        let (prepared, params, formats) = match self.portals.get(name) {
            None => {
                return Err(
                    Refusal::new("34000", format!("portal \"{name}\" does not exist")).into()
                );
            }
            Some(Portal::Bound { prepared: Some(prepared), params, formats })
                if matches!(prepared.command, Command::Query(_)) =>
            {
                (prepared.clone(), params.clone(), formats.clone())
            }
            Some(_) => return Ok(()),
        };
        self.may_run(&prepared.command)?;
        let cursor = self.start(&prepared, params).await;
        let cursor = cursor.map_err(|refusal| refusal.in_text(&prepared.sql, &prepared.sql))?;
        // A client that was told other columns would misread these.
        if let Some(Described { schema: Some(told), .. }) = prepared.described.get()
            && !Columns::new(told, &formats, self.settings.zone()).match_with(&cursor.schema)
        {
            let message = "cached plan must not change result type";
            return Err(Refusal::new("0A000", message)
                .with_hint("prepare the statement again")
                .into());
        }
        let open = Portal::Open { cursor: Box::new(cursor), formats, hold: false };
        Ok(self.keep(name.to_owned(), open)?)
    }

    pub async fn execute(&mut self, name: String, most: usize) -> Result<(), Failure> {
        self.open(&name).await?;
        // If this is cut short, by an error or a cancel, the portal is gone.
        match self.portals.remove(&name) {
            None => Err(Refusal::new("34000", format!("portal \"{name}\" does not exist")).into()),
            Some(Portal::Bound { prepared: None, .. }) => {
                let empty = PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new());
                Ok(self.writer.push(empty)?)
            }
            Some(Portal::Bound { prepared: Some(prepared), params, formats }) => {
                self.may_run(&prepared.command)?;
                let rows = self.run(&prepared, params, &formats).await?;
                let tag = self.tag(&prepared.command, rows);
                Ok(self.complete(tag)?)
            }
            Some(Portal::Open { mut cursor, formats, hold }) => {
                let columns = Columns::new(&cursor.schema, &formats, self.settings.zone());
                let sent = cursor.send(&columns, most, &mut self.writer).await?;
                if sent == most {
                    let suspended = PgWireBackendMessage::PortalSuspended(PortalSuspended::new());
                    self.writer.push(suspended)?;
                } else {
                    self.warn(&cursor)?;
                    self.complete(format!("SELECT {sent}"))?;
                }
                Ok(self.keep(name, Portal::Open { cursor, formats, hold })?)
            }
        }
    }

    pub fn close(&mut self, target: Target) -> Result<(), Failure> {
        // To close what is not there is no error.
        match target {
            Target::Statement(name) => drop(self.prepared.remove(&name)),
            Target::Portal(name) => drop(self.portals.remove(&name)),
        }
        Ok(self.writer.push(PgWireBackendMessage::CloseComplete(CloseComplete::new()))?)
    }
}
