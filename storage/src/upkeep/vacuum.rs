//! Which objects that no version names may be removed: a pure rule.
//!
//! Never a staged one, whoever staged it and however long ago: its node may come
//! back and commit it. Never one that no entry tells of, whatever its positions. Never one that is young by the store's own clock: a join
//! may be about to name it. And none that was not seen unnamed for the whole of
//! the grace, by this process's own clock: until then a query of some node may
//! read it (S3).

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use crate::table::Orphan;
use crate::table::orphans::Kind;

/// Age by the store's clock below which nothing is removed: far above the
/// longest commit.
const YOUNG: TimeDelta = TimeDelta::hours(12);

/// Since when objects have been seen without a name.
#[derive(Debug, Default)]
pub struct Vacuum(HashMap<String, Instant>);

impl Vacuum {
    /// Takes in what is unnamed in one table's folder now (`prefix`), and gives
    /// what may go. `store_time`: the time of an object that the store has just
    /// taken.
    pub fn due(
        &mut self,
        prefix: &str,
        orphans: &[Orphan],
        store_time: DateTime<Utc>,
        now: Instant,
        grace: Duration,
    ) -> Vec<Orphan> {
        let before = std::mem::take(&mut self.0);
        let elsewhere = |path: &String| !path.starts_with(prefix);
        self.0 = before
            .iter()
            .filter(|(path, _)| elsewhere(path))
            .map(|(p, t)| (p.clone(), *t))
            .collect();
        let mut due = Vec::new();
        for orphan in orphans {
            if !matches!(orphan.kind, Kind::Spent | Kind::Joined | Kind::Unfinished) {
                continue;
            }
            let since = before.get(&orphan.path).copied().unwrap_or(now);
            let young = store_time - orphan.object.last_modified < YOUNG;
            match !young && now - since >= grace {
                true => due.push(orphan.clone()),
                false => drop(self.0.insert(orphan.path.clone(), since)),
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectMeta;
    use schema::{Position, WalId};

    use super::*;
    use crate::Origin;

    fn orphan(path: &str, kind: Kind, last_modified: DateTime<Utc>) -> Orphan {
        let object = ObjectMeta {
            location: path.into(),
            last_modified,
            size: 1,
            e_tag: None,
            version: None,
        };
        Orphan { path: path.into(), object, kind }
    }

    /// Scenario: unnamed objects of every kind and age are seen, one is named
    /// again in between, and time passes on the own clock while the store's
    /// jumps back.
    /// Guarantees: F32 and S3: only what no node can commit, is old by the
    /// store's clock, and was unnamed for the whole grace is removed.
    #[test]
    fn inv_s3_the_vacuum_takes_only_what_nobody_can_want() {
        let origin = Origin { wal_id: WalId(1), first: Position(1), last: Position(2) };
        let store = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let (old, young) = (store - TimeDelta::hours(13), store - TimeDelta::hours(11));
        let all = [
            orphan("t/spans/a", Kind::Spent, old),
            orphan("t/spans/b", Kind::Joined, old),
            orphan("t/spans/c", Kind::Joined, young),
            orphan("t/spans/d", Kind::Staged(origin), old),
            orphan("t/spans/e", Kind::Foreign, old),
            orphan("t/spans/f", Kind::Doubtful, old),
            orphan("t/spans/g#1", Kind::Unfinished, young),
            orphan("t/spans/h#1", Kind::Unfinished, old),
        ];
        let (grace, start) = (Duration::from_secs(600), Instant::now());
        let mut vacuum = Vacuum::default();
        let mut due = |orphans: &[Orphan], store_time, after: u64| {
            let now = start + Duration::from_secs(after);
            let due = vacuum.due("t/spans/", orphans, store_time, now, grace);
            due.iter().map(|orphan| orphan.path.clone()).collect::<Vec<_>>()
        };
        assert!(due(&all, store, 0).is_empty());
        assert!(due(&all[1..], store, 300).is_empty(), "a is named again");
        assert!(due(&all, store - TimeDelta::days(400), 601).is_empty(), "the store's clock");
        assert_eq!(due(&all, store, 601), ["t/spans/b", "t/spans/h#1"]);
        assert_eq!(due(&all[..1], store, 1300), ["t/spans/a"]);
    }
}
