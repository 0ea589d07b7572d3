//! The local store: what `object_store` promises, and what it does not.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutPayload, RenameOptions,
    RenameTargetMode,
};
use schema::ErrorKind;
use storage::store::Store;

fn open(dir: &std::path::Path) -> Store {
    Store::open(&format!("file://{}", dir.display()), &BTreeMap::new()).unwrap()
}

async fn text(store: &dyn ObjectStore, path: &str) -> String {
    let bytes = store.get(&Path::from(path)).await.unwrap().bytes().await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Scenario: sixteen tasks create the same object at once.
/// Guarantees: C4, exactly one succeeds, the others learn that it exists, and
/// the content is the winner's, also for a later create.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inv_c4_an_object_is_created_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("not/yet/there")).objects();
    let path = Path::from("a/b/c.json");
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..16 {
        let (store, path) = (store.clone(), path.clone());
        tasks.spawn(async move {
            (
                n,
                store
                    .put_opts(&path, PutPayload::from(format!("{n}")), PutMode::Create.into())
                    .await,
            )
        });
    }
    let mut won = Vec::new();
    while let Some(done) = tasks.join_next().await {
        match done.unwrap() {
            (n, Ok(_)) => won.push(n),
            (_, Err(error)) => assert!(matches!(error, Error::AlreadyExists { .. }), "{error}"),
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(text(&store, "a/b/c.json").await, won[0].to_string());
}

/// Scenario: objects are overwritten, copied, renamed and uploaded in parts;
/// a crashed writer has left a temporary file beside them.
/// Guarantees: the contents are right, names that exist are respected, and
/// listings show no temporary file, in the order of names.
#[tokio::test]
async fn writing_by_every_way_and_listing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).objects();
    let (a, b, c) = (Path::from("t/a"), Path::from("t/u/b"), Path::from("t/c"));
    store.put(&a, "one".into()).await.unwrap();
    store.put(&a, "two".into()).await.unwrap();
    store.copy(&a, &b).await.unwrap();
    assert!(matches!(store.copy_if_not_exists(&a, &b).await, Err(Error::AlreadyExists { .. })));
    let keep = RenameOptions { target_mode: RenameTargetMode::Create, ..RenameOptions::default() };
    let taken = store.rename_opts(&a, &b, keep).await;
    assert!(matches!(taken, Err(Error::AlreadyExists { .. })));
    store.rename(&b, &c).await.unwrap();

    let mut upload = store.put_multipart(&b).await.unwrap();
    let parts = ["first ", "second"].map(|part| upload.put_part(part.into()));
    futures::future::try_join_all(parts).await.unwrap();
    assert!(store.get(&b).await.is_err());
    upload.complete().await.unwrap();
    let mut aborted = store.put_multipart(&Path::from("t/never")).await.unwrap();
    aborted.put_part("x".into()).await.unwrap();
    aborted.abort().await.unwrap();

    assert_eq!(text(&store, "t/a").await, "two");
    assert_eq!(text(&store, "t/u/b").await, "first second");
    assert_eq!(text(&store, "t/c").await, "two");
    std::fs::write(dir.path().join("t/a#17"), "torn").unwrap();
    let listed: Vec<String> =
        store.list(None).map_ok(|o| o.location.to_string()).try_collect().await.unwrap();
    assert_eq!(listed, ["t/a", "t/c", "t/u/b"]);
    let after = store.list_with_offset(Some(&"t".into()), &"t/a".into());
    let after: Vec<String> = after.map_ok(|o| o.location.to_string()).try_collect().await.unwrap();
    assert_eq!(after, ["t/c", "t/u/b"]);
    let on_disk = std::fs::read_dir(dir.path().join("t")).unwrap().count();
    assert_eq!(on_disk, 4, "a, a#17, c, u and no other temporary file");
}

/// Scenario: a folder of the store is removed while the store is open.
/// Guarantees: writing there makes it anew.
#[tokio::test]
async fn a_folder_that_went_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).objects();
    store.put(&Path::from("x/y/1"), "1".into()).await.unwrap();
    std::fs::remove_dir_all(dir.path().join("x")).unwrap();
    store.put(&Path::from("x/y/2"), "2".into()).await.unwrap();
    assert_eq!(text(&store, "x/y/2").await, "2");
}

/// Scenario: URLs that cannot be opened.
/// Guarantees: each is refused as a setting, by name, with what to do instead.
#[test]
fn a_url_that_cannot_be_opened_says_what_can() {
    let none = BTreeMap::new();
    for (url, instead) in [
        ("ftp://x", "file:///"),
        ("data", "file:///"),
        ("file://host/x", "file:///"),
        ("s3:///x", "s3://bucket/prefix"),
        ("s3://id:secret@bucket", "environment"),
        ("az://c/p?sig=secret", "azure_storage_sas_key"),
    ] {
        let error = Store::open(url, &none).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let message = error.to_string();
        assert!(message.contains("store.url") && message.contains(instead), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
    let option = BTreeMap::from([("aws_region".to_owned(), "eu".to_owned())]);
    assert!(Store::open("memory://", &option).unwrap_err().to_string().contains("aws_region"));
    let memory = Store::open("memory://", &none).unwrap();
    assert!(memory.local_root().is_none());
}

/// Scenario: a thread asks for ranges of a local object, together and one by one, and
/// for a range that ends the object, while threads of a pool read the disk.
/// Guarantees: the bytes are right, and lie in memory of the thread that asked: what
/// threads of the pool had allocated would stay theirs, once per thread, and that of a
/// joining node grew by it without end.
#[test]
fn what_is_read_is_memory_of_who_asks() {
    const SIZE: usize = 1 << 20;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).objects();
    let path = Path::from("a/b");
    let content: Vec<u8> = (0..SIZE).map(|at| (at % 251) as u8).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    runtime.block_on(store.put(&path, content.clone().into())).unwrap();
    let part = 1_000..SIZE / 2;
    let wanted = [0..1_000, part.start as u64..part.end as u64];

    let mut read = Vec::new();
    let asked = allocation_counter::measure(|| {
        read = runtime.block_on(store.get_ranges(&path, &wanted)).unwrap();
        let one = store.get_range(&path, part.start as u64..part.end as u64);
        read.push(runtime.block_on(one).unwrap());
        let last = GetOptions::new().with_range(Some(GetRange::Suffix(5_000)));
        let last = runtime.block_on(store.get_opts(&path, last)).unwrap();
        read.push(runtime.block_on(last.bytes()).unwrap());
    });
    let expected =
        [&content[..1_000], &content[part.clone()], &content[part], &content[SIZE - 5_000..]];
    assert!(read.iter().eq(expected), "other bytes came");
    let bytes: usize = read.iter().map(Bytes::len).sum();
    assert!(asked.bytes_current >= bytes as i64, "{asked:?} of {bytes} bytes");
}
