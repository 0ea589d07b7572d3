//! The commit loop.
//!
//! An entry is put under the next version's name if nothing is there, and then
//! the log is *read*: what it says happened is what happened (C3), whether the
//! store answered yes, no, or nothing. The loop moves to a higher version only
//! after it has read the entry of the lower one, so an attempt whose answer was
//! lost, even one still on its way, can only ever land on a name that is tried
//! again or found taken. The watermark in it then ends the loop: never twice.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::try_join_all;
use object_store::{ObjectStoreExt, PutMode, PutPayload};
use schema::table::{PARTITION, SCHEMA_VERSION};
use schema::{ErrorKind, Position};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout_at};

use super::log::{self, Add, Line, Metadata, Protocol};
use super::state::{SCHEMA_PROPERTY, State};
use super::{Committed, DeltaTable, Place, columns, load, stats};
use crate::error::refused;
use crate::pace::spread;
use crate::store::{Outcome, outcome};
use crate::{DataFile, Error, Origin, failpoint};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Direct writers of one table (architecture.md).
const WRITERS: u32 = 16;

/// What became of a put, before the log was read.
enum Put {
    Done,
    /// Another entry has the name.
    Taken,
    /// It may be there or not, now or soon.
    Unknown(Error),
}

impl DeltaTable {
    /// Commits files with the watermark `last`, once: files that the log already
    /// has are left out, and nothing is written when it has all of them. An error
    /// of kind `Corrupt` when the watermark covers one that the log never had. On an error of kind `DeadlineExceeded` the outcome is open, and
    /// calling again with the same files settles it.
    pub async fn commit(
        &mut self,
        files: Vec<DataFile>,
        last: Position,
    ) -> Result<Committed, Error> {
        let Some(wal_id) = self.wal_id else {
            return Err(Error::Internal("a table was opened for reading and committed to".into()));
        };
        let deadline = Instant::now() + self.deadline;
        let mut pause = Pause::new(self, last);
        let mut adds: Option<BTreeMap<String, Add>> = None;
        if self.known()?.0.watermark < last {
            match timeout_at(deadline, self.confirm()).await {
                Ok(confirmed) => confirmed?,
                Err(_) => return Err(self.late(None)),
            }
        }
        loop {
            let (state, committed) = self.known()?;
            let fresh = fresh(&files, &self.place, committed)?;
            if state.watermark >= last {
                return Ok(committed.clone());
            }
            if !state.check_writable(&self.place)?.is_empty() {
                self.prepare_until(deadline).await?;
                continue;
            }
            if adds.is_none() {
                match timeout_at(deadline, self.adds(&files, true)).await {
                    Ok(built) => adds = Some(built?),
                    Err(_) => return Err(self.late(None)),
                }
            }
            let adds = adds.iter().flatten();
            let named = |(path, _): &(&String, &Add)| fresh.iter().any(|f| f.path == **path);
            let adds: Vec<Add> = adds.filter(named).map(|(_, add)| add.clone()).collect();
            let millis = adds.iter().map(|add| add.modification_time).max();
            let parameters = json!({"mode": "Append", "partitionBy": format!("[\"{PARTITION}\"]")});
            let mut lines = vec![Line::info("WRITE", parameters, true, millis)];
            lines.push(Line::watermark(wal_id, last));
            lines.extend(adds.into_iter().map(Line::from));

            failpoint::hit("commit_before");
            let landed = |state: &State| state.watermark >= last;
            self.put_then_read(&lines, &mut pause, deadline, landed).await?;
        }
    }

