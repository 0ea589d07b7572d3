//! Nodes on real servers: S3 (moto) and Azure (Azurite) on loopback. Google
//! has none that can be had here; its client is only set up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use schema::{Catalog, Clock, ErrorKind, Tenant};
use storage::stage::upload;
use storage::store::probe::Verdict;
use storage::store::{Store, probe};
use storage::table::verify;
use storage::{Reader, Source};
use tokio::task::JoinSet;

use crate::node::{settings, start_on, until};
use crate::programs::{self, BUCKET, Server};
use crate::stage_world::World;
use crate::store_answers::staged;

fn open(url: &str, options: &[(&str, String)]) -> Store {
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
    Store::open(url, &options.collect()).unwrap()
}

/// Two prefixes of one bucket, and what keeps the server alive.
async fn s3() -> Option<(Server, Store, Store)> {
    let server = programs::s3().await?;
    let at = |prefix| open(&format!("s3://{BUCKET}/{prefix}"), &server.s3_options());
    let (one, other) = (at("one/deep"), at("other"));
    Some((server, one, other))
}

async fn azure() -> Option<(Server, Store, Store)> {
    let server = programs::azure().await?;
    let at = |prefix| open(&format!("az://{BUCKET}/{prefix}"), &server.azure_options());
    let (one, other) = (at("one/deep"), at("other"));
    Some((server, one, other))
}

async fn names(store: &Store) -> Vec<String> {
    let listed = store.objects().list(None).map_ok(|object| object.location.to_string());
    let mut names: Vec<String> = listed.try_collect().await.unwrap();
    names.sort();
    names
}

#[derive(Debug)]
struct Now;

impl Clock for Now {
    #[expect(clippy::disallowed_methods, reason = "the server has a clock of its own")]
    fn now_unix_nano(&self) -> i64 {
        chrono::Utc::now().timestamp_nanos_opt().unwrap()
    }
}

/// All that a node wants of a store, and a name with one content.
async fn serves(store: &Store, other: &Store) {
    for _ in 0..2 {
        let findings = probe(store, "doctor", &Now).await;
        assert!(findings.iter().all(|found| found.verdict == Verdict::Well), "{findings:#?}");
    }
    assert_eq!(names(store).await, [""; 0]);
    assert!(store.is_empty().await.unwrap());
    let objects = store.objects();
    for name in ["t/3", "t/1", "t/2"] {
        objects.put(&Path::from(name), name.into()).await.unwrap();
    }
    let after = objects.list_with_offset(Some(&Path::from("t")), &Path::from("t/1"));
    let after: Vec<_> =
        after.map_ok(|object| object.location.to_string()).try_collect().await.unwrap();
    assert_eq!(after, ["t/2", "t/3"], "in order, and after the offset alone");
    assert!(other.is_empty().await.unwrap(), "a prefix is all that is seen of a bucket");
}

/// Scenario: an S3 server is asked for everything that a node needs.
/// Guarantees: C4, and a probe leaves nothing behind; names lie below the prefix.
#[tokio::test]
async fn inv_c4_an_s3_server_gives_a_name_once() {
    let Some((_server, one, other)) = s3().await else { return };
    serves(&one, &other).await;
}

/// Scenario: the same of an Azure server.
/// Guarantees: C4, as above.
#[tokio::test]
async fn inv_c4_an_azure_server_gives_a_name_once() {
    let Some((_server, one, other)) = azure().await else { return };
    serves(&one, &other).await;
}

/// Rows are appended, flushed, and more appended; the storage is dropped
/// without notice and opened again; then read without a node.
async fn lives(store: &Store) {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let node = start_on(store.clone(), settings.clone()).await;
    node.append(0..100).await.unwrap();
    let flushed = node.storage.flush().await.unwrap();
    assert!(flushed.iter().any(|f| f.table == "spans" && f.version.is_some()), "{flushed:?}");
    assert_eq!(node.seen(), (vec![], 100));
    node.append(100..150).await.unwrap();
    drop(node);
    let node = start_on(store.clone(), settings.clone()).await;
    until("the table is loaded", || node.snapshot("spans").incomplete.is_none()).await;
    assert_eq!(node.seen(), ((100..150).collect(), 100));
    node.balanced(150);
    assert_eq!(node.storage.shutdown(Duration::from_secs(60)).await, [""; 0]);
    drop(node);
    let catalog = Arc::new(Catalog::default());
    for name in ["spans", "trace_parts"] {
        let findings = verify(store, &Tenant::default(), catalog.get(name).unwrap()).await;
        assert_eq!(findings.unwrap(), []);
    }
    assert_eq!(rows(store).await, 150);
}

/// Committed spans, as a reader without a node sees them.
async fn rows(store: &Store) -> u64 {
    let catalog = Arc::new(Catalog::default());
    let reader = Reader::open(store.clone(), catalog, Tenant::default()).await.unwrap();
    let snapshot = reader.snapshot(&Tenant::default(), "spans").unwrap();
    snapshot.committed.iter().map(|file| file.rows).sum()
}

/// Scenario: a node lives, dies and lives again on an S3 server.
/// Guarantees: D4, S1, L1: every acked row once, in memory or committed, and
/// what is committed verifies.
#[tokio::test(flavor = "multi_thread")]
async fn inv_d4_a_node_on_s3_brings_back_every_acked_row_once() {
    let Some((_server, one, _)) = s3().await else { return };
    lives(&one).await;
}

/// Scenario: the same on an Azure server.
/// Guarantees: D4, S1, L1, as above.
#[tokio::test(flavor = "multi_thread")]
async fn inv_d4_a_node_on_azure_brings_back_every_acked_row_once() {
    let Some((_server, one, _)) = azure().await else { return };
    lives(&one).await;
}

