//! Writes what was metered as rows of `usage_parts`, through the same sink as
//! all others.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use schema::tables::usage_parts;
use schema::usage::{Counts, Key, Usage};
use schema::{Batch, Budget, Catalog, Clock, Door, Meter, Rows, Sink, Tenant};
use tokio_util::sync::CancellationToken;

/// Time between two writings. What a crash can take of the counts is less than
/// this; a node without traffic writes nothing.
const EVERY: Duration = Duration::from_secs(60);

/// What writing takes.
#[derive(Clone)]
pub struct Writer {
    pub meter: Meter,
    pub sink: Arc<dyn Sink>,
    pub catalog: Arc<Catalog>,
    pub budget: Budget,
    pub clock: Arc<dyn Clock>,
    pub node_id: String,
}

impl Writer {
    /// Writes from time to time until it is cancelled.
    pub async fn run(self, cancel: CancellationToken) -> Result<()> {
        loop {
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                () = tokio::time::sleep(EVERY) => self.write().await,
            }
        }
    }

    /// Writes what was counted since the last time. What cannot be written now
    /// is counted on and written later.
    pub async fn write(&self) {
        let mut tenants: Vec<(Tenant, Vec<(Key, Usage)>)> = Vec::new();
        for (key, usage) in self.meter.take() {
            match tenants.last_mut() {
                Some((tenant, counts)) if *tenant == key.tenant => counts.push((key, usage)),
                _ => tenants.push((key.tenant.clone(), vec![(key, usage)])),
            }
        }
        for (tenant, counts) in tenants {
            if let Err(error) = self.append(tenant, &counts).await {
                tracing::warn!("usage could not be written, it is kept and tried again: {error:#}");
                self.meter.put_back(Counts::from_iter(counts));
            }
        }
    }

    async fn append(&self, tenant: Tenant, counts: &[(Key, Usage)]) -> Result<()> {
        let table = self.catalog.get(usage_parts::NAME);
        let table = table.ok_or_else(|| anyhow!("the catalog has no {}", usage_parts::NAME))?;
        let now = self.clock.now_unix_nano();
        let Some(rows) = usage_parts::rows(table, counts, &self.node_id, now)? else {
            return Ok(());
        };
        let rows = Rows::plain(&table.layout, &rows)?;
        let reservation =
            self.budget.try_reserve(rows.bytes()).ok_or_else(|| anyhow!("no memory left"))?;
        let (table, door) = (table.clone(), Door::Internal);
        let batch = Batch { tenant, table, door, rows, reservation };
        match self.sink.append(batch).await {
            // It may be stored; counting it again would be worse than once less.
            Err(refusal) if refusal.kind == schema::ErrorKind::DeadlineExceeded => {
                tracing::warn!(%refusal, "usage may not have been written");
                Ok(())
            }
            Err(refusal) => Err(refusal.into()),
            Ok(_) => Ok(()),
        }
    }
}
