//! Staged ranges under the new id of a log that was renewed.

use std::path::{Path, PathBuf};

use schema::WalId;

use super::Staged;
use super::manifest::{FOLDER, Manifest, State};
use super::recover::{discard, entries, remove};
use crate::store::tree::{Publish, Tree};
use crate::{DataFile, Error, Place};

/// Gives what `old` staged the names and manifests of `new`, without the files
/// for tables that have the range already by `committed`: their names stay as the
/// tables tell them. Positions stay: the renewed log's own begin above them.
/// Broken off, it is done again from the start.
pub fn rebrand(
    own: &Tree,
    store: Option<&Tree>,
    (old, new): (WalId, WalId),
    committed: &dyn Fn(&Staged, &str) -> bool,
) -> Result<(), Error> {
    for path in entries(&own.root().join(FOLDER))? {
        if path.extension().is_none_or(|extension| extension != "json") || !named(&path, old) {
            continue;
        }
        let manifest = Manifest::read(&path, old)?;
        let home = manifest.is_at_home(own.root());
        let root = match (&manifest.state, store) {
            (State::Planned(_), _) => manifest.root.clone(),
            (State::Staged(_), Some(store)) => store.root().to_owned(),
            (State::Staged(_), None) => own.root().to_owned(),
        };
        match manifest.state {
            State::Planned(files) => {
                for file in files.iter().filter(|_| home) {
                    discard(&root.join(file))?;
                }
            }
            State::Staged(range) => {
                if let Some(left) = rest(range.into_staged(&path)?, committed) {
                    let renamed = rename(own, store, &left, (old, new))?;
                    Manifest::staged(new, &root, &renamed).write(own, &renamed.manifest)?;
                }
            }
        }
        remove(&path)?;
    }
    Ok(())
}

/// What is not committed of a range yet, if anything; its rows are counted only
/// if they are not.
pub fn rest(mut range: Staged, committed: &dyn Fn(&Staged, &str) -> bool) -> Option<Staged> {
    let done: Vec<bool> =
        range.outputs.iter().map(|output| committed(&range, &output.table)).collect();
    if committed(&range, &range.table) {
        range.counts.clear();
    }
    for (output, _) in range.outputs.iter_mut().zip(done).filter(|(_, done)| *done) {
        output.files.clear();
    }
    range.bytes = range.outputs.iter().flat_map(|o| &o.files).map(|file| file.size).sum();
    let left = range.outputs.iter().any(|output| !output.files.is_empty());
    left.then_some(range)
}

fn rename(
    own: &Tree,
    store: Option<&Tree>,
    staged: &Staged,
    (old, new): (WalId, WalId),
) -> Result<Staged, Error> {
    let mut renamed = staged.clone();
    renamed.manifest = PathBuf::from(renew(&staged.manifest.to_string_lossy(), old, new));
    for file in renamed.outputs.iter_mut().flat_map(|output| &mut output.files) {
        let path = renew(&file.path, old, new);
        let tree = match file.place {
            Place::Stage => own,
            Place::Store => store.unwrap_or(own),
        };
        let (from, to) = (tree.root().join(&file.path), tree.root().join(&path));
        // There already: an earlier attempt came as far as here.
        if !to.is_file() {
            let failed =
                Error::disk(format!("staged file {} could not be renamed", from.display()));
            tree.rename(&from, &to, Publish::Create).map_err(failed)?;
        }
        let origin = file.origin.map(|origin| crate::Origin { wal_id: new, ..origin });
        *file = DataFile { path, origin, ..file.clone() };
    }
    Ok(renamed)
}

/// The last mention of the old id: a tenant's folder may look like one.
fn renew(path: &str, old: WalId, new: WalId) -> String {
    let (old, new) = (old.to_string(), new.to_string());
    match path.rsplit_once(&old) {
        Some((before, after)) => format!("{before}{new}{after}"),
        None => path.to_owned(),
    }
}

fn named(path: &Path, log: WalId) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(&log.to_string()))
}
