//! `cloudsail doctor`'s look at a store: does it do what a node relies on?

use std::time::Duration;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use schema::Clock;

use super::Store;
use super::outcome::{Outcome, Refused, outcome};
use super::words::told;

/// Folder of the probes; no tenant's name begins with an underscore.
const FOLDER: &str = "_doctor";

/// Stores refuse what was signed by a clock that is a quarter of an hour off.
const CLOCKS_APART: Duration = Duration::from_secs(60);

/// The right to read an object, and all that comes with it, at S3, Google and Azure.
const READING: &str = "s3:GetObject, storage.objects.get or Storage Blob Data Contributor";

/// One thing that a store was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub step: &'static str,
    pub verdict: Verdict,
    /// What was seen, and what to do about it.
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Well,
    /// A node can work with it, and a human should look.
    Odd,
    Failed,
}

/// Asks for everything that a node will: credentials and listing, what is not
/// there, creating once and only once (C4), reading, parts, the clock,
/// deleting. Ends early where nothing further can go well. `name` must be one
/// that nobody else uses at the same time; what is put is deleted again.
pub async fn probe(store: &Store, name: &str, clock: &dyn Clock) -> Vec<Finding> {
    let objects = store.objects();
    let small = Path::from_iter([FOLDER, name]);
    let large = Path::from_iter([FOLDER, &format!("{name}-parts")]);
    let mut probe = Probe { objects: objects.as_ref(), findings: Vec::new() };
    if probe.list(store).await {
        probe.absent(&small).await;
        if probe.create(&small, name).await {
            probe.create_again(&small, name).await;
            probe.read(&small, name).await;
            probe.clock(&small, clock).await;
        }
        probe.parts(&large).await;
        probe.delete(&[small, large]).await;
    }
    let findings = probe.findings;
    if let Some(root) = store.local_root() {
        // It stays while another probe is in it, and does no harm.
        std::fs::remove_dir(root.join(FOLDER)).ok();
    }
    findings
}

struct Probe<'a> {
    objects: &'a dyn ObjectStore,
    findings: Vec<Finding>,
}

use Verdict::{Failed, Odd, Well};

impl Probe<'_> {
    fn say(&mut self, step: &'static str, verdict: Verdict, text: impl Into<String>) {
        self.findings.push(Finding { step, verdict, text: text.into() });
    }

    /// `needs` is the right at S3, Google and Azure that the step wants.
    fn fail(&mut self, step: &'static str, needs: &str, error: &object_store::Error) {
        let outcome = outcome(error);
        let remedy = match outcome {
            Outcome::Refused(Refused::Permission) => format!("grant {needs}"),
            Outcome::Refused(_) => outcome.remedy().trim_start_matches("; ").to_owned(),
            Outcome::Absent if step != "list" => {
                "the store does not have what it took; do not use it".to_owned()
            }
            _ => "check the address and the network, and try again".to_owned(),
        };
        // The server's own words may have many lines.
        let said = told(error).split_whitespace().collect::<Vec<_>>().join(" ");
        self.say(step, Failed, format!("{remedy} ({said})"));
    }

    /// Whether it is worth going on: whoever may not list may still write.
    async fn list(&mut self, store: &Store) -> bool {
        match self.objects.list(Some(&Path::from(FOLDER))).try_next().await {
            Ok(_) => {
                self.say("list", Well, format!("{} is there, and tells what is in it", store.url()))
            }
            Err(error) => {
                let needs = "s3:ListBucket, storage.objects.list or Storage Blob Data Contributor on the bucket";
                self.fail("list", needs, &error);
                return outcome(&error) == Outcome::Refused(Refused::Permission);
            }
        }
        true
    }

    /// Who may not list is told "denied" of what is not there, and cannot tell
    /// the end of a log from a refusal.
    async fn absent(&mut self, path: &Path) {
        match self.objects.head(path).await {
            Err(error) if outcome(&error) == Outcome::Absent => {
                self.say("absent", Well, "what is not there is said not to be");
            }
            Err(error) => {
                let needs = "s3:ListBucket as well as s3:GetObject: without it the store does not say that an object is absent";
                self.fail("absent", needs, &error);
            }
            Ok(_) => {
                self.say("absent", Odd, format!("{path} was there before; another doctor runs"))
            }
        }
    }

    async fn create(&mut self, path: &Path, content: &str) -> bool {
        match create(self.objects, path, content).await {
            Ok(()) => self.say("put", Well, "takes an object"),
            Err(error) => {
                let needs = "s3:PutObject, storage.objects.create or Storage Blob Data Contributor";
                self.fail("put", needs, &error);
                return false;
            }
        }
        true
    }

    async fn create_again(&mut self, path: &Path, content: &str) {
        match create(self.objects, path, content).await {
            Err(error) if outcome(&error) == Outcome::Taken => {
                self.say("conditional put", Well, "a name is given once: commits are safe");
            }
            Err(error) => self.say(
                "conditional put",
                Failed,
                format!("a second put of one name failed in a way of its own: {}; commits rest on it, use a store that has it", told(&error)),
            ),
            Ok(()) => self.say(
                "conditional put",
                Failed,
                "the store takes a second put-if-absent of one name: two nodes would overwrite each other's commits; use one that honours If-None-Match",
            ),
        }
    }

    async fn read(&mut self, path: &Path, content: &str) {
        let read = async { self.objects.get(path).await?.bytes().await }.await;
        match read {
            Ok(bytes) if bytes == content.as_bytes() => {
                self.say("get", Well, "gives back what was put");
            }
            Ok(_) => self.say("get", Failed, "gives back other bytes than were put; do not use it"),
            Err(error) => self.fail("get", READING, &error),
        }
    }

    /// The store's time of an object that it has just taken, against ours.
    async fn clock(&mut self, path: &Path, clock: &dyn Clock) {
        let now = clock.now_unix_nano();
        let theirs = match self.objects.head(path).await {
            Ok(found) => found.last_modified.timestamp_nanos_opt().unwrap_or(0),
            Err(error) => return self.fail("clock", READING, &error),
        };
        let apart = Duration::from_nanos(now.abs_diff(theirs));
        match apart < CLOCKS_APART {
            true => self.say("clock", Well, "the store's clock and this one agree within a minute"),
            false => self.say(
                "clock",
                Odd,
                format!("the store's clock is {} s {} this one; start NTP: from a quarter of an hour on it refuses what is signed here", apart.as_secs(), if theirs > now { "ahead of" } else { "behind" }),
            ),
        }
    }

    /// An upload in parts that is completed, and one that is given up.
    async fn parts(&mut self, path: &Path) {
        let content = "in parts";
        let done = async {
            let mut upload = self.objects.put_multipart(path).await?;
            upload.put_part(content.into()).await?;
            upload.complete().await?;
            let mut given_up = self.objects.put_multipart(path).await?;
            given_up.put_part("never".into()).await?;
            given_up.abort().await
        };
        if let Err(error) = done.await {
            let needs = "s3:PutObject and s3:AbortMultipartUpload, storage.multipartUploads.* or Storage Blob Data Contributor";
            return self.fail("multipart", needs, &error);
        }
        match self.objects.head(path).await {
            Ok(found) if found.size == content.len() as u64 => {
                self.say("multipart", Well, "takes an object in parts, and lets go of parts");
            }
            Ok(found) => self.say(
                "multipart",
                Failed,
                format!("{} bytes in parts became {}; do not use it", content.len(), found.size),
            ),
            Err(error) => self.fail("multipart", READING, &error),
        }
    }

    /// A node writes without ever deleting; who may not is left with a trace.
    async fn delete(&mut self, paths: &[Path]) {
        let needs = "s3:DeleteObject, storage.objects.delete or Storage Blob Data Contributor";
        for path in paths {
            match self.objects.delete(path).await {
                Ok(()) => {}
                Err(error) if outcome(&error) == Outcome::Absent => {}
                Err(error) if outcome(&error) == Outcome::Refused(Refused::Permission) => {
                    return self.say(
                        "delete",
                        Odd,
                        format!("may not delete: {FOLDER}/ keeps what was tried here, and nothing old can be removed; grant {needs} to the node that is to do that"),
                    );
                }
                Err(error) => return self.fail("delete", needs, &error),
            }
        }
        self.say("delete", Well, "deletes what was put");
    }
}

