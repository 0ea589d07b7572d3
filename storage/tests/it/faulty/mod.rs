//! An object store that fails as told: by rule, by seed, and on the books.
//!
//! It stands between what is tested and any other store. What a rule strikes is
//! decided by the seed and by what is asked for the how-manieth time, not by
//! the order in which requests come in, so that threads do not change it.
//!
//! | file | what it does |
//! | --- | --- |
//! | `mod.rs` | [`Faulty`]: the wrapper, its counts |
//! | [`rules`] | [`Rule`], [`Fault`]: what goes wrong, where, when |
//! | [`body`] | answers that are not what was stored |
//! | [`dice`] | chance by seed |
//! | [`shows`] | each fault seen to happen |
//!
//! Time is tokio's, so hours of outage cost milliseconds where it is paused.
//! The one exception: `deltalake` reads and checkpoints on threads of its own,
//! while paused time stands still. A request from there is not delayed, and one
//! that would never be answered fails at once, as a client's timeout has it.
//!
//! The tests of the engine read through it as well, and include this folder.

mod body;
mod dice;
mod rules;
mod shows;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::*;
use parking_lot::Mutex;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::Instant;

pub use dice::Dice;
pub use rules::{Answer, Fault, Op, Rule};

/// A wrapped store. Clones share rules and counts.
#[derive(Debug, Clone)]
pub struct Faulty {
    inner: Arc<dyn ObjectStore>,
    seed: u64,
    made: Instant,
    home: ThreadId,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    /// How often each was asked for.
    asked: HashMap<(Op, String), u64>,
    requests: Vec<(Duration, Op)>,
    did: BTreeMap<&'static str, u64>,
    /// Puts on their way, and the requests that arrive before them.
    landing: Vec<(u32, Path, PutPayload, PutOptions)>,
}

impl Faulty {
    pub fn new(inner: Arc<dyn ObjectStore>, seed: u64) -> Faulty {
        Faulty {
            inner,
            seed,
            made: Instant::now(),
            home: std::thread::current().id(),
            state: Arc::default(),
        }
    }

    /// The first rule that strikes is the one that counts.
    pub fn rule(&self, rule: Rule) -> &Faulty {
        self.state.lock().rules.push(rule);
        self
    }

    /// The n-th fault is what the n-th put of a log entry meets; `None`: none.
    pub fn plan(&self, plan: &[Option<Fault>]) {
        for (at, fault) in plan.iter().enumerate() {
            if let Some(fault) = fault {
                let rule = Rule::new(*fault).on(&[Op::Put]).at("*_delta_log/*.json");
                self.rule(rule.nth(at as u64 + 1));
            }
        }
    }

    /// From here on nothing fails; what is on its way still lands.
    pub fn heal(&self) {
        self.state.lock().rules.clear();
    }

