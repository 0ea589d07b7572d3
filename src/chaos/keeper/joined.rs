//! What earlier processes and other nodes left, joined with what is known: read
//! at a start until all of it is, and again and again where other nodes write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use experiments::run::State;
use experiments::{Run, RunId};
use query::Engine;
use schema::Tenant;
use storage::Storage;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::super::journal::{Document, DocumentRow, Found, Journal, Versions};
use super::super::runs::Reading;
use super::Keeper;

/// From one try to the next, at first and at most: tables take a moment to load
/// at every start, and a store may be away for hours.
const AGAIN: Duration = Duration::from_millis(100);
const SELDOM: Duration = Duration::from_secs(5);
/// How long a start waits for the store before runs are opened without it.
const AWAY: Duration = Duration::from_secs(3);
/// How often other nodes' runs are looked for, where there are other nodes.
const OTHERS: Duration = Duration::from_secs(15);

type Read = (Versions, Result<Vec<Found>>);

/// Reads in the background: runs are opened, marked and guarded meanwhile.
pub(super) struct Reader {
    storage: Arc<Storage>,
    reading: JoinSet<Read>,
    versions: Versions,
    since: Instant,
    next: Instant,
    pause: Duration,
    whole: bool,
    warned: bool,
    /// Declared while it was read: later than what is found.
    pub declared: BTreeSet<(Tenant, String)>,
    /// The revision of each tenant's document, by name and version.
    pub revisions: BTreeMap<(Tenant, String, String), i64>,
}

impl Reader {
    pub fn new(storage: Arc<Storage>) -> Reader {
        let (since, pause) = (Instant::now(), AGAIN);
        let (reading, versions, declared, revisions) = Default::default();
        let (next, whole, warned) = (since, false, false);
        Reader {
            storage,
            reading,
            versions,
            since,
            next,
            pause,
            whole,
            warned,
            declared,
            revisions,
        }
    }

    /// Whether other nodes keep runs, too.
    pub fn is_shared(&self) -> bool {
        let table = "experiment_window_revisions";
        self.storage.tenants().iter().any(|tenant| self.storage.is_shared(tenant, table))
    }

    /// What is found next. Giving up the wait loses nothing.
    pub async fn next(&mut self, journal: &Journal, engine: &Arc<Engine>) -> Read {
        loop {
            if self.reading.is_empty() {
                sleep_until(self.next).await;
                // Nobody else writes: nothing will be found that is not known.
                if self.whole && !self.is_shared() {
                    self.next = Instant::now() + OTHERS;
                    continue;
                }
                self.declared.clear();
                let (journal, engine) = (journal.clone(), engine.clone());
                let (tenants, versions) = (self.storage.tenants(), self.versions.clone());
                self.reading.spawn(read(journal, engine, tenants, versions));
            }
            match self.reading.join_next().await {
                Some(Ok(read)) => return read,
                Some(Err(error)) => {
                    tracing::error!(%error, "reading runs broke off; please report it");
                    self.next = Instant::now() + SELDOM;
                }
                None => {}
            }
        }
    }

    pub async fn stop(mut self) {
        self.reading.shutdown().await;
    }
}

async fn read(
    journal: Journal,
    engine: Arc<Engine>,
    tenants: BTreeSet<Tenant>,
    mut versions: Versions,
) -> Read {
    let mut all = Vec::new();
    for tenant in tenants {
        match journal.found(&engine, &tenant, &mut versions).await {
            Ok(found) => all.push(found),
            Err(error) => return (versions, Err(error)),
        }
    }
    (versions, Ok(all))
}

impl Keeper {
    /// Joins what was read with what is known.
    pub(super) fn join(&mut self, (versions, found): Read) {
        self.reader.versions = versions;
        let before = self.runs.reading();
        let all = match found {
            Ok(all) => all,
            Err(error) => {
                tracing::debug!("the runs cannot be read yet: {error:#}");
                Vec::new()
            }
        };
        let whole = !all.is_empty() && all.iter().all(|found| found.whole);
        let shared = self.reader.is_shared();
        let mut elsewhere = BTreeMap::new();
        let mut kept = 0;
        for found in all {
            self.documents(&found);
            for (run, node) in found.runs {
                match node.filter(|node| shared && *node != self.journal.node_id) {
                    Some(node) => self.theirs(run, node, &mut elsewhere),
                    None => kept += usize::from(self.ours(run)),
                }
            }
        }
        self.runs.change(|known| match whole {
            true => known.elsewhere = elsewhere,
            false => known.elsewhere.extend(elsewhere),
        });
        if kept > 0 {
            tracing::info!(runs = kept, "the runs of the last process are taken up");
        }
        self.pace(before, whole);
    }