async fn create(
    objects: &dyn ObjectStore,
    path: &Path,
    content: &str,
) -> Result<(), object_store::Error> {
    let payload = PutPayload::from(content.as_bytes().to_vec());
    objects.put_opts(path, payload, PutMode::Create.into()).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The clock of whatever machine wrote the file.
    #[derive(Debug)]
    struct Now(i64);

    impl Clock for Now {
        fn now_unix_nano(&self) -> i64 {
            self.0
        }
    }

    async fn written_at(store: &Store) -> i64 {
        let path = Path::from("time");
        store.objects().put(&path, "x".into()).await.unwrap();
        store.objects().head(&path).await.unwrap().last_modified.timestamp_nanos_opt().unwrap()
    }

    /// Scenario: both kinds of store of this machine are probed, twice.
    /// Guarantees: C4, they honour put-if-absent, and do all else; a probe
    /// leaves nothing behind.
    #[tokio::test]
    async fn inv_c4_our_stores_pass_their_own_probe() {
        let dir = tempfile::tempdir().unwrap();
        let file = format!("file://{}", dir.path().display());
        for url in [file.as_str(), "memory://"] {
            let store = Store::open(url, &Default::default()).unwrap();
            let clock = Now(written_at(&store).await);
            for _ in 0..2 {
                let findings = probe(&store, "one", &clock).await;
                assert!(findings.iter().all(|f| f.verdict == Well), "{findings:?}");
                let steps: Vec<&str> = findings.iter().map(|f| f.step).collect();
                let all = [
                    "list",
                    "absent",
                    "put",
                    "conditional put",
                    "get",
                    "clock",
                    "multipart",
                    "delete",
                ];
                assert_eq!(steps, all);
            }
            let left: Vec<_> = store.objects().list(None).try_collect().await.unwrap();
            assert_eq!(left.len(), 1, "{left:?}");
        }
    }

    /// Scenario: this machine's clock is an hour behind the store's.
    /// Guarantees: F24: it is told before anything is signed by it, with the remedy.
    #[tokio::test]
    async fn fault_f24_a_skewed_clock_is_told() {
        let store = Store::open("memory://", &Default::default()).unwrap();
        let clock = Now(written_at(&store).await - 3_600_000_000_000);
        let findings = probe(&store, "one", &clock).await;
        let told = findings.iter().find(|f| f.step == "clock").unwrap();
        assert_eq!(told.verdict, Odd);
        assert!(told.text.contains("ahead of") && told.text.contains("NTP"), "{}", told.text);
    }
}
