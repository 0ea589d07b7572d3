//! Files out, others in: compaction and retention, by the commit's own loop.
//!
//! **K2** a rewrite has no `txn`: whatever it does to files, no watermark moves.
//! It conflicts with nothing but another entry that takes one of its files:
//! appends, and rewrites of other files, only mean that it is put again under
//! the next name. Its outcome is read from the log, by a mark in its
//! `commitInfo` (**C3**).

use std::collections::BTreeSet;
use std::sync::Arc;

use schema::Position;
use schema::table::PARTITION;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::commit::{Pause, encode};
use super::log::{Line, Remove};
use super::state::State;
use super::{Committed, DeltaTable, day_text};
use crate::{DataFile, Error, failpoint};

/// What a rewrite is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The same rows in other files.
    Join,
    /// The rows are to go. `at_millis` is the store's time, since 1970.
    Expire { at_millis: i64 },
}

impl DeltaTable {
    /// Puts one entry that removes and adds these files. `None`, and nothing
    /// is written, when another entry has removed one of them first; the new
    /// files are then named by no version. An error of kind `DeadlineExceeded`
    /// leaves the outcome open: they may be named yet.
    pub async fn rewrite(
        &mut self,
        remove: &[Arc<DataFile>],
        add: Vec<DataFile>,
        why: Why,
    ) -> Result<Option<Committed>, Error> {
        let Some(wal_id) = self.wal_id else {
            return Err(Error::Internal("a table was opened for reading and rewritten".into()));
        };
        if let Some(both) = add.iter().find(|file| remove.iter().any(|r| r.path == file.path)) {
            return Err(Error::Internal(format!("{} was to replace itself", both.path)));
        }
        let deadline = Instant::now() + self.deadline;
        let mut pause = Pause::new(self, Position::ZERO);
        let mark = format!("{wal_id}/{}", uuid::Uuid::new_v4());
        let data_change = why != Why::Join;
        let adds = match timeout_at(deadline, self.adds(&add, data_change)).await {
            Ok(adds) => adds?,
            Err(_) => return Err(self.late(None)),
        };
        self.follow(deadline).await?;
        loop {
            if !self.known()?.0.check_writable(&self.place)?.is_empty() {
                self.prepare_until(deadline).await?;
                continue;
            }
            let (operation, millis) = match why {
                Why::Join => ("OPTIMIZE", adds.values().map(|add| add.modification_time).max()),
                Why::Expire { at_millis } => ("DELETE", Some(at_millis)),
            };
            let Some(removes) = self.removes(remove, data_change, millis)? else {
                // The own entry went unread when a checkpoint stood in for it.
                let state = &self.known()?.0;
                let mut paths = add.iter().map(|file| self.place.within(file));
                let ours = !add.is_empty()
                    && paths.all(|path| path.is_ok_and(|path| state.files.contains_key(path)));
                return Ok(ours.then(|| state.committed(&self.place)));
            };
            let parameters = json!({"predicate": json!(self.days(remove)?).to_string()});
            let mut lines = vec![Line::info(operation, parameters, false, millis).marked(&mark)];
            lines.extend(removes.into_iter().map(Line::from));
            lines.extend(adds.values().cloned().map(Line::from));
            failpoint::hit("rewrite_before");
            let landed = |state: &State| state.operation_id.as_ref() == Some(&mark);
            if self.put_then_read(&lines, &mut pause, deadline, landed).await? {
                failpoint::hit("rewrite_after");
                return Ok(Some(self.known()?.1.clone()));
            }
        }
    }

    /// The files as Removes; `None` when one is not there any more.
    fn removes(
        &self,
        files: &[Arc<DataFile>],
        data_change: bool,
        millis: Option<i64>,
    ) -> Result<Option<Vec<Remove>>, Error> {
        let state = &self.known()?.0;
        let mut removes = Vec::with_capacity(files.len());
        for file in files {
            let path = self.place.within(file)?;
            if !state.files.contains_key(path) {
                return Ok(None);
            }
            removes.push(Remove {
                path: encode(path),
                deletion_timestamp: millis,
                data_change,
                extended_file_metadata: Some(true),
                partition_values: Some([(PARTITION.to_owned(), Some(day_text(file.date)?))].into()),
                size: Some(file.size),
            });
        }
        Ok(Some(removes))
    }

    /// The partitions that files lie in, as predicates.
    fn days(&self, files: &[Arc<DataFile>]) -> Result<Vec<String>, Error> {
        let days: BTreeSet<i32> = files.iter().map(|file| file.date).collect();
        days.into_iter().map(|day| Ok(format!("{PARTITION} = '{}'", day_text(day)?))).collect()
    }
}