    /// When it is read again, and what may be said meanwhile.
    fn pace(&mut self, before: Reading, whole: bool) {
        let reader = &mut self.reader;
        let now = Instant::now();
        if whole {
            if before != Reading::Whole {
                self.judge.again();
                self.publisher.catch_up(self.runs.all());
            }
            (reader.pause, reader.next, reader.whole) = (AGAIN, now + OTHERS, true);
            return self.runs.read(Reading::Whole);
        }
        reader.next = now + if before == Reading::Whole { OTHERS } else { reader.pause };
        reader.pause = (reader.pause * 2).min(SELDOM);
        let away = now.duration_since(reader.since) >= AWAY;
        if before == Reading::Begun && away && !reader.warned {
            reader.warned = true;
            tracing::warn!(
                "the object store is away: runs are opened and guarded without what it knows of earlier ones"
            );
        }
        self.runs.read(match before {
            Reading::Begun if !away => Reading::Begun,
            Reading::Begun => Reading::Local,
            known => known,
        });
    }

    fn documents(&mut self, found: &Found) {
        let Reader { declared, revisions, .. } = &mut self.reader;
        self.runs.change(|known| {
            for Document { name, version, revision, experiment } in &found.documents {
                let (tenant, name) = (found.tenant.clone(), name.clone());
                revisions.insert((tenant.clone(), name.clone(), version.clone()), *revision);
                let key = (tenant, name);
                if !declared.contains(&key) {
                    known.documents.insert(key, experiment.clone());
                }
            }
        });
    }

    /// The document of a run as it was declared, once more: the log that has a
    /// live run has its document too, so that the next start guards it without
    /// the store.
    pub(super) fn beside(&self, run: &Run) -> Option<DocumentRow> {
        let experiment = run.experiment.as_ref().filter(|_| !run.state.is_over())?;
        let key = (run.tenant.clone(), run.name.clone(), run.version()?);
        let revision = *self.reader.revisions.get(&key)?;
        let row = self.journal.document(&run.name, experiment).ok()?;
        Some(DocumentRow { revision, ..row })
    }

    /// A run of this node's. True when it was not known.
    fn ours(&mut self, run: Run) -> bool {
        match self.runs.get(&run.tenant, &run.id) {
            None => {
                let key = (run.tenant.clone(), run.id.clone());
                self.runs.change(|all| drop(all.runs.insert(key, Arc::new(run))));
                true
            }
            Some(known) => {
                if self.yields(&known, &run) {
                    self.runs.publish(run);
                }
                false
            }
        }
    }

    /// A run that another node keeps, maybe one that it took over from this one.
    fn theirs(
        &mut self,
        run: Run,
        node: String,
        elsewhere: &mut BTreeMap<(Tenant, RunId), (Arc<Run>, String)>,
    ) {
        let key = (run.tenant.clone(), run.id.clone());
        if let Some(known) = self.runs.get(&key.0, &key.1) {
            if !self.yields(&known, &run) {
                return;
            }
            tracing::warn!(run = %run.id, node, "a run was taken over by another node");
            self.unwritten.remove(&key);
            self.runs.change(|all| drop(all.runs.remove(&key)));
        }
        elsewhere.insert(key, (Arc::new(run), node));
    }

    /// Whether what is known gives way to a row that was found. A stop does not:
    /// what was stopped never reopens, and is written again above that row.
    fn yields(&mut self, known: &Run, found: &Run) -> bool {
        if found.revision <= known.revision {
            return false;
        }
        if known.state != State::Aborted || found.state == State::Aborted {
            return true;
        }
        self.runs.publish(Run { revision: found.revision, ..known.clone() });
        self.unwritten.insert((known.tenant.clone(), known.id.clone()));
        false
    }
}
