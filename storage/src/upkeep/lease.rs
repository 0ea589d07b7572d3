//! Which node does what only one should do.
//!
//! ```text
//! _lease/00000000000000000007.json    {"holder": "{log}"}
//! ```
//!
//! The newest generation holds. Each is created if absent, never replaced, so
//! that any store that can hold a Delta log can hold a lease; its holder creates
//! the next while it lives. A generation that has been seen for [`TERM`] without
//! a successor, by the watcher's own monotonic clock, may be succeeded by
//! anyone: no two clocks are compared.
//!
//! A lease only keeps nodes from doing work twice. What is done under it is
//! fenced by the log of the table: a node that wrongly believes that it holds
//! gives up at the first entry that says otherwise.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{
    Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload,
};
use schema::WalId;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::Error;
use crate::store::told;

/// How long a generation holds.
pub const TERM: Duration = Duration::from_secs(60);
/// How old the own one grows before the next.
const RENEW: Duration = Duration::from_secs(20);
/// No tenant's name begins with an underscore.
const FOLDER: &str = "_lease";

#[derive(Debug, Serialize, Deserialize)]
struct Body {
    holder: String,
}

/// The lease as one node sees it.
#[derive(Debug)]
pub struct Lease {
    objects: Arc<dyn ObjectStore>,
    holder: WalId,
    /// The newest generation, since when it is known, and whether it is ours.
    seen: Option<(u64, Instant, bool)>,
}

/// What holding it tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The store's own time, at most [`RENEW`] ago.
    pub store_time: DateTime<Utc>,
}

impl Lease {
    pub fn new(objects: Arc<dyn ObjectStore>, holder: WalId) -> Lease {
        Lease { objects, holder, seen: None }
    }

    /// Takes, keeps or watches the lease. `None`: another node holds it. `now`
    /// is the caller's monotonic clock.
    pub async fn hold(&mut self, now: Instant) -> Result<Option<Held>, Error> {
        let Some((newest, object)) = self.newest().await? else {
            return self.succeed(0, now).await;
        };
        match self.seen {
            Some((known, since, true)) if known == newest && now - since < RENEW => {
                Ok(Some(Held { store_time: object.last_modified }))
            }
            Some((known, _, true)) if known == newest => self.succeed(newest, now).await,
            Some((known, since, false)) if known == newest && now - since >= TERM => {
                tracing::info!(generation = newest, "the holder of the lease is gone; taking over");
                self.succeed(newest, now).await
            }
            Some((known, ..)) if known == newest => Ok(None),
            _ if self.is_own(&object).await? => self.succeed(newest, now).await,
            _ => {
                self.seen = Some((newest, now, false));
                Ok(None)
            }
        }
    }

    /// Creates the next generation; it holds only if it is the newest then: the
    /// name may have been free because it was held and has been swept since.
    async fn succeed(&mut self, last: u64, now: Instant) -> Result<Option<Held>, Error> {
        self.seen = None;
        let generation = last + 1;
        let path = Path::from_iter([FOLDER.to_owned(), format!("{generation:020}.json")]);
        let body = serde_json::to_vec(&Body { holder: self.holder.to_string() })
            .map_err(|error| Error::Internal(format!("a lease is not JSON: {error}")))?;
        let put =
            self.objects.put_opts(&path, PutPayload::from(body), PutMode::Create.into()).await;
        match put {
            Ok(_) => {}
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {
                return Ok(None);
            }
            Err(error) => return Err(Error::store("the lease could not be taken")(error)),
        }
        let listed = self.listed().await?;
        let Some((newest, object)) = listed.last().cloned() else { return Ok(None) };
        if newest != generation {
            return Ok(None);
        }
        self.seen = Some((generation, now, true));
        for (older, object) in &listed {
            if *older < generation
                && let Err(error) = self.objects.delete(&object.location).await
            {
                tracing::debug!(path = %object.location, error = told(&error), "an old lease stays for now");
            }
        }
        Ok(Some(Held { store_time: object.last_modified }))
    }

    /// Whether a generation is this log's, of before a restart.
    async fn is_own(&self, object: &ObjectMeta) -> Result<bool, Error> {
        let unread = || Error::store("the lease could not be read");
        let found = match self.objects.get(&object.location).await {
            Ok(found) => found,
            // Succeeded and swept in between.
            Err(StoreError::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(unread()(error)),
        };
        let bytes = found.bytes().await.map_err(unread())?;
        let body = serde_json::from_slice::<Body>(&bytes);
        Ok(body.is_ok_and(|body| body.holder == self.holder.to_string()))
    }

    async fn newest(&self) -> Result<Option<(u64, ObjectMeta)>, Error> {
        Ok(self.listed().await?.pop())
    }

    /// Every generation, the newest last.
    async fn listed(&self) -> Result<Vec<(u64, ObjectMeta)>, Error> {
        let listed: Result<Vec<ObjectMeta>, _> =
            self.objects.list(Some(&Path::from(FOLDER))).try_collect().await;
        let listed = listed.map_err(Error::store("the lease could not be looked up"))?;
        let generation = |object: ObjectMeta| {
            let name = object.location.filename()?.strip_suffix(".json")?.to_owned();
            Some((name.parse().ok()?, object))
        };
        let mut all: Vec<(u64, ObjectMeta)> = listed.into_iter().filter_map(generation).collect();
        all.sort_by_key(|(generation, _)| *generation);
        Ok(all)
    }
}
