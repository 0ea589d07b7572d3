//! Answers of a server, from the wire to what a node does next.

use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode};
use schema::{ErrorKind, Position, Tenant};
use storage::error::refused;
use storage::stage::{Output, Staged, upload};
use storage::store::outcome::{Outcome, Refused, outcome};
use storage::store::{Store, told};
use storage::{DataFile, Place};

use crate::stage_world::World;
use crate::store_scripted::{Answer, Asked, Scripted};
use Answer::{Reply, Reset, Silence};

const OBJECT: &str =
    "etag: \"e\"\r\nlast-modified: Wed, 25 Nov 2026 12:00:00 GMT\r\ncontent-length: 4\r\n";
const STARTED: &str = "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><UploadId>u</UploadId></InitiateMultipartUploadResult>";

/// What a conditional put comes to.
async fn put(store: &Store) -> Result<(), object_store::Error> {
    let path = Path::from("a");
    store.objects().put_opts(&path, "four".into(), PutMode::Create.into()).await.map(drop)
}

/// A file of this length in the stage of a world, as a range that is staged.
pub fn staged(world: &World, name: &str, bytes: &[u8]) -> Staged {
    let path = format!("default/logs/date=2026-11-23/{name}.parquet");
    let place = world.stage_dir().join(&path);
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::write(&place, bytes).unwrap();
    let file = DataFile {
        place: Place::Stage,
        path,
        size: bytes.len() as u64,
        rows: 1,
        date: 20_780,
        stats: Default::default(),
        origin: None,
    };
    Staged {
        tenant: Tenant::default(),
        table: "logs".into(),
        first: Position(1),
        last: Position(1),
        counts: Vec::new(),
        received_unix_nano: 1,
        outputs: vec![Output { table: "logs".into(), files: vec![file] }],
        manifest: place,
        bytes: bytes.len() as u64,
    }
}

/// Scenario: a server sends half of the range that it names, once more than of
/// it, and once the whole; asked for one range and for two that lie together.
/// Guarantees: F25: what is not as long as it should be is an error, not a body.
#[tokio::test]
async fn fault_f25_half_a_range_is_no_range() {
    const PART: &str = "etag: \"e\"\r\nlast-modified: Wed, 25 Nov 2026 12:00:00 GMT\r\n\
                        content-range: bytes 0-7/100\r\n";
    for (body, comes) in [("four", false), ("eight is", true), ("nine byte", false)] {
        let server = Scripted::start(move |_| Reply(206, PART, body)).await;
        let (objects, path) = (server.store().objects(), Path::from("a"));
        let one = objects.get_range(&path, 0..8).await;
        let two = objects.get_ranges(&path, &[0..2, 6..8]).await;
        assert_eq!((one.is_ok(), two.is_ok()), (comes, comes), "{body}: {one:?} {two:?}");
        if let Err(error) = one {
            assert!(told(&error).contains("bytes of 8"), "{error:?}");
        }
    }
}

/// Scenario: a conditional put is answered by 409 in the sense of a collision,
/// by 412, by 200 with an error inside, by 500, 503, a closed connection.
/// Guarantees: F26, F7: each means what it means, 200 with an error is no
/// success, and nothing beneath repeats the put.
#[tokio::test]
async fn fault_f26_a_conditional_put_is_sent_once() {
    let error = "<Error><Code>InternalError</Code><Message>again</Message></Error>";
    let collision = "<Error><Code>ConditionalRequestConflict</Code></Error>";
    for (answer, is) in [
        (Reply(409, "", collision), Outcome::Collided),
        (Reply(412, "", "<Error><Code>PreconditionFailed</Code></Error>"), Outcome::Taken),
        (Reply(200, "", error), Outcome::Unknown),
        (Reply(500, "", error), Outcome::Unknown),
        (Reply(503, "", "<Error><Code>SlowDown</Code></Error>"), Outcome::Busy),
        (Reset, Outcome::Unknown),
    ] {
        let given = answer.clone();
        let server = Scripted::start(move |_| given.clone()).await;
        let error = put(&server.store()).await.unwrap_err();
        assert_eq!(outcome(&error), is, "{answer:?}: {error}");
        assert_eq!(server.asked().len(), 1, "{answer:?}");
        assert_eq!(server.asked()[0].target, "/bucket/prefix/a", "below the prefix, by path style");
    }
}

