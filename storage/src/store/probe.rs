//! `cloudsail doctor`'s look at a store: does it do what a commit relies on?

use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStoreExt, PutMode, PutPayload};

use super::Store;
use crate::Error;

/// Folder of the probes; no tenant's name begins with an underscore.
const FOLDER: &str = "_doctor";

/// Creates an object, is refused the second creation (C4), reads it back and
/// deletes it. `name` must be one that nobody else uses at the same time.
pub async fn probe(store: &Store, name: &str) -> Result<(), Error> {
    let path = Path::from_iter([FOLDER, name]);
    let objects = store.objects();
    let create = || async {
        objects
            .put_opts(&path, PutPayload::from(name.as_bytes().to_vec()), PutMode::Create.into())
            .await
    };
    create().await.map_err(Error::store(format!("{path} could not be written")))?;
    let outcome = async {
        match create().await {
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {}
            Err(error) => {
                return Err(Error::store("a second put of one name failed in a way of its own")(error));
            }
            Ok(_) => {
                return Err(Error::Corrupt(
                    "the store takes a second put-if-absent of one name: two nodes would overwrite each other's commits; use one that honours it".into(),
                ));
            }
        }
        let read = objects.get(&path).await.map_err(Error::store("what was written cannot be read"))?;
        let bytes = read.bytes().await.map_err(Error::store("what was written cannot be read"))?;
        if bytes != name.as_bytes() {
            return Err(Error::Corrupt("the store gives back other bytes than were written".into()));
        }
        Ok(())
    }
    .await;
    objects.delete(&path).await.map_err(Error::store(format!("{path} could not be deleted")))?;
    if let Some(root) = store.local_root() {
        // It stays while another probe is in it, and does no harm.
        std::fs::remove_dir(root.join(FOLDER)).ok();
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: both kinds of store are probed, twice.
    /// Guarantees: C4, they honour put-if-absent; a probe leaves nothing behind.
    #[tokio::test]
    async fn inv_c4_our_stores_pass_their_own_probe() {
        let dir = tempfile::tempdir().unwrap();
        let file = format!("file://{}", dir.path().display());
        for url in [file.as_str(), "memory://"] {
            let store = Store::open(url, &Default::default()).unwrap();
            for _ in 0..2 {
                probe(&store, "one").await.unwrap();
            }
            let left = store.objects().head(&Path::from_iter([FOLDER, "one"])).await;
            assert!(matches!(left, Err(StoreError::NotFound { .. })), "{left:?}");
        }
    }
}
