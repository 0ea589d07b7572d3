//! A new object, written part by part as its bytes come.

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, PutMode, PutPayload};

use crate::Error;
use crate::store::told;

/// Bytes of a part: above the least that S3 takes, all parts but the last alike.
const PART: usize = 8 << 20;

/// One object on its way. Dropped before [`finish`](Self::finish) it may leave
/// parts behind, which the store's own rule for unfinished uploads removes.
pub struct Upload {
    objects: Arc<dyn ObjectStore>,
    path: Path,
    waiting: Vec<u8>,
    parts: Option<Box<dyn MultipartUpload>>,
}

impl Upload {
    pub fn new(objects: Arc<dyn ObjectStore>, path: Path) -> Upload {
        Upload { objects, path, waiting: Vec::new(), parts: None }
    }

    /// A row group comes at once: its parts are sent from where they are.
    pub async fn write(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        let mut bytes = Bytes::from(bytes);
        while self.waiting.len() + bytes.len() > PART {
            let more = bytes.split_to(PART - self.waiting.len());
            let begun = Bytes::from(std::mem::take(&mut self.waiting));
            self.part(PutPayload::from_iter([begun, more])).await?;
        }
        self.waiting.extend_from_slice(&bytes);
        Ok(())
    }

    /// The object is there on return.
    pub async fn finish(mut self) -> Result<(), Error> {
        let last = std::mem::take(&mut self.waiting);
        let context = format!("{} could not be completed", self.path);
        if self.parts.is_none() {
            let mode = PutMode::Create.into();
            let put = self.objects.put_opts(&self.path, PutPayload::from(last), mode).await;
            return put.map(drop).map_err(Error::store(context));
        }
        self.part(last.into()).await?;
        match &mut self.parts {
            Some(parts) => parts.complete().await.map(drop).map_err(Error::store(context)),
            None => Ok(()),
        }
    }

    /// Leaves nothing behind, if the store lets it.
    pub async fn abort(self) {
        let Some(mut parts) = self.parts else { return };
        if let Err(error) = parts.abort().await {
            tracing::warn!(path = %self.path, error = told(&error), "an upload could not be aborted; the store's rule for unfinished uploads removes its parts");
        }
    }

    async fn part(&mut self, bytes: PutPayload) -> Result<(), Error> {
        let context = || format!("{} could not be written", self.path);
        let parts = match &mut self.parts {
            Some(parts) => parts,
            None => {
                let begun = self.objects.put_multipart_opts(&self.path, Default::default()).await;
                self.parts.insert(begun.map_err(Error::store(context()))?)
            }
        };
        parts.put_part(bytes).await.map_err(Error::store(context()))
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt as _;
    use object_store::memory::InMemory;

    use super::*;

    /// Scenario: objects of no byte, of a few, of just a part, and of many parts
    /// in pieces of odd sizes; one is given up on the way, on memory and on disk.
    /// Guarantees: each is there whole with its bytes in order, none before its
    /// end, and the one that was given up is not there.
    #[tokio::test]
    async fn an_object_of_any_size_is_whole_or_absent() {
        let dir = tempfile::tempdir().unwrap();
        let local = crate::store::local::DurableLocal::open(dir.path()).unwrap();
        let stores: [Arc<dyn ObjectStore>; 2] = [Arc::new(InMemory::new()), Arc::new(local)];
        for objects in stores {
            for size in [0, 5, PART, PART + 1, 2 * PART + 12_345] {
                let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
                let path = Path::from(format!("t/{size}"));
                let mut upload = Upload::new(objects.clone(), path.clone());
                for piece in bytes.chunks(3_000_001) {
                    upload.write(piece.to_vec()).await.unwrap();
                    assert!(objects.head(&path).await.is_err(), "{size}: there too early");
                }
                upload.finish().await.unwrap();
                let read = objects.get(&path).await.unwrap().bytes().await.unwrap();
                assert!(read == bytes, "{size} bytes came back otherwise");
            }
            let path = Path::from("t/gone");
            let mut upload = Upload::new(objects.clone(), path.clone());
            upload.write(vec![0; 2 * PART]).await.unwrap();
            upload.abort().await;
            assert!(objects.head(&path).await.is_err());
        }
    }
}
