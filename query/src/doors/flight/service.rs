//! The calls of the protocol. Each finds its session first; what is asked for
//! is a Flight SQL command in every one of them.

use std::time::Duration;

use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest, Any, Command, DoPutPreparedStatementResult,
    ProstMessageExt, TicketStatementQuery,
};
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, Criteria,
    Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse, PollInfo,
    PutResult, SchemaAsIpc, SchemaResult, Ticket,
};
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use prost::Message;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::sessions::Session;
use super::status::unencoded;
use super::{Door, batches, sessions, statements, tables};
use crate::Error;

/// How long a client may take to say what it will send (S15).
const PATIENCE: Duration = Duration::from_secs(30);

const CREATE: &str = "CreatePreparedStatement";
const CLOSE: &str = "ClosePreparedStatement";
const CANCEL: &str = "CancelFlightInfo";
const CANCEL_QUERY: &str = "CancelQuery";
const CLOSE_SESSION: &str = "CloseSession";

/// `CloseSessionResult { status: CLOSED }`, for which there is no type yet.
const CLOSED: &[u8] = &[0x08, 0x01];

const ACTIONS: [(&str, &str); 5] = [
    (CREATE, "Plans a statement; the answer has its columns and parameters."),
    (CLOSE, "Forgets a prepared statement."),
    (CANCEL, "Cancels what runs for a FlightInfo, and ends its ticket."),
    (CANCEL_QUERY, "The same, as it was called before."),
    (CLOSE_SESSION, "Ends a session that began with a handshake."),
];

type Answers<T> = BoxStream<'static, Result<T, Status>>;
type Answer<T> = Result<Response<T>, Status>;

fn one<T: Send + 'static>(answer: T) -> Answers<T> {
    stream::once(async move { Ok(answer) }).boxed()
}

