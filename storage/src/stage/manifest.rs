//! The JSON that says what is staged.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use schema::{Door, Position, Tenant, WalId};
use serde::{Deserialize, Serialize};

use super::{Output, Staged};
use crate::Error;
use crate::store::tree::Tree;

/// The folder of manifests; no tenant's name starts with `_`.
pub const FOLDER: &str = "_manifests";
const VERSION: u32 = 1;

/// A manifest as it lies on disk.
#[derive(Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// Of this format.
    version: u32,
    /// The log whose positions these are.
    wal_id: String,
    /// The folder that the paths start from.
    pub root: PathBuf,
    /// Of a plan: which folder it was written into, so that a copy knows that the
    /// files it names are another's (F42).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    folder: Option<String>,
    pub state: State,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Files that may exist, whole or in part; nothing is staged yet.
    Planned(Vec<String>),
    Staged(Range),
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Range {
    tenant: String,
    table: String,
    first: u64,
    last: u64,
    counts: Vec<(String, u64)>,
    received_unix_nano: i64,
    outputs: Vec<Output>,
}

impl Manifest {
    /// `own`: the folder that the plan itself is for.
    pub fn planned(wal_id: WalId, root: &Path, own: &Path, files: Vec<String>) -> Manifest {
        let folder = identity(&own.join(FOLDER));
        Manifest { folder, ..Manifest::new(wal_id, root, State::Planned(files)) }
    }

    /// Whether it lies where it was written: what it names is waste then, and may
    /// else be what its writer has committed.
    pub fn is_at_home(&self, own: &Path) -> bool {
        self.folder.is_none() || self.folder == identity(&own.join(FOLDER))
    }

    pub fn staged(wal_id: WalId, root: &Path, staged: &Staged) -> Manifest {
        let range = Range {
            tenant: staged.tenant.to_string(),
            table: staged.table.clone(),
            first: staged.first.0,
            last: staged.last.0,
            counts: staged.counts.iter().map(|(door, n)| (door.to_string(), *n)).collect(),
            received_unix_nano: staged.received_unix_nano,
            outputs: staged.outputs.clone(),
        };
        Manifest::new(wal_id, root, State::Staged(range))
    }

    fn new(wal_id: WalId, root: &Path, state: State) -> Manifest {
        let (wal_id, root) = (wal_id.to_string(), root.to_owned());
        Manifest { version: VERSION, wal_id, root, folder: None, state }
    }

    /// Writes it durably, in place of an older one.
    pub fn write(&self, tree: &Tree, path: &Path) -> Result<(), Error> {
        let json = serde_json::to_vec(self)
            .map_err(|error| Error::Internal(format!("a manifest is not JSON: {error}")))?;
        tree.replace(path, &json)
            .map_err(Error::disk(format!("manifest {} could not be written", path.display())))
    }

    /// Reads one of this log's; fails on what another log or version wrote.
    pub fn read(path: &Path, wal_id: WalId) -> Result<Manifest, Error> {
        let shown = path.display();
        let json = std::fs::read(path)
            .map_err(Error::disk(format!("manifest {shown} could not be read")))?;
        let broken = |why: &str| {
            Error::Corrupt(format!(
                "manifest {shown} {why}; its rows are in the Parquet files it was written for: \
                 restore it from a copy, or move it out of the folder to start without them"
            ))
        };
        let manifest: Manifest = serde_json::from_slice(&json)
            .map_err(|error| broken(&format!("is broken ({error})")))?;
        if manifest.version != VERSION {
            return Err(Error::Settings(format!(
                "manifest {shown} has format {}, this build reads {VERSION}; start the version that wrote it and let it commit",
                manifest.version
            )));
        }
        if manifest.wal_id != wal_id.to_string() {
            return Err(Error::Settings(format!(
                "manifest {shown} belongs to log {}, not to this node's log {wal_id}; \
                 give this node a stage.dir of its own, or commit the other's rows with `cloudsail adopt`",
                manifest.wal_id
            )));
        }
        Ok(manifest)
    }
}

/// What a folder keeps for life and no copy of it has: its number, and when it was
/// made as far as the file system tells.
fn identity(folder: &Path) -> Option<String> {
    let found = std::fs::metadata(folder).ok()?;
    let made = found.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    Some(format!("{}-{}", found.ino(), made.unwrap_or_default().as_nanos()))
}

impl Range {
    pub fn into_staged(self, manifest: &Path) -> Result<Staged, Error> {
        let bad = |what: &str| {
            Error::Corrupt(format!("manifest {} has no valid {what}", manifest.display()))
        };
        let door = |(name, rows): (String, u64)| {
            let known = Door::ALL.into_iter().find(|door| door.as_str() == name);
            Ok((known.ok_or_else(|| bad("door"))?, rows))
        };
        let bytes = self.outputs.iter().flat_map(|output| &output.files).map(|file| file.size);
        Ok(Staged {
            tenant: Tenant::new(&self.tenant).map_err(|_| bad("tenant"))?,
            table: self.table,
            first: Position(self.first),
            last: Position(self.last),
            counts: self.counts.into_iter().map(door).collect::<Result<_, Error>>()?,
            received_unix_nano: self.received_unix_nano,
            bytes: bytes.sum(),
            outputs: self.outputs,
            manifest: manifest.to_owned(),
        })
    }
}
