use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Door, door, texts, two_spans};

pub fn startup(parameters: &[u8]) -> Vec<u8> {
    let mut message = ((9 + parameters.len()) as u32).to_be_bytes().to_vec();
    message.extend([0, 3, 0, 0]);
    message.extend(parameters);
    message.push(0);
    message
}

pub fn query(sql: &str) -> Vec<u8> {
    message(b'Q', &[sql.as_bytes(), b"\0"].concat())
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (4 + body.len() as u32).to_be_bytes();
    [&[kind][..], &length[..], body].concat()
}

/// A connection whose session is ready.
pub async fn opened(door: &Door) -> TcpStream {
    let mut socket = TcpStream::connect(door.address).await.unwrap();
    socket.write_all(&startup(b"user\0me\0")).await.unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"Z\0\0\0\x05I") {
        assert!(socket.read_buf(&mut heard).await.unwrap() > 0);
    }
    socket
}

/// Everything until the server closes.
async fn to_the_end(mut socket: TcpStream) -> String {
    let mut heard = Vec::new();
    let read = timeout(Duration::from_secs(20), socket.read_to_end(&mut heard)).await;
    // A reset instead of an end is an end as well.
    drop(read.expect("the server closes the connection"));
    String::from_utf8_lossy(&heard).into_owned()
}

/// Scenario: connections that begin with something else: HTTP, TLS at once, an
/// old version, huge and tiny lengths, no user, a wish for replication.
/// Guarantees: S14, S18: each is told and closed, or just closed; others go on.
#[tokio::test]
async fn sec_s14_what_is_no_startup_is_closed() {
    let door = door(&two_spans().await).await;
    let client = door.connect().await;
    let old = [0, 0, 0, 8, 0, 2, 0, 0];
    for (bytes, told) in [
        (&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], "08P01"),
        (&b"\x16\x03\x01\x02\x00\x01\x00\x01"[..], "08P01"),
        (&b"\x7f\xff\xff\xff\0\x03\0\0"[..], "08P01"),
        (&b"\0\0\0\x04"[..], "08P01"),
        (&old[..], "0A000"),
        (&startup(b"database\0x\0")[..], "28000"),
        (&startup(b"user\0me\0replication\0true\0")[..], "0A000"),
        (&startup(b"user\0me\0nothing\0x\0")[..], "42704"),
        (&startup(b"user\0\xff\0")[..], "22021"),
        (&startup(b"user")[..], "08P01"),
    ] {
        let mut socket = TcpStream::connect(door.address).await.unwrap();
        socket.write_all(bytes).await.unwrap();
        let heard = to_the_end(socket).await;
        assert!(heard.contains(told) && heard.contains("FATAL"), "{bytes:?}: {heard}");
    }
    assert_eq!(texts(&client, "SELECT 1").await, ["1"]);
}

/// Scenario: messages of no kind, of great length, that are cut, and that say
/// less than they should.
/// Guarantees: S14, S18: the connection is told and closed before anything is
/// allocated for it; the session next to it goes on.
#[tokio::test]
async fn sec_s18_what_is_no_message_is_closed() {
    let door = door(&two_spans().await).await;
    let client = door.connect().await;
    for bytes in [
        b"\0\0\0\0\x04".to_vec(),
        b"Q\x7f\xff\xff\xff".to_vec(),
        b"Q\0\0\0\0".to_vec(),
        message(b'Q', b"SELECT 1"),
        message(b'B', b"\0\0\xff\xff"),
        message(b'P', b"a\0SELECT 1\0\xff\xff"),
        message(b'D', b"X\0"),
        message(b'E', b"\0"),
        message(b'F', b""),
    ] {
        let mut socket = opened(&door).await;
        socket.write_all(&bytes).await.unwrap();
        let heard = to_the_end(socket).await;
        assert!(heard.contains("08P01") && heard.contains("FATAL"), "{bytes:?}: {heard}");
    }
    assert_eq!(texts(&client, "SELECT 1").await, ["1"]);
}

