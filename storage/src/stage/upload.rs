//! From the stage to a remote store.
//!
//! Small files are put whole, if nothing has the name. Large ones go in parts,
//! which no store can make conditional everywhere. That is enough for **C4**:
//! the name holds the log's id and the count of its starts, one node holds the
//! log, and it stages a range once; so whoever writes the name writes these
//! bytes, and an object is seen whole or not at all. What is there already is
//! not written again.

use futures::TryStreamExt;
use futures::stream::FuturesUnordered;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutMode};

use super::{Stage, Staged};
use crate::error::refused;
use crate::store::{Outcome, Store, outcome, told};
use crate::{DataFile, Error, Place, failpoint};

/// The longest file that is put whole. It must pass within the time of one
/// request (30 s), two at once, over a line of 3 Mbit/s.
const WHOLE: u64 = 5 << 20;
/// Every store takes parts from 5 MiB on; each is a request of its own.
const PART: u64 = 5 << 20;
/// Parts of a file that are on their way at once: no more memory than a file
/// that is put whole.
const IN_FLIGHT: usize = 1;

/// Puts every file of a range under its final name; files that were written
/// there in the first place need nothing. Repeating it is fine: a name has one
/// content (C4), so what is there already is what would be put.
pub async fn upload(stage: &Stage, store: &Store, staged: &Staged) -> Result<(), Error> {
    let (from, to) = (stage.objects(), store.objects());
    failpoint::hit("commit_before_upload");
    for file in staged.outputs.iter().flat_map(|output| &output.files) {
        if file.place == Place::Stage {
            let stopping = |_| Error::Busy("the node is stopping".into());
            let _turn = stage.uploads.acquire().await.map_err(stopping)?;
            copy(from.as_ref(), to.as_ref(), file).await?;
        }
    }
    failpoint::hit("commit_after_upload");
    Ok(())
}

async fn copy(from: &dyn ObjectStore, to: &dyn ObjectStore, file: &DataFile) -> Result<(), Error> {
    let path = file.location()?;
    if file.size <= WHOLE {
        let bytes = from.get_range(&path, 0..file.size).await.map_err(unread(&path))?;
        let put = to.put_opts(&path, bytes.into(), PutMode::Create.into()).await;
        // An acknowledged object is looked at when it is committed.
        return match put {
            Ok(_) => Ok(()),
            Err(error) => settle(to, file, &path, unsent(&path)(error)).await,
        };
    }
    if found(to, file, &path).await? {
        return Ok(());
    }
    let mut upload = to.put_multipart(&path).await.map_err(unsent(&path))?;
    if let Err(error) = in_parts(from, upload.as_mut(), file, &path).await {
        // Parts are kept, and paid for, unseen.
        if let Err(left) = upload.abort().await
            && outcome(&left) != Outcome::Absent
        {
            tracing::warn!(%path, error = told(&left), "parts of an upload stay on the store; a lifecycle rule for incomplete uploads removes them");
        }
        return settle(to, file, &path, error).await;
    }
    match found(to, file, &path).await? {
        true => Ok(()),
        false => Err(Error::Corrupt(format!(
            "the store acknowledged {path} and does not have it; ask who keeps it, `cloudsail doctor` tries the same"
        ))),
    }
}

async fn in_parts(
    from: &dyn ObjectStore,
    upload: &mut dyn MultipartUpload,
    file: &DataFile,
    path: &Path,
) -> Result<(), Error> {
    let mut sending = FuturesUnordered::new();
    let mut start = 0;
    while start < file.size {
        if sending.len() == IN_FLIGHT {
            sending.try_next().await.map_err(unsent(path))?;
        }
        let end = file.size.min(start + PART);
        let part = from.get_range(path, start..end).await.map_err(unread(path))?;
        sending.push(upload.put_part(part.into()));
        start = end;
    }
    while sending.try_next().await.map_err(unsent(path))?.is_some() {}
    failpoint::hit("upload_before_complete");
    upload.complete().await.map_err(unsent(path))?;
    Ok(())
}

/// After an error the object tells whether it was one: an earlier attempt may
/// have put it, or this one, whose answer was lost.
async fn settle(
    to: &dyn ObjectStore,
    file: &DataFile,
    path: &Path,
    error: Error,
) -> Result<(), Error> {
    if refused(&error) {
        return Err(error);
    }
    match found(to, file, path).await {
        Ok(true) => Ok(()),
        Err(corrupt @ Error::Corrupt(_)) => Err(corrupt),
        // Trying again meets what is wrong with looking, if it lasts.
        Ok(false) | Err(_) => Err(error),
    }
}

/// Whether the object is there; one of another length is no file of ours.
async fn found(to: &dyn ObjectStore, file: &DataFile, path: &Path) -> Result<bool, Error> {
    match to.head(path).await {
        Ok(found) if found.size == file.size => Ok(true),
        Ok(found) => Err(Error::Corrupt(format!(
            "object {path} has {} bytes, the staged file of that name {}; move the object away and the node uploads it again",
            found.size, file.size
        ))),
        Err(error) if outcome(&error) == Outcome::Absent => Ok(false),
        Err(error) => Err(Error::store(format!("{path} could not be looked up"))(error)),
    }
}

fn unread(path: &Path) -> impl FnOnce(object_store::Error) -> Error {
    Error::store(format!("staged file {path} could not be read"))
}

fn unsent(path: &Path) -> impl FnOnce(object_store::Error) -> Error {
    Error::store(format!("{path} could not be uploaded"))
}