#[tonic::async_trait]
impl FlightService for Door {
    type HandshakeStream = Answers<HandshakeResponse>;
    type ListFlightsStream = Answers<FlightInfo>;
    type DoGetStream = Answers<FlightData>;
    type DoPutStream = Answers<PutResult>;
    type DoActionStream = Answers<arrow_flight::Result>;
    type ListActionsStream = Answers<ActionType>;
    type DoExchangeStream = Answers<FlightData>;

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Answer<Self::HandshakeStream> {
        let token = self.sessions.open(request.metadata(), Instant::now())?;
        let payload = Bytes::copy_from_slice(token.as_bytes());
        let mut response = Response::new(one(HandshakeResponse { protocol_version: 0, payload }));
        sessions::put(response.metadata_mut(), sessions::bearer(&token)?);
        Ok(response)
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Answer<FlightInfo> {
        let session = self.session(request.metadata())?;
        let asked = request.into_inner();
        let info = match command(&asked.cmd)? {
            Command::CommandStatementQuery(it) => {
                without_transaction(it.transaction_id)?;
                let (statement, _) = self.plan(&session, it.query).await?;
                self.ticket(&session, statement.into(), asked)?
            }
            Command::CommandPreparedStatementQuery(it) => {
                let (statement, _) =
                    self.handles.find(&session, &it.prepared_statement_handle, Instant::now())?;
                self.ticket(&session, statement, asked)?
            }
            // The question is its own ticket: nothing is kept for it.
            about => {
                let columns = tables::answer(&self.engine, &session, about)?.schema();
                statements::flight(&columns, asked.cmd.clone(), asked)?
            }
        };
        Ok(Response::new(info))
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Answer<SchemaResult> {
        let session = self.session(request.metadata())?;
        let schema = match command(&request.into_inner().cmd)? {
            Command::CommandStatementQuery(it) => self.plan(&session, it.query).await?.0.schema,
            Command::CommandPreparedStatementQuery(it) => self
                .handles
                .find(&session, &it.prepared_statement_handle, Instant::now())?
                .0
                .schema
                .clone(),
            about => tables::answer(&self.engine, &session, about)?.schema(),
        };
        let encoded =
            SchemaResult::try_from(SchemaAsIpc::new(&schema, &IpcWriteOptions::default()));
        Ok(Response::new(encoded.map_err(unencoded)?))
    }

    async fn do_get(&self, request: Request<Ticket>) -> Answer<Self::DoGetStream> {
        let session = self.session(request.metadata())?;
        match command(&request.into_inner().ticket)? {
            Command::TicketStatementQuery(it) => self.redeem(&session, &it.statement_handle).await,
            about => {
                let rows = tables::answer(&self.engine, &session, about)?;
                let schema = rows.schema();
                Ok(Response::new(batches::messages(schema, stream::iter([Ok(rows)]))))
            }
        }
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Answer<Self::DoPutStream> {
        let session = self.session(request.metadata())?;
        let mut incoming = request.into_inner();
        let first = tokio::time::timeout(PATIENCE, incoming.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("nothing was put"))??;
        let said = first.as_ref().and_then(|first| first.flight_descriptor.as_ref());
        let (Some(said), Some(first)) = (said.map(|said| said.cmd.clone()), first) else {
            return Err(Error::invalid("what is put has no descriptor").into());
        };
        match command(&said)? {
            Command::CommandPreparedStatementQuery(it) => {
                let handle = it.prepared_statement_handle;
                let messages = stream::once(async move { Ok(first) }).chain(incoming);
                self.bind(&session, &handle, messages).await?;
                let bound =
                    DoPutPreparedStatementResult { prepared_statement_handle: Some(handle) };
                Ok(Response::new(one(PutResult { app_metadata: bound.encode_to_vec().into() })))
            }
            Command::CommandStatementUpdate(_)
            | Command::CommandPreparedStatementUpdate(_)
            | Command::CommandStatementIngest(_) => Err(read_only().into()),
            other => Err(unknown(other.type_url())),
        }
    }

    async fn do_action(&self, request: Request<Action>) -> Answer<Self::DoActionStream> {
        let session = self.session(request.metadata())?;
        let Action { r#type, body } = request.into_inner();
        let done = match r#type.as_str() {
            CREATE => {
                let it: ActionCreatePreparedStatementRequest = unpacked(&body)?;
                without_transaction(it.transaction_id)?;
                let prepared = self.prepare(&session, it.query).await?;
                Some(prepared.as_any().encode_to_vec())
            }
            CLOSE => {
                let it: ActionClosePreparedStatementRequest = unpacked(&body)?;
                self.handles.forget(&session, &it.prepared_statement_handle);
                None
            }
            CANCEL => {
                let it = CancelFlightInfoRequest::decode(&*body).map_err(unreadable)?;
                let status = self.cancel(&session, it.info.unwrap_or_default())? as i32;
                Some(CancelFlightInfoResult { status }.encode_to_vec())
            }
            CANCEL_QUERY => {
                let it: ActionCancelQueryRequest = unpacked(&body)?;
                let info = FlightInfo::decode(&*it.info).map_err(unreadable)?;
                // The numbers of both enumerations are the same.
                let result = self.cancel(&session, info)? as i32;
                Some(ActionCancelQueryResult { result }.as_any().encode_to_vec())
            }
            CLOSE_SESSION => {
                self.handles.forget_all(&session);
                self.sessions.close(&session);
                Some(CLOSED.to_vec())
            }
            other => return Err(unknown(other)),
        };
        let done = done.map(|body| Ok(arrow_flight::Result { body: body.into() }));
        Ok(Response::new(stream::iter(done).boxed()))
    }

    async fn list_actions(&self, request: Request<Empty>) -> Answer<Self::ListActionsStream> {
        self.session(request.metadata())?;
        let action = |(name, what): (&str, &str)| {
            Ok(ActionType { r#type: name.to_owned(), description: what.to_owned() })
        };
        Ok(Response::new(stream::iter(ACTIONS.map(action)).boxed()))
    }

    /// Flights are made by asking; there is none before.
    async fn list_flights(&self, request: Request<Criteria>) -> Answer<Self::ListFlightsStream> {
        self.session(request.metadata())?;
        Ok(Response::new(stream::empty().boxed()))
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Answer<PollInfo> {
        Err(Status::unimplemented("statements are not polled here: GetFlightInfo answers at once"))
    }

    async fn do_exchange(
        &self,
        _: Request<Streaming<FlightData>>,
    ) -> Answer<Self::DoExchangeStream> {
        Err(Status::unimplemented("there is no DoExchange: this SQL only reads; use DoGet"))
    }
}

impl Door {
    fn session(&self, metadata: &MetadataMap) -> Result<Session, Error> {
        self.sessions.of(metadata, Instant::now())
    }

    /// Ends what runs for the tickets of an answer, and the tickets.
    fn cancel(&self, session: &Session, info: FlightInfo) -> Result<CancelStatus, Status> {
        let mut status = CancelStatus::NotCancellable;
        for ticket in info.endpoint.into_iter().filter_map(|endpoint| endpoint.ticket) {
            if let Command::TicketStatementQuery(TicketStatementQuery { statement_handle }) =
                command(&ticket.ticket)?
                && self.handles.cancel(session, &statement_handle)
            {
                status = CancelStatus::Cancelled;
            }
        }
        Ok(status)
    }
}

fn command(bytes: &[u8]) -> Result<Command, Error> {
    let any = Any::decode(bytes).map_err(unreadable)?;
    any.try_into().map_err(unreadable)
}

fn unpacked<M: ProstMessageExt>(bytes: &[u8]) -> Result<M, Error> {
    let any = Any::decode(bytes).map_err(unreadable)?;
    let message = any.unpack().map_err(unreadable)?;
    message.ok_or_else(|| Error::invalid(format!("the action's body is {}", any.type_url)))
}

fn unreadable(error: impl std::fmt::Display) -> Error {
    Error::invalid(format!("not a message of Flight SQL: {error}"))
}

fn without_transaction(transaction: Option<Bytes>) -> Result<(), Error> {
    match transaction {
        Some(id) if !id.is_empty() => {
            Err(Error::invalid("there are no transactions: this SQL only reads"))
        }
        _ => Ok(()),
    }
}

fn read_only() -> Error {
    Error::denied("updates are not allowed: this SQL only reads")
        .with_hint("SELECT, WITH, VALUES, EXPLAIN, SHOW and DESCRIBE run; rows come in by OTLP")
}

/// A command or an action that this door does not have.
pub(super) fn unknown(name: &str) -> Status {
    let name = name.rsplit('.').next().unwrap_or_default();
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric()).take(64).collect();
    Status::unimplemented(format!("{name} is not available: this SQL only reads"))
}