/// Scenario: a client asks for TLS and for GSS encryption, then goes on without.
/// Guarantees: it is told honestly that there is none, before it says who it is.
#[tokio::test]
async fn encryption_is_refused_before_anything_is_said() {
    let door = door(&two_spans().await).await;
    let mut socket = TcpStream::connect(door.address).await.unwrap();
    for code in [80_877_103u32, 80_877_104] {
        socket.write_all(&[&8u32.to_be_bytes()[..], &code.to_be_bytes()].concat()).await.unwrap();
        assert_eq!(socket.read_u8().await.unwrap(), b'N');
    }
    socket.write_all(&startup(b"user\0me\0")).await.unwrap();
    assert_eq!(socket.read_u8().await.unwrap(), b'R');
}

/// Scenario: a newer minor version, with an extension.
/// Guarantees: the version is negotiated down and the session begins.
#[tokio::test]
async fn newer_versions_are_negotiated() {
    let door = door(&two_spans().await).await;
    let mut socket = TcpStream::connect(door.address).await.unwrap();
    let mut bytes = startup(b"user\0me\0_pq_.x\0on\0");
    bytes[7] = 2;
    socket.write_all(&bytes).await.unwrap();
    assert_eq!(socket.read_u8().await.unwrap(), b'v');
    let mut heard = Vec::new();
    while !heard.ends_with(b"Z\0\0\0\x05I") {
        assert!(socket.read_buf(&mut heard).await.unwrap() > 0);
    }
}

/// Scenario: an error in a batch of extended messages, with more behind it.
/// Guarantees: what follows is not looked at until Sync; then the session goes on.
#[tokio::test]
async fn after_an_error_all_waits_for_sync() {
    let door = door(&two_spans().await).await;
    let mut socket = opened(&door).await;
    let mut bytes = message(b'B', b"\0nothing\0\0\0\0\0\0\0");
    bytes.extend(query("SELECT 'skipped'"));
    bytes.extend(message(b'E', b"\0\0\0\0\0"));
    bytes.extend(message(b'S', b""));
    bytes.extend(query("SELECT 'seen'"));
    socket.write_all(&bytes).await.unwrap();
    let mut heard = Vec::new();
    while heard.windows(6).filter(|window| *window == b"Z\0\0\0\x05I").count() < 2 {
        assert!(socket.read_buf(&mut heard).await.unwrap() > 0);
    }
    let heard = String::from_utf8_lossy(&heard);
    assert_eq!(heard.matches("C26000").count(), 1, "{heard}");
    assert!(!heard.contains("skipped") && heard.contains("seen"), "{heard}");
}

/// Scenario: half a message, and a connection that says nothing, while others
/// work.
/// Guarantees: F36, they hold nobody up.
#[tokio::test]
async fn fault_f36_half_open_connections_hold_nobody_up() {
    let door = door(&two_spans().await).await;
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut half = TcpStream::connect(door.address).await.unwrap();
        half.write_all(&[0, 0]).await.unwrap();
        let mut begun = opened(&door).await;
        begun.write_all(b"Q\0\0").await.unwrap();
        held.push((half, begun));
    }
    let client = door.connect().await;
    assert_eq!(texts(&client, "SELECT count(*) FROM spans").await, ["2"]);
}

/// Scenario: more portals and more prepared text than a connection may keep.
/// Guarantees: S12, it is told so, and can go on after closing some.
#[tokio::test]
async fn sec_s12_a_connection_keeps_only_so_much() {
    let door = door(&two_spans().await).await;
    let client = door.connect().await;
    let long = format!("SELECT 1 -- {}", "x".repeat(60_000));
    let mut kept = Vec::new();
    let refused = loop {
        match client.prepare(&long).await {
            Ok(statement) => kept.push(statement),
            Err(error) => break super::told(&error).0,
        }
        assert!(kept.len() < 100);
    };
    assert_eq!(refused, "54000");
    kept.clear();
    client.simple_query("DEALLOCATE ALL").await.unwrap();
    assert!(client.prepare("SELECT 1").await.is_ok());
    // Nothing runs for what is only bound.
    let mut socket = opened(&door).await;
    let mut bytes = query("BEGIN");
    bytes.extend(message(b'P', b"s\0SELECT 1\0\0\0"));
    for number in 0..70 {
        let body = format!("p{number}\0s\0\0\0\0\0\0\0");
        bytes.extend(message(b'B', body.as_bytes()));
    }
    bytes.extend(message(b'S', b""));
    socket.write_all(&bytes).await.unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"Z\0\0\0\x05E") {
        assert!(socket.read_buf(&mut heard).await.unwrap() > 0);
    }
    assert!(String::from_utf8_lossy(&heard).contains("C54000"));
}