    /// Puts the next entry and reads the log to its end. Whether the entry is
    /// there is what `landed` says of a version once it was read, whatever the
    /// store answered; false means that it is not, or not yet, and the same
    /// entry is to be put again under what is then the next name.
    pub(super) async fn put_then_read(
        &mut self,
        lines: &[Line],
        pause: &mut Pause,
        deadline: Instant,
        landed: impl Fn(&State) -> bool,
    ) -> Result<bool, Error> {
        let version = self.known()?.0.version + 1;
        let asked = Instant::now();
        let put = self.put(version, lines, deadline).await;
        let done = matches!(put, Put::Done);
        match put {
            Put::Done => failpoint::hit("commit_after"),
            // The pause comes before the reading: after it, others have taken the
            // name that it led to (F28).
            Put::Taken => {
                pause.contended(asked.elapsed());
                self.wait(pause, deadline, None).await?;
            }
            Put::Unknown(error) if refused(&error) => return Err(error),
            Put::Unknown(error) => {
                tracing::warn!(
                    table = self.place.prefix,
                    error = error.told(),
                    "a commit's outcome is unknown; reading the log to settle it"
                );
                pause.longest = LONGEST_PAUSE;
                self.wait(pause, deadline, Some(error)).await?;
            }
        }
        // Only under this very name can the entry be.
        let read = self.follow_one(deadline).await?;
        if read && landed(&self.known()?.0) {
            return Ok(true);
        }
        if done && read {
            return Err(self.place.error(
                ErrorKind::Corrupt,
                format!(
                    "the store acknowledged entry {version} and holds another under its name: it does not \
                     honour conditional puts, so no two nodes may write to it"
                ),
            ));
        }
        if done {
            // It could not be read back: the next round finds it, or the cause.
            self.wait(pause, deadline, None).await?;
        } else {
            self.follow(deadline).await?;
        }
        Ok(landed(&self.known()?.0))
    }

    /// Creates the table, or adds the columns it lacks.
    pub(super) async fn prepare(&mut self) -> Result<(), Error> {
        self.prepare_until(Instant::now() + self.deadline).await
    }

    pub(super) async fn prepare_until(&mut self, deadline: Instant) -> Result<(), Error> {
        let mut pause = Pause::new(self, Position::ZERO);
        loop {
            let (version, lines) = match &self.now {
                None => (0, self.create()?),
                Some((state, _)) => {
                    let missing = state.check_writable(&self.place)?;
                    if missing.is_empty() {
                        return Ok(());
                    }
                    let schema = columns::extended(&state.schema(&self.place)?, &missing);
                    let mut metadata =
                        Metadata { schema_string: schema.to_string(), ..state.metadata.clone() };
                    metadata
                        .configuration
                        .insert(SCHEMA_PROPERTY.into(), SCHEMA_VERSION.to_string());
                    let names: Vec<_> = missing.iter().map(|field| field["name"].clone()).collect();
                    let parameters = json!({"columns": json!(names).to_string()});
                    let info = Line::info("ADD COLUMNS", parameters, false, None);
                    (state.version + 1, vec![info, metadata.into()])
                }
            };
            let put = self.put(version, &lines, deadline).await;
            if let Put::Unknown(error) = put {
                if refused(&error) {
                    return Err(error);
                }
                self.wait(&mut pause, deadline, Some(error)).await?;
            }
            match self.now {
                Some(_) => {
                    self.follow(deadline).await?;
                }
                None => {
                    match timeout_at(deadline, self.load()).await {
                        Ok(loaded) => loaded?,
                        Err(_) => return Err(self.late(None)),
                    }
                    if self.now.is_none() {
                        // It is there, or will be, and not in the list yet (F27).
                        self.wait(&mut pause, deadline, None).await?;
                    }
                }
            }
        }
    }