/// Scenario: a read meets 503, a closed connection and 500 before its answer.
/// Guarantees: F22: what may be repeated is, until it goes well.
#[tokio::test]
async fn fault_f22_a_read_is_repeated() {
    let server = Scripted::start(|asked| match asked.nth {
        0 => Reply(503, "", "<Error><Code>SlowDown</Code></Error>"),
        1 => Reset,
        2 => Reply(500, "", ""),
        _ => Reply(200, "etag: \"e\"\r\nlast-modified: Wed, 25 Nov 2026 12:00:00 GMT\r\n", "four"),
    })
    .await;
    let read = server.store().objects().get(&Path::from("a")).await.unwrap();
    assert_eq!(read.bytes().await.unwrap(), "four");
    assert_eq!(server.count("GET"), 4);
}

/// Scenario: a server takes connections and never answers; then it answers the
/// second time.
/// Guarantees: F23: a put ends with an unknown outcome, a read with the second
/// answer; neither waits for ever.
#[tokio::test]
async fn fault_f23_a_black_hole_ends_by_itself() {
    let server = Scripted::start(|asked| match (asked.method.as_str(), asked.nth) {
        ("PUT", _) | (_, 1) => Silence,
        _ => Reply(200, OBJECT, ""),
    })
    .await;
    let store = server.store();
    let error = put(&store).await.unwrap_err();
    assert_eq!(outcome(&error), Outcome::Unknown, "{error}");
    assert_eq!(store.objects().head(&Path::from("a")).await.unwrap().size, 4);
    assert_eq!((server.count("PUT"), server.count("HEAD")), (1, 2));
}

