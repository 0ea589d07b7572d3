use std::time::{Duration, Instant};

use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::NoTls;

use super::{door, door_with, refusal, texts, told, two_spans};

/// A statement that runs for minutes, holds little, and gives nothing before.
pub const ENDLESS: &str =
    "SELECT count(*) FROM generate_series(1, 100000000000) WHERE value % 7 = 3";

pub async fn until(what: &str, met: impl Fn() -> bool) {
    let start = Instant::now();
    while !met() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Scenario: a cancel while a statement computes, by both protocols, and while
/// it streams to a client that reads.
/// Guarantees: F45, it ends with that error and frees what it had; the session goes on.
#[tokio::test]
async fn fault_f45_a_cancel_ends_the_statement() {
    let door = door(&two_spans().await).await;
    let client = door.connect().await;
    let token = client.cancel_token();
    let running = || door.asker.engine.running() == 1;
    for simple in [true, false] {
        let asked = async {
            match simple {
                true => client.simple_query(ENDLESS).await.map(drop),
                false => client.query(ENDLESS, &[]).await.map(drop),
            }
        };
        let cancel = async {
            until("its start", running).await;
            token.cancel_query(NoTls).await.unwrap();
        };
        let (answered, ()) = futures::join!(asked, cancel);
        assert_eq!(told(&answered.err().unwrap()).0, "57014");
        until("its end", || door.asker.engine.running() == 0).await;
    }
    let rows = client.query_raw("SELECT * FROM generate_series(1, 1000000000)", [0i32; 0]).await;
    let mut rows = std::pin::pin!(rows.unwrap());
    rows.next().await.unwrap().unwrap();
    token.cancel_query(NoTls).await.unwrap();
    let error = loop {
        match rows.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("the rows ended as if they were all"),
        }
    };
    assert_eq!(told(&error).0, "57014");
    assert_eq!(client.query_one("SELECT 1::bigint", &[]).await.unwrap().get::<_, i64>(0), 1);
}

/// Scenario: a cancel for a session that does nothing.
/// Guarantees: its next statement is not the one that was meant.
#[tokio::test]
async fn a_late_cancel_is_nobodys() {
    let door = door(&two_spans().await).await;
    let client = door.connect().await;
    client.cancel_token().cancel_query(NoTls).await.unwrap();
    assert!(client.simple_query("SELECT 1").await.is_ok());
}

/// Scenario: a client goes while its statement computes, and another while rows
/// are on their way that it does not read.
/// Guarantees: F45, what ran for them ends.
#[tokio::test]
async fn fault_f45_a_client_that_goes_ends_its_statement() {
    let door = door(&two_spans().await).await;
    for sql in [ENDLESS, "SELECT * FROM generate_series(1, 1000000000)"] {
        let mut socket = super::hostile::opened(&door).await;
        socket.write_all(&super::hostile::query(sql)).await.unwrap();
        until("its start", || door.asker.engine.running() == 1).await;
        drop(socket);
        until("its end", || door.asker.engine.running() == 0).await;
    }
}

/// Scenario: a client that reads nothing of a great answer for a while.
/// Guarantees: the answer waits for it instead of piling up, and is whole.
#[tokio::test]
async fn rows_wait_for_a_slow_reader() {
    let door = door(&two_spans().await).await;
    let mut socket = super::hostile::opened(&door).await;
    let sql = "SELECT repeat('x', 1000) FROM generate_series(1, 20000)";
    socket.write_all(&super::hostile::query(sql)).await.unwrap();
    until("its start", || door.asker.engine.running() == 1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    // More than the sockets between can hold is still with the engine.
    assert_eq!(door.asker.engine.running(), 1);
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 1 << 20];
    while !bytes.ends_with(b"Z\0\0\0\x05I") {
        let read = socket.read(&mut chunk).await.unwrap();
        assert!(read > 0, "the answer broke off after {} bytes", bytes.len());
        bytes.extend_from_slice(&chunk[..read]);
    }
    assert!(bytes.len() > 20_000 * 1_000);
    assert!(bytes.windows(12).any(|window| window == b"SELECT 20000"));
}

/// Scenario: the door stops while one session is idle and another is busy.
/// Guarantees: F43, the idle one is told, the busy one is given up after the grace.
#[tokio::test]
async fn fault_f43_a_stop_tells_those_who_wait() {
    let mut door = door_with(&two_spans().await, |_| {}).await;
    let idle = door.connect().await;
    let busy = door.connect().await;
    let asked = async {
        let error = busy.simple_query(ENDLESS).await.err().unwrap();
        assert!(error.as_db_error().is_none(), "{error:?}");
    };
    let stopping = async {
        until("its start", || door.asker.engine.running() == 1).await;
        door.stop.cancel();
        door.server.join_next().await.unwrap().unwrap()
    };
    let ((), left) = futures::join!(asked, stopping);
    assert_eq!(left, 1);
    until("its end", || door.asker.engine.running() == 0).await;
    assert!(idle.simple_query("SELECT 1").await.is_err());
}

/// Scenario: an open cursor that nobody reads, where one statement may run; then
/// another, and a statement that comes after both.
/// Guarantees: S22, a cursor that is not read gives its turn on and goes on when
/// it is read; as many as may run do so, the next is told to come back, and gets
/// in when one is closed.
#[tokio::test]
async fn sec_s22_open_cursors_are_bounded_and_keep_nobody_out() {
    let door = door_with(&two_spans().await, |settings| settings.concurrency = 1).await;
    let declare = "BEGIN; DECLARE c CURSOR FOR SELECT value FROM generate_series(1, 100000000)";
    let (first, second) = (door.connect().await, door.connect().await);
    first.batch_execute(declare).await.unwrap();
    second.batch_execute(declare).await.unwrap();
    let other = door.connect().await;
    assert_eq!(refusal(&other, "SELECT 1").await.0, "53300");
    for client in [&first, &second] {
        let rows = texts(client, "FETCH 20000 FROM c").await;
        assert_eq!((rows.len(), rows[19_999].as_str()), (20_000, "20000"));
    }
    first.batch_execute("CLOSE c").await.unwrap();
    until("its end", || door.asker.engine.running() == 1).await;
    assert!(other.simple_query("SELECT 1").await.is_ok());
}
