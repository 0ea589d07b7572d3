//! What `doctor` says of stores that do not do what a node relies on.

use std::collections::BTreeMap;

use object_store::ObjectStoreExt;
use object_store::path::Path;
use schema::Clock;
use storage::store::probe::Verdict;
use storage::store::{Store, probe};

use crate::faulty::{Answer, Fault, Faulty, Op, Rule};
use Verdict::{Failed, Odd, Well};

/// As far as the store is concerned it is now.
#[derive(Debug)]
struct Now(i64);

impl Clock for Now {
    fn now_unix_nano(&self) -> i64 {
        self.0
    }
}

/// What is wrong with a store on which these operations meet a fault.
async fn wrong(fault: Fault, ops: &[Op]) -> BTreeMap<&'static str, (Verdict, String)> {
    let sound = Store::open("memory://", &Default::default()).unwrap();
    let path = Path::from("time");
    sound.objects().put(&path, "x".into()).await.unwrap();
    let now = sound.objects().head(&path).await.unwrap().last_modified;
    let faulty = Faulty::new(sound.objects(), 24);
    faulty.rule(Rule::new(fault).on(ops));
    let store = sound.wrapped(|_| std::sync::Arc::new(faulty.clone()));
    let findings = probe(&store, "one", &Now(now.timestamp_nanos_opt().unwrap())).await;
    assert!(faulty.did(fault.name()) > 0, "{findings:?}");
    let wrong = findings.into_iter().filter(|finding| finding.verdict != Well);
    wrong.map(|finding| (finding.step, (finding.verdict, finding.text))).collect()
}

/// Scenario: credentials may do everything but one: list, put, read, look up,
/// put in parts, delete.
/// Guarantees: F24: each step that fails names the right that it wants, at every
/// provider; the others are found well; who may not delete can still work.
#[tokio::test]
async fn fault_f24_each_missing_right_is_named() {
    const AZURE: &str = "Storage Blob Data Contributor";
    for (ops, fails) in [
        (
            &[Op::List][..],
            &[("list", Failed, ["s3:ListBucket", "storage.objects.list", AZURE])][..],
        ),
        (&[Op::Put], &[("put", Failed, ["s3:PutObject", "storage.objects.create", AZURE])]),
        (&[Op::Get], &[("get", Failed, ["s3:GetObject", "storage.objects.get", AZURE])]),
        (
            &[Op::Head],
            &[
                ("absent", Failed, ["s3:ListBucket", "s3:GetObject", "absent"]),
                ("clock", Failed, ["s3:GetObject", "storage.objects.get", AZURE]),
                ("multipart", Failed, ["s3:GetObject", "storage.objects.get", AZURE]),
            ],
        ),
        (
            &[Op::Part],
            &[(
                "multipart",
                Failed,
                ["s3:AbortMultipartUpload", "storage.multipartUploads", AZURE],
            )],
        ),
        (&[Op::Delete], &[("delete", Odd, ["s3:DeleteObject", "storage.objects.delete", AZURE])]),
    ] {
        let wrong = wrong(Fault::Before(Answer::Denied403), ops).await;
        let steps: Vec<&str> = fails.iter().map(|(step, ..)| *step).collect();
        assert_eq!(wrong.keys().copied().collect::<Vec<_>>(), steps, "{ops:?}: {wrong:?}");
        for (step, verdict, rights) in fails {
            let (found, text) = &wrong[step];
            assert_eq!(found, verdict, "{step}: {text}");
            let named = rights.iter().all(|right| text.contains(right));
            assert!(named && text.contains("grant"), "{step}: {text}");
        }
    }
}

/// Scenario: stores that replace what a conditional put must not, take a put that
/// they do not do, give other bytes, cut bodies, lose what was put in parts.
/// Guarantees: C4, F25, F26: `doctor` fails them and says why, before a node
/// trusts them with a commit.
#[tokio::test]
async fn inv_c4_a_store_that_cannot_be_trusted_fails_its_probe() {
    for (fault, op, step, said) in [
        (Fault::Replaces, Op::Put, "conditional put", "If-None-Match"),
        (Fault::Lies, Op::Put, "get", "does not have"),
        (Fault::Flips, Op::Get, "get", "other bytes"),
        (Fault::Short, Op::Get, "get", "other bytes"),
        (Fault::Lies, Op::Get, "get", "other bytes"),
        (Fault::Lies, Op::Complete, "multipart", "does not have"),
        (Fault::After(Answer::Reset), Op::Put, "put", "try again"),
    ] {
        let wrong = wrong(fault, &[op]).await;
        let (verdict, text) = &wrong.get(step).unwrap_or_else(|| panic!("{fault:?}: {wrong:?}"));
        assert_eq!(*verdict, Failed, "{fault:?}: {text}");
        assert!(text.contains(said), "{fault:?}: {text}");
    }
}