    /// The first entry of a table.
    fn create(&self) -> Result<Vec<Line>, Error> {
        let table = &self.place.table;
        let schema = columns::schema(table).map_err(Error::Internal)?;
        let configuration = [
            (SCHEMA_PROPERTY, SCHEMA_VERSION.to_string()),
            // Promoted columns come late and are what queries prune by.
            ("delta.dataSkippingNumIndexedCols", "-1".to_owned()),
        ];
        let metadata = Metadata {
            id: uuid::Uuid::new_v4().to_string(),
            name: Some(table.name.into()),
            description: Some(table.doc.into()),
            format: json!({"provider": "parquet", "options": {}}),
            schema_string: schema.to_string(),
            partition_columns: vec![PARTITION.into()],
            configuration: configuration.map(|(key, value)| (key.to_owned(), value)).into(),
            created_time: None,
        };
        let protocol = Protocol {
            min_reader_version: 1,
            min_writer_version: 2,
            reader_features: None,
            writer_features: None,
        };
        let info = Line::info("CREATE TABLE", json!({"mode": "ErrorIfExists"}), false, None);
        Ok(vec![info, protocol.into(), metadata.into()])
    }

    /// The files as Adds, by their full path, after a look at each object: no
    /// entry ever names a file that is not there. The store's own time of a
    /// file is its modification time.
    pub(super) async fn adds(
        &self,
        files: &[DataFile],
        data_change: bool,
    ) -> Result<BTreeMap<String, Add>, Error> {
        let add = async |file: &DataFile| {
            let path = self.place.within(file)?;
            let inside = object_store::path::Path::parse(path)
                .map_err(|error| Error::Internal(format!("{path:?} is no path: {error}")))?;
            let found = self.place.objects.head(&inside).await;
            let found = found.map_err(|error| self.place.unreachable(path, error))?;
            if found.size != file.size {
                return Err(Error::Corrupt(format!(
                    "{} has {} bytes on the store and {} were written; restore it from the stage or a copy",
                    file.path, found.size, file.size
                )));
            }
            let date = Some(super::day_text(file.date)?);
            let add = Add {
                path: encode(path),
                partition_values: [(PARTITION.to_owned(), date)].into(),
                size: file.size,
                modification_time: millis(found.last_modified),
                data_change,
                stats: Some(stats::write(file.rows, &file.stats)),
                tags: None,
                deletion_vector: None,
            };
            Ok((file.path.clone(), add))
        };
        Ok(try_join_all(files.iter().map(add)).await?.into_iter().collect())
    }

    async fn put(&self, version: u64, lines: &[Line], deadline: Instant) -> Put {
        let bytes = match log::write(lines) {
            Ok(bytes) => bytes,
            Err(error) => {
                return Put::Unknown(Error::Internal(format!("an entry is not JSON: {error}")));
            }
        };
        let path = log::entry_path(version);
        let put =
            self.place.objects.put_opts(&path, PutPayload::from(bytes), PutMode::Create.into());
        match timeout_at(deadline, put).await {
            Ok(Ok(_)) => Put::Done,
            Ok(Err(source)) => match outcome(&source) {
                // After a collision nobody may have the name: it is read, and tried again.
                Outcome::Taken | Outcome::Collided => Put::Taken,
                _ => {
                    let prefix = &self.place.prefix;
                    let context = format!("entry {version} of table {prefix} could not be put");
                    Put::Unknown(Error::Store { context, source })
                }
            },
            Err(_) => Put::Unknown(self.late(None)),
        }
    }

    /// Reads one entry, if it is there. Whole or not at all, wherever the
    /// caller stops waiting.
    async fn step(&mut self) -> Result<bool, Error> {
        let Some((state, committed)) = &mut self.now else { return Ok(false) };
        let version = state.version + 1;
        let Some(lines) = load::entry(&self.place, version).await? else { return Ok(false) };
        state.apply(&self.place, self.wal_id, version, lines)?;
        *committed = state.committed(&self.place);
        Ok(true)
    }

    /// Reads every entry that has come since; false when there was none.
    pub(super) async fn advance(&mut self) -> Result<bool, Error> {
        let mut moved = false;
        while self.step().await? {
            moved = true;
        }
        Ok(moved)
    }

