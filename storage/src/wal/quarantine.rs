//! Copies of bytes that could not be read as records, for a human to look at.

use std::collections::BTreeMap;

use schema::Position;

use super::files::QUARANTINE;
use super::{Files, segment};
use crate::Error;

/// All copies together; past it damage is counted and reported, not copied.
const MAX_BYTES: u64 = 64 << 20;

pub(super) struct Quarantine<'a> {
    files: &'a dyn Files,
    held: BTreeMap<String, u64>,
}

impl<'a> Quarantine<'a> {
    pub fn of(files: &'a dyn Files) -> Result<Quarantine<'a>, Error> {
        let failed = Error::disk("write-ahead log folder could not be listed; check the disk");
        let prefix = format!("{QUARANTINE}/");
        let listed = files.list().map_err(failed)?.into_iter();
        let held = listed.filter(|(name, _)| name.starts_with(&prefix)).collect();
        Ok(Quarantine { files, held })
    }

    /// Copies the `length` bytes at `offset` of a segment, once. That the copy
    /// fails must not stop a recovery, so it is reported and no more.
    pub fn keep(
        &mut self,
        segment: Position,
        (offset, length): (u64, u64),
        why: &str,
        bytes: impl FnOnce() -> Result<Vec<u8>, Error>,
    ) {
        let segment = segment::name(segment);
        let name = format!("{QUARANTINE}/{segment}-{offset:x}");
        if self.held.get(&name) == Some(&length) {
            return;
        }
        let full = self.held.values().sum::<u64>() + length > MAX_BYTES;
        let copied =
            if full { Ok(false) } else { bytes().and_then(|bytes| self.copy(&name, &bytes)) };
        match copied {
            Ok(copied) => {
                tracing::error!(segment, offset, length, why, copied, "write-ahead log is damaged");
                self.held.insert(name, if copied { length } else { 0 });
            }
            Err(error) => {
                tracing::error!(segment, offset, length, why, %error, "write-ahead log is damaged, and its bytes could not be copied");
            }
        }
    }

    fn copy(&self, name: &str, bytes: &[u8]) -> Result<bool, Error> {
        let failed = || Error::disk(format!("writing {name} failed"));
        let mut file = self.files.create(name).map_err(failed())?;
        file.write_at(0, bytes).map_err(failed())?;
        file.sync().map_err(failed())?;
        self.files.sync_dir(name).map_err(failed())?;
        Ok(true)
    }
}