/// Scenario: credentials that are unknown, expired, signed by a wrong clock, or
/// right and not allowed; a bucket that is not there or elsewhere.
/// Guarantees: F24: each is told apart from the wire on, with its remedy, and
/// without the secret.
#[tokio::test]
async fn fault_f24_refusals_are_told_apart_on_the_wire() {
    use Refused::*;
    for (answer, is, kind, remedy) in [
        (
            Reply(403, "", "<Error><Code>InvalidAccessKeyId</Code></Error>"),
            Credentials,
            ErrorKind::Unauthenticated,
            "store.options",
        ),
        (
            Reply(400, "", "<Error><Code>ExpiredToken</Code></Error>"),
            Expired,
            ErrorKind::Unauthenticated,
            "renew",
        ),
        (
            Reply(403, "", "<Error><Code>RequestTimeTooSkewed</Code></Error>"),
            Clock,
            ErrorKind::Unauthenticated,
            "NTP",
        ),
        (
            Reply(403, "", "<Error><Code>AccessDenied</Code></Error>"),
            Permission,
            ErrorKind::Denied,
            "doctor",
        ),
        (Reply(401, "", ""), Credentials, ErrorKind::Unauthenticated, "credentials"),
        (Reply(403, "", ""), Permission, ErrorKind::Denied, "grant"),
        (
            Reply(404, "", "<Error><Code>NoSuchBucket</Code></Error>"),
            Bucket,
            ErrorKind::Unavailable,
            "store.url",
        ),
        (Reply(301, "", ""), Region, ErrorKind::Unavailable, "aws_region"),
    ] {
        let given = answer.clone();
        let server = Scripted::start(move |_| given.clone()).await;
        let store = server.store();
        let error = put(&store).await.unwrap_err();
        assert_eq!(outcome(&error), Outcome::Refused(is), "{answer:?}: {error}");
        let error = store.is_empty().await.unwrap_err();
        let said = error.to_string();
        assert_eq!(error.kind(), kind, "{answer:?}: {said}");
        assert!(refused(&error) && said.contains(remedy), "{answer:?}: {said}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

/// Scenario: credentials come from the machine's identity; the first have
/// expired by the time they are used.
/// Guarantees: F24: the next request fetches new ones and is signed by them;
/// then both clients share them for as long as they hold.
#[tokio::test]
async fn fault_f24_expired_credentials_are_fetched_anew() {
    const OLD: &str = r#"{"AccessKeyId":"old","SecretAccessKey":"hunter2","Token":"t","Expiration":"2020-01-01T00:00:00Z"}"#;
    const NEW: &str = r#"{"AccessKeyId":"new","SecretAccessKey":"hunter2","Token":"t","Expiration":"2100-01-01T00:00:00Z"}"#;
    let server = Scripted::start(|asked| match (asked.target.as_str(), asked.nth) {
        ("/identity", 0) => Reply(200, "", OLD),
        ("/identity", _) => Reply(200, "", NEW),
        _ => Reply(200, "etag: \"e\"\r\nlast-modified: Wed, 25 Nov 2026 12:00:00 GMT\r\n", "four"),
    })
    .await;
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&token, "pod").unwrap();
    let store = server.store_by(&[
        ("aws_container_credentials_full_uri", &format!("{}/identity", server.address())),
        ("aws_container_authorization_token_file", token.path().to_str().unwrap()),
    ]);
    for _ in 0..3 {
        put(&store).await.unwrap();
        store.objects().get(&Path::from("a")).await.unwrap();
    }
    let signed = |asked: &&Asked| asked.target != "/identity";
    let by: Vec<bool> = server
        .asked()
        .iter()
        .filter(signed)
        .map(|asked| asked.headers.contains("credential=new/"))
        .collect();
    assert_eq!(by, [false, true, true, true, true, true]);
    assert_eq!(server.asked().len(), by.len() + 2, "fetched twice");
}

/// Scenario: a small file is put, its answer is an error although the store has
/// it; then the object of that name is another's.
/// Guarantees: F7, F26: the object tells; another content is a human's matter.
#[tokio::test]
async fn fault_f7_an_upload_whose_answer_was_lost_is_found() {
    let world = World::new(false);
    let stage = world.stage();
    let lost = Scripted::start(|asked| match asked.method.as_str() {
        "PUT" => Reply(500, "", ""),
        _ => Reply(200, OBJECT, ""),
    })
    .await;
    upload(&stage, &lost.store(), &staged(&world, "a", b"four")).await.unwrap();
    let error = upload(&stage, &lost.store(), &staged(&world, "b", b"seventeen")).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Corrupt);
    let never = Scripted::start(|asked| match asked.method.as_str() {
        "PUT" => Reply(200, "", "<Error><Code>InternalError</Code></Error>"),
        _ => Reply(404, "", ""),
    })
    .await;
    let error = upload(&stage, &never.store(), &staged(&world, "a", b"four")).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Unavailable, "a 200 with an error inside");
}

/// Scenario: of a large file the second part is refused; later all parts are
/// taken, and the completion answers 200 with an error inside.
/// Guarantees: F5, F26: a half-done upload is aborted and is no success.
#[tokio::test]
async fn fault_f5_a_half_done_upload_is_let_go() {
    let world = World::new(false);
    let stage = world.stage();
    let large = staged(&world, "large", &vec![7; 20 << 20]);
    for complete in [false, true] {
        let server = Scripted::start(move |asked| match asked.method.as_str() {
            "HEAD" => Reply(404, "", ""),
            "POST" if asked.target.contains("uploads") => Reply(200, "", STARTED),
            "POST" => Reply(200, "", "<Error><Code>InvalidPart</Code></Error>"),
            "DELETE" => Reply(204, "", ""),
            _ if !complete && asked.target.contains("partNumber=2") => Reply(400, "", ""),
            _ => Reply(200, "etag: \"e\"\r\n", ""),
        })
        .await;
        // Parts of megabytes take longer than what other tests allow.
        let store = server.store_within("30s");
        let error = upload(&stage, &store, &large).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        let asked = server.asked();
        let aborted = asked.iter().any(|a| a.method == "DELETE" && a.target.contains("uploadId=u"));
        assert!(aborted, "{asked:?}");
        let completions = asked.iter().filter(|a| a.method == "POST").count();
        assert_eq!(completions, if complete { 2 } else { 1 });
    }
}
