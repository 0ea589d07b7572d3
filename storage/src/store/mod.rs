//! The object store that a URL names, made safe to trust with a commit.
//!
//! Stands at the end of the route in: staged files and log entries go through
//! it. **C4** rests on it: a `Create` that succeeded is durable, and a second
//! one on the same name fails with `AlreadyExists`.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`local`] | [`DurableLocal`](local::DurableLocal): `file://` with fsync, which `object_store`'s own lacks |
//! | [`mod@probe`] | what `doctor` asks of a store |
//! | [`tree`] | the file operations under it, also used by the stage: temp, fsync, publish, fsync the folders |
//!
//! Deliberately not here: S3, GCS and Azure (this build has none), retries
//! (whoever asks knows what an unknown outcome means), caches.

pub mod local;
pub mod probe;
pub mod tree;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use url::Url;

use crate::Error;
use local::DurableLocal;
pub use probe::probe;

/// An open store; clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    url: Url,
    local: Option<Arc<DurableLocal>>,
}

impl Store {
    /// Opens `file:///path` (created when missing) or `memory://` (empty, and
    /// gone with the last clone). `options` are for remote stores.
    pub fn open(url: &str, options: &BTreeMap<String, String>) -> Result<Store, Error> {
        let bad = |why: &str| Err(Error::Settings(format!("store.url {url:?} {why}")));
        let parsed = match Url::parse(url) {
            Ok(parsed) => parsed,
            Err(error) => return bad(&format!("is not a URL ({error}); use file:///path")),
        };
        let local = match parsed.scheme() {
            "file" => match parsed.to_file_path() {
                Ok(path) => Some(Arc::new(DurableLocal::open(&path)?)),
                Err(()) => {
                    return bad("names no absolute path; use three slashes: file:///path");
                }
            },
            "memory" => None,
            "s3" | "s3a" | "gs" | "az" | "azure" | "abfs" | "abfss" => {
                return bad(
                    "names a remote store, which this build does not have yet; use file:///path",
                );
            }
            _ => return bad("has an unknown scheme; use file:///path or memory://"),
        };
        if let Some(option) = options.keys().next() {
            return bad(&format!("takes no options; remove store.options.{option}"));
        }
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

    pub fn url(&self) -> &Url {
        &self.url
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