    /// [`advance`](Self::advance) within a deadline; errors of the store are
    /// left to the next round, which will meet them again if they last.
    pub(super) async fn follow(&mut self, deadline: Instant) -> Result<bool, Error> {
        let outcome = timeout_at(deadline, self.advance()).await;
        match outcome {
            Ok(Err(error)) if error.kind() == ErrorKind::Unavailable => Ok(false),
            Ok(Ok(false)) => match timeout_at(deadline, self.confirm()).await {
                Ok(confirmed) => confirmed.map(|()| false),
                Err(_) => Err(self.late(None)),
            },
            Ok(outcome) => outcome,
            Err(_) => Err(self.late(None)),
        }
    }

    /// Reads back the entry that was just put.
    async fn follow_one(&mut self, deadline: Instant) -> Result<bool, Error> {
        match timeout_at(deadline, self.step()).await {
            Ok(Err(error)) if error.kind() == ErrorKind::Unavailable => Ok(false),
            Ok(outcome) => outcome,
            Err(_) => Err(self.late(None)),
        }
    }

    pub(super) fn known(&self) -> Result<&(State, Committed), Error> {
        self.now.as_ref().ok_or_else(|| Error::Internal("a committer without a table".into()))
    }

    pub(super) async fn wait(
        &self,
        pause: &mut Pause,
        deadline: Instant,
        why: Option<Error>,
    ) -> Result<(), Error> {
        let until = Instant::now() + pause.next();
        if until >= deadline {
            return Err(self.late(why));
        }
        sleep(until - Instant::now()).await;
        Ok(())
    }

    pub(super) fn late(&self, why: Option<Error>) -> Error {
        let why = match why {
            Some(error) => format!(" ({})", error.told()),
            None => String::new(),
        };
        let message = format!(
            "a commit found no end within {:?}{why}; its rows stay staged, trying again settles it",
            self.deadline
        );
        self.place.error(ErrorKind::DeadlineExceeded, message)
    }
}

/// The files of ranges above the watermark. What it covers must have been these
/// very files: otherwise another copy of the log has used their positions (F42),
/// and their rows are not in the table.
fn fresh<'a>(
    files: &'a [DataFile],
    place: &Place,
    committed: &Committed,
) -> Result<Vec<&'a DataFile>, Error> {
    let watermark = committed.watermark;
    let mut fresh = Vec::with_capacity(files.len());
    for file in files {
        match file.origin {
            Some(origin) if origin.last <= watermark && committed.has_had(&file.path) => {}
            Some(origin) if origin.first <= watermark => {
                let (Origin { first, last, .. }, path) = (origin, &file.path);
                let message = format!(
                    "{path} holds positions {first} to {last}, of which those up to {watermark} are committed in other files"
                );
                return Err(place.error(ErrorKind::Corrupt, message));
            }
            _ => fresh.push(file),
        }
    }
    Ok(fresh)
}

/// Growing pauses with full jitter. The seed is the log's id, which is random,
/// so two nodes do not stay in step.
pub(super) struct Pause {
    seed: String,
    attempt: u32,
    longest: Duration,
}

impl Pause {
    pub fn new(table: &DeltaTable, last: Position) -> Pause {
        let log = table.wal_id.map(|id| id.to_string()).unwrap_or_default();
        let seed = format!("{log}{}{last}", table.place.prefix);
        Pause { seed, attempt: 0, longest: LONGEST_PAUSE }
    }

    /// The store is well and others were first: so many as may write to a table
    /// take so long in turn, and who waits for longer never has its own.
    fn contended(&mut self, put: Duration) {
        self.longest = (put * WRITERS).clamp(FIRST_PAUSE, LONGEST_PAUSE);
    }

    fn next(&mut self) -> Duration {
        let longest = (FIRST_PAUSE * 2u32.pow(self.attempt.min(10))).min(self.longest);
        self.attempt += 1;
        spread(longest, (&self.seed, self.attempt))
    }
}

/// An Add's path is a URI. The stage's names need no escape but for the
/// percent sign, which a tenant cannot have either.
pub(super) fn encode(path: &str) -> String {
    path.replace('%', "%25")
}

fn millis(time: DateTime<Utc>) -> i64 {
    time.timestamp_millis()
}
