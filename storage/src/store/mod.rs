//! The object store that a URL names, made safe to trust with a commit.
//!
//! Stands at the end of the route in: staged files and log entries go through
//! it. **C4** rests on it: a `Create` that succeeded is durable, and a second
//! one on the same name fails with `AlreadyExists`.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`address`] | the URL: what it may be, and how it is shown |
//! | [`local`] | [`DurableLocal`](local::DurableLocal): `file://` with fsync, which `object_store`'s own lacks |
//! | [`options`] | the keys a remote store is opened with, and which of them are secret |
//! | [`mod@outcome`] | what a store's error asks for: the one place that tells them apart |
//! | [`mod@probe`] | what `doctor` asks of a store |
//! | [`ranges`] | bytes of local files, in memory of whoever asks |
//! | `remote` | `s3://`, `gs://`, `az://`: one client that repeats, one that never does |
//! | [`words`] | errors in words, without what a store's documents should not show |
//! | [`tree`] | the file operations under [`local`], also used by the stage: temp, fsync, publish, fsync the folders |
//! | [`whole`] | answers are as long as they say (F25) |
//!
//! Deliberately not here: repeating a conditional put (whoever asks knows what
//! an unknown outcome means), caches.

pub mod address;
pub mod local;
pub mod options;
pub mod outcome;
pub mod probe;
pub mod ranges;
#[cfg(any(feature = "s3", feature = "gs", feature = "az"))]
mod remote;
pub mod tree;
pub mod whole;
pub mod words;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{Attribute, ObjectStore, PutMode, PutOptions, PutPayload};
use url::Url;

use crate::Error;
pub use address::{problems, shown};
use local::DurableLocal;
pub use outcome::{Outcome, outcome};
pub use probe::probe;
pub use whole::{NotWhole, Whole};
pub use words::told;

/// An open store; clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    url: Url,
    local: Option<Arc<DurableLocal>>,
}

impl Store {
    /// Opens a store with these options alone, as [`open_in`](Self::open_in) does.
    pub fn open(url: &str, options: &BTreeMap<String, String>) -> Result<Store, Error> {
        Store::open_in(url, options, &[])
    }

    /// Opens `file:///path` (created when missing), `memory://` (empty, and
    /// gone with the last clone), or what is below a prefix of a bucket:
    /// `s3://bucket/prefix`, `gs://`, `az://container/prefix`. A remote store
    /// is not asked for anything yet. What `options` leave open is taken from
    /// the environment that is given.
    pub fn open_in(
        url: &str,
        options: &BTreeMap<String, String>,
        environment: &[(String, String)],
    ) -> Result<Store, Error> {
        if let Some((_, message)) = problems(url, options).into_iter().next() {
            return Err(Error::Settings(message));
        }
        let parsed = Url::parse(url).map_err(|error| Error::Settings(error.to_string()))?;
        #[cfg(any(feature = "s3", feature = "gs", feature = "az"))]
        if let Some(provider) = options::Provider::of(parsed.scheme()) {
            let objects = remote::open(provider, &parsed, options, environment)?;
            return Ok(Store { objects, url: parsed, local: None });
        }
        let local = match parsed.to_file_path() {
            Ok(path) if parsed.scheme() == "file" => Some(Arc::new(DurableLocal::open(&path)?)),
            _ => None,
        };
        let objects: Arc<dyn ObjectStore> = match &local {
            Some(local) => local.clone(),
            None => Arc::new(InMemory::new()),
        };
        Ok(Store { objects, url: parsed, local })
    }

    /// The objects, named relative to the URL's path.
    pub fn objects(&self) -> Arc<dyn ObjectStore> {
        self.objects.clone()
    }

    /// Where it is. There are no credentials in it.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Writes an object whole, in the place of one that is there. `name` is below
    /// the URL's path; `media` is its type, where the store keeps one.
    pub async fn put(&self, name: &str, media: &'static str, bytes: Bytes) -> Result<(), Error> {
        let path = name.split('/').filter(|part| !part.is_empty()).collect::<ObjectPath>();
        let mut options = PutOptions::from(PutMode::Overwrite);
        if self.local.is_none() {
            options.attributes.insert(Attribute::ContentType, media.into());
        }
        let put = self.objects.put_opts(&path, PutPayload::from(bytes), options).await;
        put.map(drop).map_err(Error::store(format!("{path} could not be written")))
    }

    /// Whether there is any object at all.
    pub async fn is_empty(&self) -> Result<bool, Error> {
        let first = self.objects.list(None).try_next().await;
        let first = first.map_err(Error::store(format!("{} could not be listed", self.url)))?;
        Ok(first.is_none())
    }

    /// The folder behind a `file://` store.
    pub fn local_root(&self) -> Option<&Path> {
        self.local.as_ref().map(|local| local.tree().root())
    }

    /// The same place seen through a wrapper (fault injection, say).
    pub fn wrapped(
        &self,
        wrap: impl FnOnce(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>,
    ) -> Store {
        Store { objects: wrap(self.objects()), url: self.url.clone(), local: self.local.clone() }
    }

    /// The folder's file operations, for a `file://` store.
    pub(crate) fn tree(&self) -> Option<&Arc<tree::Tree>> {
        self.local.as_ref().map(|local| local.tree())
    }
}

/// Objects that are removed by one request, where the store can do so.
pub(crate) const BULK: usize = 1_000;

/// Removes objects; one that is gone already is fine. After an error some are left,
/// and only another attempt tells which.
pub(crate) async fn remove(
    objects: &Arc<dyn ObjectStore>,
    paths: Vec<ObjectPath>,
) -> object_store::Result<()> {
    let paths = stream::iter(paths.into_iter().map(Ok)).boxed();
    let mut removed = objects.delete_stream(paths);
    let mut outcome = Ok(());
    while let Some(one) = removed.next().await {
        match one {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => outcome = outcome.and(Err(error)),
        }
    }
    outcome
}
