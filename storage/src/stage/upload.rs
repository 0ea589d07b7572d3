//! From the stage to a remote store.

use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};

use super::{Stage, Staged};
use crate::store::Store;
use crate::{DataFile, Error, Place, failpoint};

/// Puts every file of a range under its final name; files that were written
/// there in the first place need nothing. Repeating it is fine: a name has one
/// content (C4), so what is there already is what would be put.
pub async fn upload(stage: &Stage, store: &Store, staged: &Staged) -> Result<(), Error> {
    let (from, to) = (stage.objects(), store.objects());
    failpoint::hit("commit_before_upload");
    for file in staged.outputs.iter().flat_map(|output| &output.files) {
        if file.place == Place::Stage {
            copy(from.as_ref(), to.as_ref(), file).await?;
        }
    }
    failpoint::hit("commit_after_upload");
    Ok(())
}

async fn copy(from: &dyn ObjectStore, to: &dyn ObjectStore, file: &DataFile) -> Result<(), Error> {
    let path = file.location()?;
    let read = format!("staged file {path} could not be read");
    let bytes = from.get(&path).await.map_err(Error::store(read.clone()))?;
    let bytes = bytes.bytes().await.map_err(Error::store(read))?;
    let put = to.put_opts(&path, PutPayload::from(bytes), PutMode::Create.into()).await;
    match put {
        Ok(_) => Ok(()),
        // An earlier attempt of ours; a 412 may also answer our own lost one.
        Err(
            object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. },
        ) => {
            let found = to.head(&path).await;
            let found = found.map_err(Error::store(format!("{path} could not be looked up")))?;
            if found.size == file.size {
                return Ok(());
            }
            Err(Error::Corrupt(format!(
                "object {path} has {} bytes, the staged file of that name {}; move the object away and the node uploads it again",
                found.size, file.size
            )))
        }
        Err(error) => Err(Error::store(format!("{path} could not be uploaded"))(error)),
    }
}
