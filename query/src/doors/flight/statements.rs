//! Statements: planned when they are described, run when their ticket is
//! redeemed, each run over one moment of its tables (S2).

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::sql::{
    ActionCreatePreparedStatementResult, ProstMessageExt, TicketStatementQuery,
};
use arrow_flight::{FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, IpcMessage};
use arrow_flight::{SchemaAsIpc, Ticket};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};
use prost::Message;
use schema::ErrorKind;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Response, Status};

use super::handles::{Life, Statement};
use super::sessions::Session;
use super::status::unencoded;
use super::{Door, batches, params};
use crate::doors::Caller;
use crate::{Answer, Description, Error, Params, Query, Rows, Stats};

/// How long a client may take to send its parameters (S15).
const PATIENCE: Duration = Duration::from_secs(30);

type Wanted = Vec<Option<DataType>>;

impl Door {
    /// Plans a statement: its columns, and the types of its parameters.
    pub(super) async fn plan(
        &self,
        session: &Session,
        sql: String,
    ) -> Result<(Statement, Wanted), Error> {
        let asked = query(session, sql.clone(), Params::default());
        let Description { schema, params: wanted } = self.engine.describe(asked).await?;
        let (schema, sql) = (batches::plain(&schema), sql.into());
        let params = Params::default();
        Ok((Statement { sql, params, schema, params_bytes: 0 }, wanted))
    }

    pub(super) async fn prepare(
        &self,
        session: &Session,
        sql: String,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let (statement, wanted) = self.plan(session, sql).await?;
        let dataset_schema = message(&statement.schema)?;
        // Text fits where nothing is known: values are read from it.
        let wanted = wanted.into_iter().map(|known| known.unwrap_or(DataType::Utf8));
        let wanted =
            wanted.enumerate().map(|(i, known)| Field::new(format!("${}", i + 1), known, true));
        let parameter_schema = message(&batches::plain(&Schema::new(wanted.collect::<Vec<_>>())))?;
        let handle =
            self.handles.issue(session, Arc::new(statement), Life::Prepared, Instant::now())?;
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: handle,
            dataset_schema,
            parameter_schema,
        })
    }

    /// Gives values to a prepared statement's parameters.
    pub(super) async fn bind(
        &self,
        session: &Session,
        handle: &[u8],
        messages: impl Stream<Item = Result<FlightData, Status>> + Send + 'static,
    ) -> Result<(), Status> {
        let (prepared, _) = self.handles.find(session, handle, Instant::now())?;
        let read = tokio::time::timeout(PATIENCE, params::read(messages));
        let (params, params_bytes) = read.await.unwrap_or_else(|_| Err(late().into()))?;
        // A column may have its type from a parameter.
        let sql = prepared.sql.clone();
        let asked = query(session, sql.to_string(), params.clone());
        let schema = batches::plain(&self.engine.describe(asked).await?.schema);
        let bound = Statement { sql, params, schema, params_bytes };
        Ok(self.handles.replace(session, handle, Arc::new(bound))?)
    }

    /// A ticket for a statement as it is now, however its parameters change.
    pub(super) fn ticket(
        &self,
        session: &Session,
        statement: Arc<Statement>,
        asked: FlightDescriptor,
    ) -> Result<FlightInfo, Status> {
        let schema = statement.schema.clone();
        let statement_handle =
            self.handles.issue(session, statement, Life::Ticket, Instant::now())?;
        let ticket = TicketStatementQuery { statement_handle };
        flight(&schema, ticket.as_any().encode_to_vec().into(), asked)
    }

    /// Runs the statement of a ticket.
    pub(super) async fn redeem(
        &self,
        session: &Session,
        handle: &[u8],
    ) -> Result<Response<BoxStream<'static, Result<FlightData, Status>>>, Status> {
        let (statement, cancelled) = self.handles.find(session, handle, Instant::now())?;
        let asked = query(session, statement.sql.to_string(), statement.params.clone());
        let Answer { id, rows, stats, .. } = tokio::select! {
            answer = self.engine.run(asked) => answer?,
            () = cancelled.cancelled() => return Err(cancelled_by_client().into()),
        };
        // Which snapshots were seen is settled by planning.
        let complete = if stats.summary().complete() { "true" } else { "false" };
        let reading = Reading { rows, stats, cancelled };
        let mut response =
            Response::new(batches::messages(statement.schema.clone(), reading.stream()));
        let headers = response.metadata_mut();
        headers.insert("x-query-id", AsciiMetadataValue::from(id));
        headers.insert("x-cloudsail-complete", AsciiMetadataValue::from_static(complete));
        Ok(response)
    }
}

fn query(session: &Session, sql: String, params: Params) -> Query {
    let Caller { tenant, principal } = session.caller.clone();
    Query { params, tenant, principal, ..Query::new(sql, "flight") }
}

/// Where an answer is to be fetched: here, with a ticket.
pub(super) fn flight(
    schema: &Schema,
    ticket: Bytes,
    asked: FlightDescriptor,
) -> Result<FlightInfo, Status> {
    let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(ticket));
    let info = FlightInfo::new().try_with_schema(schema).map_err(unencoded)?;
    Ok(info.with_endpoint(endpoint).with_descriptor(asked))
}

fn message(schema: &Schema) -> Result<Bytes, Status> {
    let encoded: Result<IpcMessage, ArrowError> =
        SchemaAsIpc::new(schema, &IpcWriteOptions::default()).try_into();
    let IpcMessage(bytes) = encoded.map_err(unencoded)?;
    Ok(bytes)
}

/// Rows of a statement that may be cancelled from elsewhere.
struct Reading {
    rows: Rows,
    stats: Stats,
    cancelled: CancellationToken,
}

impl Reading {
    /// The protocol has no place for saying that an answer was cut, so one
    /// that was ends in an error.
    fn stream(self) -> impl Stream<Item = Result<RecordBatch, Error>> + Send {
        stream::unfold(Some(self), |reading| async move {
            let mut reading = reading?;
            let next = tokio::select! {
                biased;
                () = reading.cancelled.cancelled() => Some(Err(cancelled_by_client())),
                next = reading.rows.next() => next,
            };
            match next {
                Some(Ok(batch)) => Some((Ok(batch), Some(reading))),
                Some(Err(error)) => Some((Err(error), None)),
                None => {
                    let end = reading.stats.summary();
                    end.truncated.then(|| (Err(cut(end.rows)), None))
                }
            }
        })
    }
}

fn cut(rows: u64) -> Error {
    Error::new(ErrorKind::TooLarge, format!("the answer was cut after {rows} rows"))
        .with_hint("add a LIMIT, aggregate, or raise query.max_rows")
}

fn cancelled_by_client() -> Error {
    Error::new(ErrorKind::Cancelled, "the statement was cancelled by its client")
}

fn late() -> Error {
    let seconds = PATIENCE.as_secs();
    Error::new(
        ErrorKind::DeadlineExceeded,
        format!("the parameters did not arrive within {seconds} s"),
    )
}
