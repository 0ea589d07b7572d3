//! One job: merge its files into new ones, on a thread for that.

use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use parking_lot::Mutex;
use schema::{Budget, TableDef, Tenant, WalId};
use tokio_util::sync::CancellationToken;

use super::merge::{Broken, Merge};
use super::plan::Job;
use super::upload::Upload;
use crate::chance::Chance;
use crate::encode::codes::coded_rows;
use crate::encode::parquet::CHUNK;
use crate::encode::{FileWriter, Form};
use crate::hand::Hand;
use crate::{DataFile, Error, Origin, Place, failpoint, table};

/// What is written here is read often and rarely rewritten: 4 % smaller for
/// 10 % of the time (performance.md).
const ZSTD_LEVEL: i32 = 3;
/// A row group that is read takes more than its bytes on the store: a page of each
/// column, and its dictionary. So many times as much all of them may take together;
/// beyond that a job is of fewer files.
const OPENED: u64 = 2;
/// How long one chunk gives way to ingest at most, lest a join never end.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
const WAIT: Duration = Duration::from_millis(20);
/// Small files of a table from which on joining them is what queries wait for.
const MANY: usize = 500;

/// The thread that joins. It outlives a job: what a thread that ends had from the
/// allocator is slow to come back. And it is one: what one that waits its turn had
/// does not come back at all.
#[derive(Debug, Default)]
pub struct Hands(Mutex<Option<(Haste, Arc<Hand>)>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Haste {
    Nice,
    /// A priority that was lowered cannot be raised again without a privilege.
    Urgent,
}

impl Hands {
    /// The one to join where a table has so many small files. Whoever is in haste stays
    /// so until half of [`MANY`] are left.
    fn hand(&self, files: usize) -> Result<Arc<Hand>, Error> {
        let mut hand = self.0.lock();
        let hasty = hand.as_ref().is_some_and(|(haste, _)| *haste == Haste::Urgent);
        let haste = match files >= if hasty { MANY / 2 } else { MANY } {
            true => Haste::Urgent,
            false => Haste::Nice,
        };
        if let Some((known, hand)) = hand.as_ref()
            && *known == haste
        {
            return Ok(hand.clone());
        }
        // The one before ends, once it is idle.
        let name = "cloudsail-join";
        let started = Arc::new(match haste {
            Haste::Nice => Hand::start_nice(name)?,
            Haste::Urgent => Hand::start(name)?,
        });
        *hand = Some((haste, started.clone()));
        Ok(started)
    }
}

/// What every job needs.
#[derive(Debug, Clone)]
pub struct Joiner {
    pub hands: Arc<Hands>,
    pub objects: Arc<dyn ObjectStore>,
    pub budget: Budget,
    /// Bytes that the open row groups of a job may take.
    pub memory_bytes: u64,
    pub wal_id: WalId,
    pub boot: u64,
    /// Small files of the table that has most of them.
    pub waiting: usize,
    pub cancel: CancellationToken,
    pub chance: Chance,
}

/// What a job came to.
#[derive(Debug)]
pub struct Joined {
    /// The files that were joined: those of the job, or of its first runs.
    pub inputs: Vec<Arc<DataFile>>,
    /// The new files.
    pub files: Vec<DataFile>,
    /// The most bytes that rows had in memory at a time.
    pub most_held: usize,
}

impl Joiner {
    /// The new files, whole on the store and named by no entry yet. Decoding
    /// and encoding stay off the I/O runtime.
    pub async fn run(
        &self,
        tenant: &Tenant,
        table: &Arc<TableDef>,
        job: &Job,
    ) -> Result<Joined, Broken> {
        let runtime = tokio::runtime::Handle::current();
        let (this, tenant, table, job) = (self.clone(), tenant.clone(), table.clone(), job.clone());
        self.hands
            .hand(self.waiting)?
            .run(move || runtime.block_on(this.merge(&tenant, &table, &job)))
            .await?
    }

    async fn merge(&self, tenant: &Tenant, table: &TableDef, job: &Job) -> Result<Joined, Broken> {
        let room = self.memory_bytes * OPENED;
        let mut merge = Merge::open(table, self.objects.clone(), &job.runs, room).await?;
        let job = &job.of_first(merge.taken());
        let share = job.rows().div_ceil(job.outputs.max(1) as u64);
        let form = Form {
            zstd_level: ZSTD_LEVEL,
            promoted: std::mem::take(&mut merge.promoted),
            rows: share,
            plain: std::mem::take(&mut merge.plain),
        };
        let origin = self.origin(job)?;
        let mut files = Vec::with_capacity(job.outputs);
        let mut next = merge.next(CHUNK).await?;
        while let Some(first) = next {
            let path = self.path(tenant, table, job.date, origin)?;
            let location = object_store::path::Path::parse(&path)
                .map_err(|error| Error::Internal(format!("{path} is no object path: {error}")))?;
            let mut upload = Upload::new(self.objects.clone(), location);
            let last = files.len() + 1 >= job.outputs;
            let rows = if last { u64::MAX } else { share };
            let written = self.file(table, &form, &mut merge, first, rows, &mut upload).await;
            let encoded = match written {
                Ok(encoded) => encoded,
                Err(broken) => {
                    upload.abort().await;
                    self.discard(&files).await;
                    return Err(broken);
                }
            };
            failpoint::hit("join_before_upload");
            if let Err(error) = upload.finish().await {
                self.discard(&files).await;
                return Err(error.into());
            }
            files.push(DataFile {
                place: Place::Store,
                path,
                size: encoded.size,
                rows: encoded.rows,
                date: job.date,
                stats: encoded.stats,
                origin: Some(origin),
            });
            next = merge.next(CHUNK).await?;
        }
        let (came, went) = (files.iter().map(|file| file.rows).sum::<u64>(), job.rows());
        if came != went {
            self.discard(&files).await;
            let message = format!("a join of {went} rows has {came} (K1); nothing was replaced");
            return Err(Error::Corrupt(message).into());
        }
        let inputs = job.files().cloned().collect();
        Ok(Joined { inputs, files, most_held: merge.most_held() })
    }

    /// Writes one file: `first`, and what follows up to about `rows` rows. It
    /// ends with the last row of a key, so that the ranges of files are disjoint.
    async fn file(
        &self,
        table: &TableDef,
        form: &Form,
        merge: &mut Merge<'_>,
        first: arrow::array::RecordBatch,
        rows: u64,
        upload: &mut Upload,
    ) -> Result<crate::encode::Encoded, Broken> {
        let mut file = FileWriter::new(table, form, &coded_rows(&first)?, Vec::new())?;
        let mut chunk = Some(first);
        let mut written = 0;
        while let Some(rows_now) = chunk {
            if self.cancel.is_cancelled() {
                return Err(Error::Busy("the node is stopping".into()).into());
            }
            self.give_way().await;
            written += rows_now.num_rows() as u64;
            file.write(&rows_now)?;
            upload.write(std::mem::take(file.out())).await?;
            failpoint::hit("join_chunk");
            chunk = match written < rows {
                true => {
                    let left = usize::try_from(rows - written).unwrap_or(usize::MAX);
                    merge.next(CHUNK.min(left)).await?
                }
                false => merge.rest_of_key(CHUNK).await?,
            };
        }
        let encoded = file.finish()?;
        upload.write(std::mem::take(file.out())).await?;
        Ok(encoded)
    }

    /// Lets ingest go first while it needs the memory.
    async fn give_way(&self) {
        let mut waited = Duration::ZERO;
        while self.budget.is_pressed() && waited < LONGEST_WAIT {
            tokio::time::sleep(WAIT).await;
            waited += WAIT;
        }
    }

    /// The stretch of their log that the files came from.
    fn origin(&self, job: &Job) -> Result<Origin, Error> {
        let whole = |all: Option<Origin>, file: &Arc<DataFile>| match (all, file.origin) {
            (None, one) => one,
            (Some(a), Some(b)) if a.wal_id == b.wal_id && !a.is_mixed() && !b.is_mixed() => {
                let (first, last) = (a.first.min(b.first), a.last.max(b.last));
                Some(Origin { wal_id: a.wal_id, first, last })
            }
            _ => Some(Origin::mixed(self.wal_id)),
        };
        let origin = job.files().fold(None, whole);
        origin.ok_or_else(|| Error::Internal("a join of files without origin".into()))
    }

    /// A name that no other attempt has, here or anywhere (C4).
    fn path(
        &self,
        tenant: &Tenant,
        table: &TableDef,
        date: i32,
        Origin { wal_id, first, last }: Origin,
    ) -> Result<String, Error> {
        let partition = table::partition(date)?;
        let chance = self.chance.draw();
        let (boot, name) = (self.boot, table.name);
        let stem = format!("{wal_id}-{boot}-{first}-{last}-{chance:016x}");
        Ok(format!("{tenant}/{name}/{partition}/{stem}.parquet"))
    }

    /// Removes files that no entry will name.
    pub async fn discard(&self, files: &[DataFile]) {
        for file in files {
            let removed = match file.location() {
                Ok(path) => object_store::ObjectStoreExt::delete(&self.objects, &path)
                    .await
                    .map_err(Error::store(format!("{path} could not be removed"))),
                Err(error) => Err(error),
            };
            if let Err(error) = removed {
                tracing::warn!(
                    path = file.path,
                    error = error.told(),
                    "a file that nothing names stays behind; the vacuum removes it"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a table gets files faster than they are joined, then fewer.
    /// Guarantees: the same thread joins as long as its haste is right, of a lower
    /// priority where there is none; haste does not change to and fro about one number.
    #[tokio::test]
    async fn one_thread_joins_with_the_haste_that_is_due() {
        let hands = Hands::default();
        let join = async |files: usize| {
            let work = || (std::thread::current().id(), rustix::process::nice(0).unwrap());
            hands.hand(files).unwrap().run(work).await.unwrap()
        };
        let usual = rustix::process::nice(0).unwrap();
        let nice = join(0).await;
        assert_eq!(nice.1, (usual + 10).min(19));
        assert_eq!(join(MANY - 1).await, nice);
        let urgent = join(MANY).await;
        assert_eq!(urgent.1, usual);
        assert_eq!(join(MANY / 2).await, urgent);
        let again = join(MANY / 2 - 1).await;
        assert_eq!(again.1, nice.1);
        assert!(again.0 != urgent.0 && again.0 != nice.0);
        assert_eq!(join(MANY - 1).await, again);
    }
}
