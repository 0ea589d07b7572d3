//! What a start finds in the stage.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use schema::Catalog;

use super::manifest::{FOLDER, Manifest, State};
use super::{Stage, Staged};
use crate::store::tree::{self, is_temp};
use crate::{Error, Place};

impl Stage {
    /// The staged ranges in position order, after removing every leftover.
    pub(super) fn recover(&self, catalog: &Catalog) -> Result<Vec<Staged>, Error> {
        let own = self.own.tree().root();
        for path in entries(own)?.iter().filter(|path| is_temp(path)) {
            remove(path)?;
        }
        let folder = own.join(FOLDER);
        let mut staged = Vec::new();
        let mut planned = Vec::new();
        for path in entries(&folder)? {
            if is_temp(&path) {
                remove(&path)?;
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let manifest = Manifest::read(&path, self.wal_id)?;
            let home = manifest.is_at_home(own);
            match manifest.state {
                State::Planned(files) => planned.push((path, manifest.root, home, files)),
                State::Staged(range) => {
                    let range = range.into_staged(&path)?;
                    self.check(&range, &manifest.root)?;
                    if catalog.get(&range.table).is_none() {
                        tracing::error!(
                            manifest = %path.display(),
                            table = range.table,
                            "a staged range is of a table that this version does not know; it stays until one does"
                        );
                    }
                    staged.push(range);
                }
            }
        }
        for (path, root, home, files) in planned {
            tracing::info!(plan = %path.display(), home, "removing what an interrupted staging left");
            // The data may have moved since, or the store been another. In a copied
            // folder only what was copied with it is waste (F42).
            let roots = match (home, self.place) {
                (true, _) => vec![root.as_path(), self.files.root()],
                (false, Place::Stage) => vec![self.files.root()],
                (false, Place::Store) => Vec::new(),
            };
            for file in roots.iter().flat_map(|root| files.iter().map(move |file| root.join(file)))
            {
                discard(&file)?;
            }
            remove(&path)?;
        }
        self.discard_copies(&staged)?;
        staged.sort_by_key(|range| (range.first, range.last));
        staged.iter().for_each(|range| self.hold(range));
        Ok(staged)
    }

    /// A range whose files are not there must not pass for staged: the log may
    /// have forgotten its rows.
    fn check(&self, range: &Staged, written_to: &Path) -> Result<(), Error> {
        for file in range.outputs.iter().flat_map(|output| &output.files) {
            let root = match file.place {
                Place::Stage => self.own.tree().root(),
                Place::Store if self.place == Place::Store => self.files.root(),
                Place::Store => Path::new(""),
            };
            let found = std::fs::metadata(root.join(&file.path)).map(|found| found.len());
            let why = match found {
                Ok(size) if size == file.size => continue,
                Ok(size) => format!("has {size} bytes instead of {}", file.size),
                Err(error) => error.to_string(),
            };
            let manifest = range.manifest.display();
            if written_to != root && written_to.join(&file.path).is_file() {
                return Err(Error::Settings(format!(
                    "{manifest} has staged files in {}; set store.url back to that folder until they are committed",
                    written_to.display()
                )));
            }
            return Err(Error::Corrupt(format!(
                "staged file {}: {why}; restore it, or move {manifest} away to start without its rows",
                root.join(&file.path).display()
            )));
        }
        Ok(())
    }

    /// Removes local copies that no range names: committed before a restart.
    fn discard_copies(&self, staged: &[Staged]) -> Result<(), Error> {
        let root = self.own.tree().root();
        let files = staged.iter().flat_map(|range| &range.outputs).flat_map(|o| &o.files);
        let kept: HashSet<PathBuf> = files
            .filter(|file| file.place == Place::Stage)
            .map(|file| root.join(&file.path))
            .collect();
        // Only {tenant}/{table}/date=…/ is ever written: three levels down.
        let mut folders = vec![root.to_owned()];
        for _ in 0..3 {
            let mut below = Vec::new();
            for folder in &folders {
                below.extend(entries(folder)?.into_iter().filter(|path| {
                    path.is_dir() && path.file_name().is_none_or(|name| name != FOLDER)
                }));
            }
            folders = below;
        }
        for folder in folders {
            for path in entries(&folder)? {
                let ours = is_temp(&path) || path.extension().is_some_and(|e| e == "parquet");
                if ours && !kept.contains(&path) {
                    remove(&path)?;
                }
            }
            // Fails on what is not empty, which is the point.
            if std::fs::remove_dir(&folder).is_ok() {
                tracing::debug!(folder = %folder.display(), "removed an empty folder of the stage");
            }
        }
        Ok(())
    }
}

/// Removes a file and every temporary form of it.
pub(super) fn discard(path: &Path) -> Result<(), Error> {
    remove(path)?;
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    for other in entries(folder)? {
        let form = other.file_name().and_then(|other| other.to_str()?.strip_prefix(name.to_str()?));
        if form.is_some() && is_temp(&other) {
            remove(&other)?;
        }
    }
    Ok(())
}

pub(super) fn remove(path: &Path) -> Result<(), Error> {
    tree::remove(path)
        .map_err(Error::disk(format!("leftover {} could not be removed", path.display())))
}

pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let context = || format!("folder {} could not be listed", folder.display());
    let listed = match std::fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        listed => listed.map_err(Error::disk(context()))?,
    };
    listed.map(|entry| Ok(entry.map_err(Error::disk(context()))?.path())).collect()
}
