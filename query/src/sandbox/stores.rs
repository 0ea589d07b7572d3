//! The object stores that a plan can reach (S20).

use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::execution::object_store::{ObjectStoreRegistry, ObjectStoreUrl};
use object_store::ObjectStore;
use storage::{Place, Source};
use url::Url;

/// Exactly two stores, under names that no statement can spell; no `file://`,
/// no `http://`, and nothing is ever added.
#[derive(Debug)]
pub(crate) struct Stores {
    store: Arc<dyn ObjectStore>,
    stage: Arc<dyn ObjectStore>,
}

const STORE: &str = "cloudsail://store";
const STAGE: &str = "cloudsail://stage";

impl Stores {
    pub fn of(source: &dyn Source) -> Stores {
        Stores { store: source.store(), stage: source.stage() }
    }

    /// The store behind files of a place.
    pub fn at(&self, place: Place) -> &Arc<dyn ObjectStore> {
        match place {
            Place::Store => &self.store,
            Place::Stage => &self.stage,
        }
    }

    pub fn url(place: Place) -> Result<ObjectStoreUrl, DataFusionError> {
        ObjectStoreUrl::parse(match place {
            Place::Store => STORE,
            Place::Stage => STAGE,
        })
    }
}

impl ObjectStoreRegistry for Stores {
    /// Nothing can be registered: the store offered comes back.
    fn register_store(&self, _: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        Some(store)
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>, DataFusionError> {
        match (url.scheme(), url.host_str()) {
            ("cloudsail", Some("store")) => Ok(self.store.clone()),
            ("cloudsail", Some("stage")) => Ok(self.stage.clone()),
            _ => Err(crate::Error::denied("tables are read, files and URLs are not").into()),
        }
    }
}