/// Scenario: two nodes append and flush at once, into the same tables of an S3
/// bucket, starting with their creation.
/// Guarantees: F28, C1: every row of both is there once.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f28_two_nodes_share_a_bucket() {
    const FLUSHES: i64 = 5;
    let Some((_server, one, _)) = s3().await else { return };
    let mut nodes = JoinSet::new();
    for node in 0..2 {
        let store = one.clone();
        nodes.spawn(async move {
            let dir = tempfile::tempdir().unwrap();
            let running = start_on(store, settings(dir.path())).await;
            for flush in 0..FLUSHES {
                let first = (node * FLUSHES + flush) * 10;
                running.append(first..first + 10).await.unwrap();
                running.storage.flush().await.unwrap();
            }
            running.balanced(FLUSHES as u64 * 10);
        });
    }
    nodes.join_all().await;
    assert_eq!(rows(&one).await, 2 * FLUSHES as u64 * 10);
}

/// A file larger than what is put whole, of bytes that differ everywhere.
async fn goes_up_in_parts(store: &Store) {
    let world = World::new(false);
    let stage = world.stage();
    let words = (0..3u32 << 20).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes());
    let mut bytes: Vec<u8> = words.collect();
    bytes.extend_from_within(..(12 << 20) - 5);
    let large = staged(&world, "large", &bytes);
    for _ in 0..2 {
        upload(&stage, store, &large).await.unwrap();
    }
    let path = large.outputs[0].files[0].location().unwrap();
    let back = store.objects().get(&path).await.unwrap().bytes().await.unwrap();
    assert!(back == bytes, "{} bytes of {}", back.len(), bytes.len());
    // The name is another's: nothing is written over it.
    store.objects().put(&path, "another".into()).await.unwrap();
    let error = upload(&stage, store, &large).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(store.objects().head(&path).await.unwrap().size, 7);
}

/// Scenario: a file of 24 MB is uploaded to an S3 server, twice; then its name
/// has another content.
/// Guarantees: C4: the object is the file, the second time changes nothing, and
/// another content is refused, not replaced.
#[tokio::test(flavor = "multi_thread")]
async fn inv_c4_a_large_file_goes_to_s3_in_parts() {
    let Some((_server, one, _)) = s3().await else { return };
    goes_up_in_parts(&one).await;
}

/// Scenario: the same to an Azure server.
/// Guarantees: C4, as above.
#[tokio::test(flavor = "multi_thread")]
async fn inv_c4_a_large_file_goes_to_azure_in_parts() {
    let Some((_server, one, _)) = azure().await else { return };
    goes_up_in_parts(&one).await;
}

/// Scenario: the bucket does not exist; nobody listens; the credentials are
/// missing from what is given.
/// Guarantees: F24: a node starts all the same, takes rows, and says what is
/// wrong; nothing acked is lost.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f24_a_node_outlasts_a_bucket_that_is_not_there() {
    let Some(server) = programs::s3().await else { return };
    let store = open("s3://nowhere/x", &server.s3_options());
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let node = start_on(store, settings.clone()).await;
    node.append(0..10).await.unwrap();
    let error = node.storage.flush().await.unwrap_err().to_string();
    assert!(error.contains("the bucket does not exist"), "{error}");
    assert_eq!(node.seen().1, 10, "staged, and seen");
    assert!(node.storage.ready().is_ok());
    node.balanced(10);
    drop(node);
    let node = start_on(open(&format!("s3://{BUCKET}/x"), &server.s3_options()), settings).await;
    node.storage.flush().await.unwrap();
    assert_eq!(node.seen(), (vec![], 10));
}

/// Scenario: clients of every provider are set up from options and from an
/// environment; wrong values are given.
/// Guarantees: interfaces.md: every scheme opens without asking anybody, names
/// are below the prefix, and an error shows no secret.
#[test]
fn every_provider_is_set_up_without_asking_it() {
    let key = r#"{"private_key": "hunter2", "private_key_id": "i", "client_email": "e", "disable_oauth": true}"#;
    let none = BTreeMap::new();
    let environment = [
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ("AZURE_STORAGE_ACCOUNT_NAME", "lake"),
        ("AZURE_STORAGE_ACCOUNT_KEY", "aHVudGVyMg=="),
        ("GOOGLE_SERVICE_ACCOUNT_KEY", key),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    for url in [
        "s3://bucket",
        "s3a://bucket/a/b",
        "gs://bucket/a",
        "az://container/a",
        "azure://container",
        "abfs://container/a",
        "abfss://container@account.dfs.core.windows.net/a",
    ] {
        let store = Store::open_in(url, &none, &environment).unwrap();
        assert_eq!(store.url().as_str(), url);
        assert!(store.local_root().is_none());
        assert!(!format!("{store:?}").contains("hunter2"), "{store:?}");
    }
    let wrong = |url: &str, key: &str, value: &str| {
        let options = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let error = Store::open_in(url, &options, &environment).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        let said = error.to_string();
        assert!(!said.contains("hunter2"), "{said}");
        said
    };
    assert!(wrong("s3://b", "timeout", "soon").contains("soon"));
    assert!(wrong("s3://b", "aws_endpoint", "http://127.0.0.1:9").contains("allow_http"));
    assert!(wrong("s3://b", "aws_conditional_put", "disabled").contains("commits rest on"));
    assert!(wrong("gs://b", "google_service_account_key", "hunter2").contains("gs://b"));
    assert!(wrong("az://c", "azure_storage_account_key", "hunter2!").contains("az://c"));
}
