//! Each fault of the faulty store, seen to happen and counted.

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use tokio::time::{Instant, timeout};

use super::{Answer, Fault, Faulty, Op, Rule, body};

const TEXT: &[u8] = b"what was stored, and is longer than a line";

fn at() -> Path {
    Path::from("default/logs/object")
}

async fn create(store: &Faulty, text: &'static [u8]) -> object_store::Result<()> {
    let text = PutPayload::from_static(text);
    store.put_opts(&at(), text, PutMode::Create.into()).await.map(drop)
}

/// A store that one rule breaks, and the sound one beneath.
fn broken(rule: Rule) -> (Faulty, Arc<InMemory>) {
    let sound = Arc::new(InMemory::new());
    let store = Faulty::new(sound.clone(), 1);
    store.rule(rule);
    (store, sound)
}

async fn stored(sound: &InMemory) -> Option<Vec<u8>> {
    let found = sound.get(&at()).await.ok()?;
    Some(found.bytes().await.unwrap().to_vec())
}

/// Scenario: a put meets each fault that a put can meet.
/// Guarantees: what is stored and what is answered are as the fault says, and
/// the fault is on the books.
#[tokio::test(start_paused = true)]
async fn puts_fail_as_told() {
    use Fault::*;
    let soon = Duration::from_secs(7);
    let cases = [
        (Before(Answer::Reset), false, Some(false)),
        (Before(Answer::SlowDown503), false, Some(false)),
        (After(Answer::Internal500), true, Some(false)),
        (Swallowed, false, None),
        (Silent, true, None),
        (Slow(soon), true, Some(true)),
        (Late(soon), true, Some(true)),
        (Lies, false, Some(true)),
        (Twice, true, Some(false)),
        (Lands(2), false, Some(false)),
        (Replaces, true, Some(true)),
    ];
    for (fault, there, answer) in cases {
        let (store, sound) = broken(Rule::new(fault).on(&[Op::Put]));
        let begun = Instant::now();
        let put = timeout(Duration::from_secs(60), create(&store, TEXT)).await;
        assert_eq!(put.ok().map(|put| put.is_ok()), answer, "{fault:?}");
        assert_eq!(stored(&sound).await.is_some(), there, "{fault:?}");
        assert_eq!(store.did(fault.name()), 1, "{fault:?}");
        let waited = begun.elapsed() >= soon;
        assert_eq!(waited, answer.is_none() || matches!(fault, Slow(_) | Late(_)), "{fault:?}");
    }
    let (store, sound) = broken(Rule::new(Replaces).nth(2));
    create(&store, TEXT).await.unwrap();
    create(&store, b"other").await.unwrap();
    assert_eq!(stored(&sound).await.unwrap(), b"other");
    assert!(matches!(create(&store, TEXT).await, Err(Error::AlreadyExists { .. })));
}

/// Scenario: a put fails, other requests follow, and then it arrives.
/// Guarantees: it lands when told, as what it was: a put-if-absent.
#[tokio::test(start_paused = true)]
async fn a_put_lands_later() {
    let (store, sound) = broken(Rule::new(Fault::Lands(2)).on(&[Op::Put]).times(1));
    assert!(create(&store, TEXT).await.is_err());
    assert!(store.head(&at()).await.is_err(), "the first of two");
    assert!(store.head(&at()).await.is_ok(), "the second finds it");
    assert!(create(&store, b"other").await.is_err());
    assert_eq!(stored(&sound).await.unwrap(), TEXT);
}

/// Scenario: gets and lists meet each fault of theirs.
/// Guarantees: the body is as the fault says; a stale list lacks the newest.
#[tokio::test(start_paused = true)]
async fn reads_fail_as_told() {
    let body = async |fault| {
        let (store, sound) = broken(Rule::new(fault).on(Op::READS));
        sound.put(&at(), TEXT.into()).await.unwrap();
        let found = store.get(&at()).await?;
        let tag = found.meta.e_tag.clone();
        Ok::<_, Error>((found.bytes().await?.to_vec(), tag))
    };
    assert!(body(Fault::Cut).await.is_err());
    assert_eq!(body(Fault::Short).await.unwrap().0, TEXT[..TEXT.len() / 2]);
    let flipped = body(Fault::Flips).await.unwrap().0;
    let bits = flipped.iter().zip(TEXT).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>();
    assert_eq!((flipped.len(), bits), (TEXT.len(), 1));
    assert!(String::from_utf8(body(Fault::Lies).await.unwrap().0).unwrap().contains("<Error>"));
    assert_eq!(body(Fault::WrongTag).await.unwrap().1.as_deref(), Some(body::OTHER_TAG));
    assert!(matches!(
        body(Fault::Before(Answer::Denied403)).await,
        Err(Error::PermissionDenied { .. })
    ));
    assert!(matches!(
        body(Fault::Before(Answer::Expired401)).await,
        Err(Error::Unauthenticated { .. })
    ));

    let (store, sound) = broken(Rule::new(Fault::Stale(1)).on(&[Op::List]).times(1));
    for name in ["a", "b", "c"] {
        sound.put(&Path::from(name), TEXT.into()).await.unwrap();
    }
    let names = async || store.list(None).try_collect::<Vec<_>>().await.unwrap().len();
    assert_eq!((names().await, names().await), (2, 3));
    let range = store.get_range(&at(), 0..1).now_or_never().unwrap();
    assert!(matches!(range, Err(Error::NotFound { .. })));
}

/// Scenario: a rule by chance, by seed, and by time; then the store is healed.
/// Guarantees: the same seed strikes the same requests, another seed others,
/// about as many as it should, only while it should; requests are counted.
#[tokio::test(start_paused = true)]
async fn rules_keep_to_seed_and_time() {
    let struck = async |seed| {
        let store = Faulty::new(Arc::new(InMemory::new()), seed);
        store.rule(Rule::new(Fault::Before(Answer::Reset)).chance(0.3));
        let mut struck = Vec::new();
        for n in 0..400 {
            let head = store.head(&Path::from(format!("object-{n}"))).await;
            struck.push(matches!(head, Err(Error::Generic { .. })));
        }
        struck
    };
    let one = struck(1).await;
    assert_eq!(one, struck(1).await);
    assert_ne!(one, struck(2).await);
    let count = one.iter().filter(|struck| **struck).count();
    assert!((80..160).contains(&count), "{count} of 400");

    let second = Duration::from_secs(1);
    let (store, _) = broken(Rule::new(Fault::Before(Answer::Reset)).during(second..second * 3));
    let mut outcomes = Vec::new();
    for _ in 0..4 {
        outcomes.push(matches!(store.head(&at()).await, Err(Error::Generic { .. })));
        tokio::time::sleep(second).await;
    }
    assert_eq!(outcomes, [false, true, true, false]);
    assert_eq!((store.requests(&[Op::Head]), store.busiest(second)), (4, 1));
    assert_eq!((store.busiest(second * 3), store.counts()["refused"]), (3, 2));
    let (store, _) = broken(Rule::new(Fault::Before(Answer::Reset)));
    store.heal();
    create(&store, TEXT).await.unwrap();
}
