//! Upkeep of tenants that the holder of the lease has no rows of.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Date32Array, RecordBatch};
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use schema::{Batch, Door, Sink, TableDef, Tenant};
use storage::store::Store;
use storage::{Settings, Source};

use crate::node::{Node, settings, spans, start_on, until};

const DAY: Duration = Duration::from_secs(86_400);

fn quick(dir: &std::path::Path) -> Settings {
    let mut settings = settings(dir);
    settings.compaction.grace = Duration::ZERO;
    settings.compaction.enabled = false;
    settings
}

/// Ten rows of one day, for whatever table.
fn of_day(table: &TableDef, day: i32) -> RecordBatch {
    let batch = spans(table, 0..10);
    let mut columns = batch.columns().to_vec();
    *columns.last_mut().unwrap() = Arc::new(Date32Array::from(vec![day; 10]));
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

async fn append(node: &Node, tenant: &Tenant, table: &str, day: i32) {
    let table = node.catalog.get(table).unwrap().clone();
    let rows = schema::Rows::plain(&table.layout, &of_day(&table, day)).unwrap();
    let reservation = node.budget.try_reserve(rows.bytes()).unwrap();
    let (tenant, door) = (tenant.clone(), Door::OtlpGrpc);
    node.storage.append(Batch { tenant, table, door, rows, reservation }).await.unwrap();
}

fn days(node: &Node, tenant: &Tenant, table: &str) -> BTreeSet<i32> {
    let snapshot = node.storage.snapshot(tenant, table);
    snapshot.iter().flat_map(|s| s.committed.iter()).map(|file| file.date).collect()
}

/// Scenario: two tenants have ten days of spans, logs and usage; limits differ by
/// tenant and table; the node that then holds the lease has no row of either. A
/// folder beside them only looks like a tenant's.
/// Guarantees: each table keeps the days of its own limit, or of the limit of all,
/// or all of them; the index follows the spans; what is no table of ours is left alone.
#[tokio::test(flavor = "multi_thread")]
async fn retention_is_by_tenant_and_table() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&format!("file://{}/store", dir.path().display()), &Default::default());
    let store = store.unwrap();
    let [acme, other] = ["acme", "other"].map(|name| Tenant::new(name).unwrap());
    let writer = start_on(store.clone(), quick(&dir.path().join("writer"))).await;
    for tenant in [&acme, &other] {
        for table in ["spans", "logs", "usage_parts"] {
            for day in 20_000..20_010 {
                append(&writer, tenant, table, day).await;
            }
        }
    }
    writer.storage.flush().await.unwrap();
    assert!(writer.storage.shutdown(Duration::from_secs(20)).await.is_empty());
    drop(writer);
    let foreign = "backup/logs/_delta_log/00000000000000000000.json";
    store.objects().put(&foreign.into(), "{}".into()).await.unwrap();
    // The writer held the lease; do not wait for its term.
    let leases: Vec<_> = store.objects().list(Some(&"_lease".into())).try_collect().await.unwrap();
    for object in leases {
        store.objects().delete(&object.location).await.unwrap();
    }

    let mut settings = quick(&dir.path().join("keeper"));
    let retention = &mut settings.retention;
    retention.tables.insert("spans".into(), 5 * DAY);
    retention.tables.insert("usage_parts".into(), 8 * DAY);
    retention.tenants.insert("acme".into(), [("spans".into(), 2 * DAY)].into());
    let keeper = start_on(store.clone(), settings).await;
    let kept: [(&Tenant, &str, RangeInclusive<i32>); 8] = [
        (&acme, "spans", 20_007..=20_009),
        (&acme, "trace_parts", 20_007..=20_009),
        (&acme, "usage_parts", 20_001..=20_009),
        (&acme, "logs", 20_000..=20_009),
        (&other, "spans", 20_004..=20_009),
        (&other, "trace_parts", 20_004..=20_009),
        (&other, "usage_parts", 20_001..=20_009),
        (&other, "logs", 20_000..=20_009),
    ];
    until("each table has the days of its limit", || {
        kept.iter().all(|(tenant, table, of)| days(&keeper, tenant, table) == of.clone().collect())
    })
    .await;
    assert!(keeper.storage.snapshot(&Tenant::new("backup").unwrap(), "logs").is_none());
    let entries = store.objects().list(Some(&"backup".into()));
    assert_eq!(entries.try_collect::<Vec<_>>().await.unwrap().len(), 1);
}
