//! The Flight SQL door over loopback, as its clients call it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{
    ActionCancelQueryRequest, CommandGetCrossReference, CommandGetDbSchemas,
    CommandGetExportedKeys, CommandGetImportedKeys, CommandGetPrimaryKeys, CommandGetTables,
    CommandGetXdbcTypeInfo, CommandStatementQuery, ProstMessageExt, SqlInfo,
};
use arrow_flight::{
    Action, CancelFlightInfoRequest, CancelFlightInfoResult, FlightDescriptor, FlightInfo,
    IpcMessage, Ticket,
};
use futures::TryStreamExt;
use prost::Message;
use query::doors::Caller;
use query::doors::flight::{self, Credentials};
use query::{Error, Settings};
use schema::ErrorKind;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use super::ask::{Asker, asker_with};
use super::source::{TestSource, origin, span};

/// A statement that runs for minutes and holds little.
const ENDLESS: &str = "SELECT count(*) FROM generate_series(1, 100000000000) WHERE value % 7 = 3";

type Client = FlightSqlServiceClient<Channel>;

struct Door {
    channel: Channel,
    asker: Asker,
    _server: JoinSet<()>,
}

impl Door {
    async fn over(source: &Arc<TestSource>, change: impl FnOnce(&mut Settings)) -> Door {
        let asker = asker_with(source, change);
        let identify = |credentials: Credentials<'_>| match credentials {
            Credentials::Basic { password: "wrong", .. } => {
                Err(Error::new(ErrorKind::Unauthenticated, "no such user"))
            }
            Credentials::Basic { user, .. } => {
                Ok(Caller { principal: Some(user.into()), ..Caller::default() })
            }
            _ => Ok(Caller::default()),
        };
        let router = flight::router(asker.engine.clone(), Arc::new(identify));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        let channel = Endpoint::new(url).unwrap().connect().await.unwrap();
        Door { channel, asker, _server: server }
    }

    fn client(&self) -> Client {
        FlightSqlServiceClient::new(self.channel.clone())
    }

    async fn until_idle(&self) {
        let start = Instant::now();
        while self.asker.engine.running() > 0 {
            assert!(start.elapsed() < Duration::from_secs(10), "the statement goes on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn two_spans() -> Arc<TestSource> {
    let source = TestSource::new();
    let one = json!({"span_id": "a", "http.response.status_code": 200, "attributes": {"k": "v"}});
    source.commit("spans", origin(1, 1), &[span(0, one)]).await;
    source.hot("spans", &[span(1, json!({"span_id": "b", "attributes": {"k": null}}))]);
    source
}

fn ticket(info: &FlightInfo) -> Ticket {
    info.endpoint[0].ticket.clone().unwrap()
}

/// The rows, in the columns that were told before.
async fn fetch(client: &mut Client, info: FlightInfo) -> Result<RecordBatch, FlightError> {
    let told: SchemaRef = Arc::new(info.clone().try_decode_schema().unwrap());
    let mut stream = client.do_get(ticket(&info)).await?;
    let mut batches = Vec::new();
    while let Some(batch) = stream.try_next().await? {
        batches.push(batch);
    }
    assert_eq!(stream.schema().unwrap(), &told);
    Ok(concat_batches(&told, &batches).unwrap())
}

async fn ask(client: &mut Client, sql: &str) -> RecordBatch {
    let info = client.execute(sql.into(), None).await.unwrap();
    fetch(client, info).await.unwrap()
}

/// The call's gRPC status.
fn code<T>(outcome: Result<T, FlightError>) -> (Code, String) {
    match outcome.err().expect("an error") {
        FlightError::Tonic(status) => (status.code(), status.message().to_owned()),
        other => panic!("{other}"),
    }
}

fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    let column = batch.column_by_name(column).unwrap().as_string::<i32>();
    column.iter().map(|text| text.unwrap_or("NULL").to_owned()).collect()
}

/// Scenario: every table with all of its columns, nested and computed ones, is
/// asked for, and a statement over rows on disk and in memory.
/// Guarantees: S1; the columns that were told without running are the columns
/// that come, in types without views and dictionaries; each row once.
#[tokio::test]
async fn inv_s1_what_is_told_is_what_comes() {
    let door = Door::over(&two_spans().await, |_| {}).await;
    let mut client = door.client();
    for table in ["spans", "logs", "metrics", "traces", "usage", "system.queries", "system.files"] {
        ask(&mut client, &format!("SELECT * FROM {table}")).await;
    }
    let rows = ask(
        &mut client,
        "SELECT span_id, time, attributes, arrow_cast(name, 'Utf8View') AS view, \
         arrow_cast(name, 'Dictionary(Int32, Utf8)') AS coded FROM spans ORDER BY span_id",
    )
    .await;
    assert_eq!(texts(&rows, "span_id"), ["a", "b"]);
    assert_eq!(texts(&rows, "view"), texts(&rows, "coded"));
    assert!(matches!(rows.column(2).data_type(), DataType::Map(_, _)));
    assert_eq!(ask(&mut client, "EXPLAIN SELECT 1").await.num_columns(), 2);
    assert!(ask(&mut client, "SHOW TABLES").await.num_rows() > 5);
    let headers = {
        let info = client.execute("SELECT 1".into(), None).await.unwrap();
        let answer = client.inner_mut().do_get(ticket(&info)).await.unwrap();
        answer.metadata().clone()
    };
    assert_eq!(headers.get("x-cloudsail-complete").unwrap(), "true");
    assert!(headers.get("x-query-id").is_some());
    // The schema alone, for clients that plan ahead.
    let cmd = CommandStatementQuery { query: "SELECT 1 AS one".into(), transaction_id: None };
    let asked = FlightDescriptor::new_cmd(cmd.as_any().encode_to_vec());
    let schema: Schema =
        (&client.inner_mut().get_schema(asked).await.unwrap().into_inner()).try_into().unwrap();
    assert_eq!(schema.field(0).name(), "one");
    assert_eq!(
        door.asker.rows("SELECT DISTINCT door FROM system.queries WHERE door <> 'test'").await,
        ["flight"]
    );
}

/// Scenario: a prepared statement with parameters of every kind, bound twice,
/// a ticket taken before the second time, and one whose column is a parameter.
/// Guarantees: types are told, values bind by Arrow's types, a ticket stays
/// with the values it was made for, and a closed statement is gone.
#[tokio::test]
async fn prepared_statements_bind() {
    let door = Door::over(&two_spans().await, |_| {}).await;
    let mut client = door.client();
    let sql = "SELECT span_id FROM spans WHERE service_name = $1 AND duration_ns > $2 \
               AND is_error = $3 AND duration_ms < $4 AND attributes['k'] IS NOT DISTINCT FROM $5";
    let mut prepared = client.prepare(sql.into(), None).await.unwrap();
    let types: Vec<_> = prepared
        .parameter_schema()
        .unwrap()
        .fields()
        .iter()
        .map(|f| f.data_type().clone())
        .collect();
    assert_eq!(types.len(), 5);
    assert_eq!(
        (&types[1], &types[2], &types[3]),
        (&DataType::Int64, &DataType::Boolean, &DataType::Float64)
    );
    assert_eq!(prepared.dataset_schema().unwrap().field(0).name(), "span_id");
    let values = |k: Option<&str>| {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("1", Arc::new(StringArray::from(vec!["shop"]))),
            ("2", Arc::new(Int64Array::from(vec![5]))),
            ("3", Arc::new(BooleanArray::from(vec![false]))),
            ("4", Arc::new(Float64Array::from(vec![2.75]))),
            ("5", Arc::new(StringArray::from(vec![k]))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    };
    prepared.set_parameters(values(Some("v"))).unwrap();
    let first = prepared.execute().await.unwrap();
    prepared.set_parameters(values(None)).unwrap();
    let second = prepared.execute().await.unwrap();
    assert_eq!(texts(&fetch(&mut client, second).await.unwrap(), "span_id"), ["b"]);
    assert_eq!(texts(&fetch(&mut client, first).await.unwrap(), "span_id"), ["a"]);
    prepared.clone().close().await.unwrap();
    assert_eq!(code(prepared.execute().await).0, Code::NotFound);

    let mut echo = client.prepare("SELECT $1 AS x".into(), None).await.unwrap();
    let info = echo.execute().await.unwrap();
    assert_eq!(code(fetch(&mut client, info).await).0, Code::InvalidArgument);
    let seven: [(&str, ArrayRef); 1] = [("1", Arc::new(Int64Array::from(vec![7])))];
    echo.set_parameters(RecordBatch::try_from_iter(seven).unwrap()).unwrap();
    let info = echo.execute().await.unwrap();
    assert_eq!(
        fetch(&mut client, info).await.unwrap().column(0).as_primitive::<Int64Type>().value(0),
        7
    );
    let two: [(&str, ArrayRef); 1] = [("1", Arc::new(Int64Array::from(vec![7, 8])))];
    echo.set_parameters(RecordBatch::try_from_iter(two).unwrap()).unwrap();
    assert_eq!(code(echo.execute().await).0, Code::InvalidArgument);
}

/// Scenario: a client looks around: catalogs, schemas and tables by patterns,
/// with their columns, keys, what the server can do, its types. The order of
/// the calls is that of the JDBC driver before its first statement.
/// Guarantees: every question has an answer with the columns of its protocol,
/// and its ticket is good for it.
#[tokio::test]
async fn a_client_looks_around() {
    let door = Door::over(&two_spans().await, |_| {}).await;
    let mut client = door.client();
    let info = client.get_sql_info(vec![]).await.unwrap();
    let all = fetch(&mut client, info).await.unwrap();
    assert!(all.num_rows() > 80, "{}", all.num_rows());
    let some = [SqlInfo::FlightSqlServerReadOnly, SqlInfo::SqlIdentifierQuoteChar];
    let info = client.get_sql_info(some.to_vec()).await.unwrap();
    assert_eq!(fetch(&mut client, info).await.unwrap().num_rows(), 2);
    let info = client.get_catalogs().await.unwrap();
    let rows = fetch(&mut client, info).await.unwrap();
    assert_eq!(texts(&rows, "catalog_name"), ["cloudsail"]);
    let schemas = |pattern: Option<&str>| CommandGetDbSchemas {
        catalog: Some("cloudsail".into()),
        db_schema_filter_pattern: pattern.map(str::to_owned),
    };
    for (pattern, found) in
        [(None, &["information_schema", "public", "system"][..]), (Some("s%"), &["system"])]
    {
        let info = client.get_db_schemas(schemas(pattern)).await.unwrap();
        let rows = fetch(&mut client, info).await.unwrap();
        assert_eq!(texts(&rows, "db_schema_name"), found);
    }
    let info = client.get_table_types().await.unwrap();
    let rows = fetch(&mut client, info).await.unwrap();
    assert_eq!(texts(&rows, "table_type"), ["TABLE", "VIEW"]);
    let tables = |pattern: &str, include_schema| CommandGetTables {
        catalog: None,
        db_schema_filter_pattern: None,
        table_name_filter_pattern: Some(pattern.into()),
        table_types: vec!["TABLE".into(), "VIEW".into()],
        include_schema,
    };
    let info = client.get_tables(tables("%", false)).await.unwrap();
    let rows = fetch(&mut client, info).await.unwrap();
    let names = texts(&rows, "table_name");
    for name in ["spans", "logs", "metrics", "traces", "queries"] {
        assert!(names.iter().any(|n| n == name), "{name}: {names:?}");
    }
    let info = client.get_tables(tables("spans", true)).await.unwrap();
    let rows = fetch(&mut client, info).await.unwrap();
    assert_eq!(texts(&rows, "table_type"), ["TABLE"]);
    let encoded = rows.column_by_name("table_schema").unwrap().as_binary::<i32>().value(0);
    let columns = Schema::try_from(IpcMessage(encoded.to_vec().into())).unwrap();
    let asked = ask(&mut client, "SELECT * FROM spans LIMIT 0").await.schema();
    let names = |schema: &Schema| -> Vec<_> {
        schema.fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect()
    };
    assert_eq!(names(&columns), names(&asked));
    assert_eq!(columns.field(0).metadata()["ARROW:FLIGHT:SQL:TYPE_NAME"], "timestamptz");
    assert!(!columns.field(0).metadata()["ARROW:FLIGHT:SQL:REMARKS"].is_empty());

    for (data_type, most, least) in [(None, 20, 8), (Some(12), 1, 1)] {
        let info = client.get_xdbc_type_info(CommandGetXdbcTypeInfo { data_type }).await.unwrap();
        let rows = fetch(&mut client, info).await.unwrap();
        assert!((least..=most).contains(&rows.num_rows()), "{data_type:?}: {rows:?}");
    }
    let table = "spans".to_owned();
    let (catalog, db_schema) = (None, None);
    let keys = [
        client
            .get_primary_keys(CommandGetPrimaryKeys {
                catalog: catalog.clone(),
                db_schema: db_schema.clone(),
                table: table.clone(),
            })
            .await,
        client
            .get_exported_keys(CommandGetExportedKeys {
                catalog: catalog.clone(),
                db_schema: db_schema.clone(),
                table: table.clone(),
            })
            .await,
        client
            .get_imported_keys(CommandGetImportedKeys { catalog, db_schema, table: table.clone() })
            .await,
        client
            .get_cross_reference(CommandGetCrossReference {
                pk_table: table.clone(),
                fk_table: table,
                ..CommandGetCrossReference::default()
            })
            .await,
    ];
    for info in keys {
        assert_eq!(fetch(&mut client, info.unwrap()).await.unwrap().num_rows(), 0);
    }
    // And then its ad-hoc statement, which it always prepares.
    let mut prepared =
        client.prepare("SELECT count(*) AS n FROM spans".into(), None).await.unwrap();
    assert_eq!(prepared.dataset_schema().unwrap().fields().len(), 1);
    let info = prepared.execute().await.unwrap();
    let rows = fetch(&mut client, info).await.unwrap();
    assert_eq!(rows.column(0).as_primitive::<Int64Type>().value(0), 2);
    prepared.close().await.unwrap();
}

/// Scenario: two sessions by handshake and one without; each tries the others'
/// tickets and prepared statements, cancels them, and one ends its session.
/// Guarantees: S8, a ticket is redeemed by its session only, as often as that
/// asks until it ends it.
#[tokio::test]
async fn sec_s8_a_ticket_is_its_sessions_own() {
    let door = Door::over(&two_spans().await, |_| {}).await;
    let (mut ann, mut bob, mut nobody) = (door.client(), door.client(), door.client());
    assert!(ann.handshake("ann", "wrong").await.is_err());
    ann.handshake("ann", "right").await.unwrap();
    bob.handshake("ann", "right").await.unwrap();
    assert!(ann.token().is_some() && ann.token() != bob.token());
    let info = ann.execute("SELECT count(*) FROM spans".into(), None).await.unwrap();
    let cancel = |info: &FlightInfo| Action {
        r#type: "CancelFlightInfo".into(),
        body: CancelFlightInfoRequest { info: Some(info.clone()) }.encode_to_vec().into(),
    };
    for other in [&mut bob, &mut nobody] {
        assert_eq!(code(fetch(other, info.clone()).await).0, Code::NotFound);
        let done = other.do_action(cancel(&info)).await.unwrap().message().await.unwrap().unwrap();
        assert_eq!(CancelFlightInfoResult::decode(&*done.body).unwrap().status, 3);
    }
    for _ in 0..2 {
        assert_eq!(fetch(&mut ann, info.clone()).await.unwrap().num_rows(), 1);
    }
    let principal = "SELECT DISTINCT principal FROM system.queries WHERE door = 'flight'";
    assert_eq!(door.asker.rows(principal).await, ["ann"]);
    let end = Action { r#type: "CloseSession".into(), body: Default::default() };
    ann.do_action(end).await.unwrap();
    assert_eq!(code(fetch(&mut ann, info).await).0, Code::NotFound);
}

/// Scenario: a client reads a little of a large answer and goes; one asks to
/// cancel what runs, by the new and by the old action; one leaves while the
/// statement is planned or has no rows yet.
/// Guarantees: S22, each statement ends; what is cancelled breaks off with an
/// error; rows are made as they are read, never a whole answer.
#[tokio::test]
async fn sec_s22_statements_are_cancelled() {
    let door = Door::over(&two_spans().await, |_| {}).await;
    let mut client = door.client();
    let large = "SELECT * FROM generate_series(1, 9000000)";
    let open = async |client: &mut Client| -> (FlightInfo, FlightRecordBatchStream) {
        let info = client.execute(large.into(), None).await.unwrap();
        let mut stream = client.do_get(ticket(&info)).await.unwrap();
        stream.try_next().await.unwrap().unwrap();
        (info, stream)
    };
    let (_, stream) = open(&mut client).await;
    // What nobody reads is not made: the windows of HTTP/2 hold a megabyte or so.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let made = door
        .asker
        .rows("SELECT rows FROM system.queries WHERE state = 'running' AND door = 'flight'")
        .await;
    assert!(made[0].parse::<u64>().unwrap() < 2_000_000, "{made:?}");
    drop(stream);
    door.until_idle().await;

    for old in [false, true] {
        let (info, mut stream) = open(&mut client).await;
        let action = match old {
            false => Action {
                r#type: "CancelFlightInfo".into(),
                body: CancelFlightInfoRequest { info: Some(info) }.encode_to_vec().into(),
            },
            true => {
                let request = ActionCancelQueryRequest { info: info.encode_to_vec().into() };
                let body = request.as_any().encode_to_vec().into();
                Action { r#type: "CancelQuery".into(), body }
            }
        };
        client.do_action(action).await.unwrap().message().await.unwrap().unwrap();
        let ended = loop {
            match stream.try_next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the answer ends as if it were whole"),
                Err(error) => break code::<()>(Err(error)).0,
            }
        };
        assert_eq!(ended, Code::Cancelled);
        door.until_idle().await;
    }

    let info = client.execute(ENDLESS.into(), None).await.unwrap();
    let mut stream = client.do_get(ticket(&info)).await.unwrap();
    let first = tokio::time::timeout(Duration::from_millis(300), stream.try_next()).await;
    assert!(first.is_err() && door.asker.engine.running() == 1);
    drop(stream);
    door.until_idle().await;
}

/// Scenario: statements that are wrong, that write, that take too long or
/// answer too much, and messages that are none.
/// Guarantees: S19, S22; each is told by its code, with what to do in the
/// message, and an answer that was cut does not end as if it were whole.
#[tokio::test]
async fn sec_s19_refusals_have_codes_and_hints() {
    let door = Door::over(&two_spans().await, |settings| {
        settings.max_rows = 1_000;
        settings.timeout = Duration::from_secs(2);
    })
    .await;
    let mut client = door.client();
    for (sql, expected, says) in [
        ("SELECT * FROM spanz", Code::InvalidArgument, "did you mean spans?"),
        ("SELEC 1", Code::InvalidArgument, "syntax"),
        ("SELECT 1; SELECT 2", Code::InvalidArgument, "more than one"),
        ("INSERT INTO spans VALUES (1)", Code::PermissionDenied, "only reads"),
        ("SET a = 1", Code::PermissionDenied, "only reads"),
        ("SELECT * FROM '/etc/passwd'", Code::InvalidArgument, ""),
    ] {
        for outcome in [
            client.execute(sql.into(), None).await.map(drop),
            client.prepare(sql.into(), None).await.map(drop),
        ] {
            let (code, message) = code(outcome);
            assert_eq!(code, expected, "{sql}: {message}");
            assert!(message.contains(says), "{sql}: {message}");
        }
    }
    assert_eq!(
        code(client.execute_update("DELETE FROM spans".into(), None).await).0,
        Code::PermissionDenied
    );
    assert_eq!(code(client.begin_transaction().await).0, Code::Unimplemented);
    let transaction = Some("t".into());
    assert_eq!(code(client.execute("SELECT 1".into(), transaction).await).0, Code::InvalidArgument);
    for garbage in ["", "garbage", "\u{12}\u{3}abc"] {
        let (code, _) = code(client.do_get(Ticket::new(garbage)).await);
        assert!(
            [Code::InvalidArgument, Code::Unimplemented].contains(&code),
            "{garbage}: {code:?}"
        );
        let asked = FlightDescriptor::new_cmd(garbage);
        let refused = client.inner_mut().get_flight_info(asked).await.unwrap_err().code();
        assert!([Code::InvalidArgument, Code::Unimplemented].contains(&refused), "{refused:?}");
    }
    let refused = client.inner_mut().do_exchange(futures::stream::empty()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);

    let info = client.execute("SELECT * FROM generate_series(1, 5000)".into(), None).await.unwrap();
    let (cut, message) = code(fetch(&mut client, info).await);
    assert_eq!(cut, Code::ResourceExhausted);
    assert!(message.contains("cut after 1000 rows") && message.contains("LIMIT"), "{message}");
    let info = client.execute(ENDLESS.into(), None).await.unwrap();
    assert_eq!(code(fetch(&mut client, info).await).0, Code::DeadlineExceeded);
}
