//! What a table tells of the logs that were committed to it.

use std::collections::BTreeMap;
use std::time::Duration;

use object_store::ObjectStoreExt;
use schema::{Position, Tenant, Version, WalId};
use storage::table;

use crate::stage_world::World;

/// Scenario: three logs commit to the index in turn; a checkpoint is written, the
/// entries before it are removed, two of them commit again, and the pointer to the
/// checkpoint is lost; it is loaded at each stage and followed all the while.
/// Guarantees: the watermarks of all logs come back whatever stands in for the
/// entries, for what is pruned by files joined over logs rests on them.
#[tokio::test]
async fn a_table_tells_how_far_every_log_came() {
    for local in [true, false] {
        let world = World::new(local);
        let tenant = Tenant::default();
        let parts = world.table("trace_parts");
        let commit = async |log: u128, last: u64| {
            let mut table = world.delta("trace_parts", Some(WalId(log))).await;
            table.commit(Vec::new(), Position(last)).await.unwrap()
        };
        let known = |of: &[(u128, u64)]| -> BTreeMap<WalId, Position> {
            of.iter().map(|(log, last)| (WalId(*log), Position(*last))).collect()
        };
        let mut follower = world.delta("trace_parts", None).await;
        let mut agreed = async |of: &[(u128, u64)]| {
            let followed = follower.refresh().await.unwrap().unwrap();
            assert_eq!(*followed.watermarks, known(of), "followed, local {local}");
            let loaded = world.delta("trace_parts", None).await.current().unwrap();
            assert_eq!(*loaded.watermarks, known(of), "loaded, local {local}");
        };
        for (log, last) in [(1, 5), (2, 7), (3, 2), (1, 9)] {
            commit(log, last).await;
        }
        agreed(&[(1, 9), (2, 7), (3, 2)]).await;
        table::checkpoint(&world.store, &tenant, &parts, Version(4)).await.unwrap();
        agreed(&[(1, 9), (2, 7), (3, 2)]).await;
        let gone = table::clean_log(&world.store, &tenant, &parts, Duration::ZERO).await.unwrap();
        assert_eq!(gone, 4);
        commit(3, 8).await;
        commit(2, 11).await;
        agreed(&[(1, 9), (2, 11), (3, 8)]).await;

        let pointer = "default/trace_parts/_delta_log/_last_checkpoint";
        world.store.objects().delete(&pointer.into()).await.unwrap();
        agreed(&[(1, 9), (2, 11), (3, 8)]).await;
        let loaded = world.delta("trace_parts", None).await.current().unwrap();
        assert_eq!(loaded.version, Version(6));
    }
}