    /// How often a fault has struck, by its name.
    pub fn did(&self, name: &str) -> u64 {
        self.state.lock().did.get(name).copied().unwrap_or(0)
    }

    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.state.lock().did.clone()
    }

    /// Requests since the store was made.
    pub fn requests(&self, ops: &[Op]) -> usize {
        self.state.lock().requests.iter().filter(|(_, op)| ops.contains(op)).count()
    }

    /// What was asked for.
    pub fn asked(&self) -> Vec<(Op, String)> {
        self.state.lock().asked.keys().cloned().collect()
    }

    /// The most requests that came within any stretch of so long.
    pub fn busiest(&self, stretch: Duration) -> usize {
        let state = self.state.lock();
        let mut times: Vec<Duration> = state.requests.iter().map(|(at, _)| *at).collect();
        times.sort_unstable();
        let within = |(n, at): (usize, &Duration)| {
            n + 1 - times.partition_point(|earlier| *earlier + stretch <= *at)
        };
        times.iter().enumerate().map(within).max().unwrap_or(0)
    }

    /// A request comes in: it is counted, it travels, and it may go no further.
    async fn arrives(&self, op: Op, at: &Path) -> Result<Option<Fault>> {
        let (slow, fault, landed) = self.meets(op, at);
        for (path, data, opts) in landed {
            // Nobody waits for its answer any more.
            let _ = self.inner.put_opts(&path, data, opts).await;
        }
        self.takes(slow).await;
        match fault {
            Some(Fault::Before(answer)) => Err(answer.error(at)),
            Some(Fault::Swallowed) => self.never(at).await,
            fault => Ok(fault),
        }
    }

    /// What was done is answered, or not.
    async fn answers<T>(&self, fault: Option<Fault>, at: &Path, done: Result<T>) -> Result<T> {
        match fault {
            Some(Fault::After(answer)) => Err(answer.error(at)),
            Some(Fault::Silent) => self.never(at).await,
            Some(Fault::Late(late)) => {
                self.takes(late).await;
                done
            }
            _ => done,
        }
    }

    fn meets(
        &self,
        op: Op,
        at: &Path,
    ) -> (Duration, Option<Fault>, Vec<(Path, PutPayload, PutOptions)>) {
        let since = self.made.elapsed();
        let mut state = self.state.lock();
        let state = &mut *state;
        state.requests.push((since, op));
        let asked = state.asked.entry((op, at.to_string())).or_default();
        *asked += 1;
        let seed = self.seed ^ u64::from(crc32fast::hash(format!("{op:?}{at}{asked}").as_bytes()));
        let mut dice = Dice(seed);
        let (mut slow, mut struck) = (Duration::ZERO, None);
        for rule in &mut state.rules {
            let roll = dice.below(1 << 20) as f64 / f64::from(1 << 20);
            let delay = matches!(rule.fault, Fault::Slow(_));
            if rule.strikes((op, at, since), roll, delay || struck.is_none()) {
                *state.did.entry(rule.fault.name()).or_default() += 1;
                match rule.fault {
                    Fault::Slow(by) => slow += by,
                    fault => struck = Some(fault),
                }
            }
        }
        state.landing.iter_mut().for_each(|(left, ..)| *left = left.saturating_sub(1));
        let landed = state.landing.extract_if(.., |(left, ..)| *left == 0);
        let landed = landed.map(|(_, path, data, opts)| (path, data, opts)).collect();
        (slow, struck, landed)
    }

    async fn takes(&self, time: Duration) {
        if !time.is_zero() && !self.elsewhere() {
            tokio::time::sleep(time).await;
        }
    }

    async fn never<T>(&self, at: &Path) -> Result<T> {
        match self.elsewhere() {
            true => Err(Answer::Reset.error(at)),
            false => std::future::pending().await,
        }
    }

    /// Whether somebody waits on a thread whose time is not the test's.
    fn elsewhere(&self) -> bool {
        let single = Handle::try_current()
            .map_or(true, |handle| handle.runtime_flavor() == RuntimeFlavor::CurrentThread);
        single && std::thread::current().id() != self.home
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        at: &Path,
        data: PutPayload,
        mut opts: PutOptions,
    ) -> Result<PutResult> {
        let fault = self.arrives(Op::Put, at).await?;
        match fault {
            Some(Fault::Lies) => return Ok(PutResult { e_tag: None, version: None }),
            Some(Fault::Lands(later)) => {
                self.state.lock().landing.push((later, at.clone(), data, opts));
                return Err(Answer::Reset.error(at));
            }
            Some(Fault::Twice) => {
                // What became of the first is not told.
                let _ = self.inner.put_opts(at, data.clone(), opts.clone()).await;
            }
            Some(Fault::Replaces | Fault::Overwritten) => opts.mode = PutMode::Overwrite,
            _ => {}
        }
        let mut done = self.inner.put_opts(at, data, opts.clone()).await;
        match fault {
            Some(Fault::Overwritten) => {
                let other = r#"{"commitInfo":{"operation":"WRITE"}}"#;
                done = self.inner.put_opts(at, other.into(), opts).await;
            }
            Some(Fault::WrongTag) => {
                done = done.map(|put| PutResult { e_tag: Some(body::OTHER_TAG.into()), ..put });
            }
            _ => {}
        }
        self.answers(fault, at, done).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let fault = self.arrives(Op::Part, at).await?;
        let begun = self.inner.put_multipart_opts(at, opts).await;
        let upload = self.answers(fault, at, begun).await?;
        Ok(Box::new(Upload { upload, at: at.clone(), store: self.clone() }))
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        let op = if options.head { Op::Head } else { Op::Get };
        let fault = self.arrives(op, at).await?;
        let found = match (self.inner.get_opts(at, options).await, fault) {
            (Ok(found), Some(fault)) => body::bent(found, fault, op, self.seed).await,
            (found, _) => found,
        };
        self.answers(fault, at, found).await
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let mut found = Vec::new();
        for range in ranges {
            let options = GetOptions { range: Some(range.clone().into()), ..GetOptions::default() };
            found.push(self.get_opts(at, options).await?.bytes().await?);
        }
        Ok(found)
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete = move |at: Path| {
            let store = store.clone();
            async move {
                let fault = store.arrives(Op::Delete, &at).await?;
                let done = match fault {
                    Some(Fault::Lies) => Ok(()),
                    _ => store.inner.delete(&at).await,
                };
                store.answers(fault, &at, done).await.map(|()| at)
            }
        };
        paths.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, at) = (self.clone(), prefix.cloned().unwrap_or_default());
        let prefix = prefix.cloned();
        let listed = async move {
            let fault = store.arrives(Op::List, &at).await?;
            let mut all: Vec<ObjectMeta> = store.inner.list(prefix.as_ref()).try_collect().await?;
            if let Some(Fault::Stale(missing)) = fault {
                body::forget_newest(&mut all, missing);
            }
            let all = store.answers(fault, &at, Ok(all)).await?;
            Ok::<_, Error>(stream::iter(all.into_iter().map(Ok)))
        };
        stream::once(listed).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let at = prefix.cloned().unwrap_or_default();
        let fault = self.arrives(Op::List, &at).await?;
        let mut listed = self.inner.list_with_delimiter(prefix).await?;
        if let Some(Fault::Stale(missing)) = fault {
            body::forget_newest(&mut listed.objects, missing);
        }
        self.answers(fault, &at, Ok(listed)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let fault = self.arrives(Op::Copy, to).await?;
        let done = match fault {
            Some(Fault::Lies) => Ok(()),
            _ => self.inner.copy_opts(from, to, options).await,
        };
        self.answers(fault, to, done).await
    }
}

#[derive(Debug)]
struct Upload {
    upload: Box<dyn MultipartUpload>,
    at: Path,
    store: Faulty,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let part = self.upload.put_part(data);
        let (store, at) = (self.store.clone(), self.at.clone());
        async move {
            let fault = store.arrives(Op::Part, &at).await?;
            let done = part.await;
            store.answers(fault, &at, done).await
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let fault = self.store.arrives(Op::Complete, &self.at).await?;
        if fault == Some(Fault::Lies) {
            return Ok(PutResult { e_tag: None, version: None });
        }
        let done = self.upload.complete().await;
        self.store.answers(fault, &self.at, done).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}
