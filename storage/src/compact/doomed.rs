//! Replaced files, until nobody can be reading them (**S3**).

use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::DataFile;
use crate::store::{self, BULK, told};

/// When a removal that failed is tried again.
const REST: Duration = Duration::from_secs(60);

/// Files that no current version names. This node's snapshots hold them by
/// reference, which is counted; what others hold is waited for. Forgotten at a
/// restart: the vacuum finds them.
#[derive(Debug, Default)]
pub struct Doomed(Mutex<Vec<(Instant, Arc<DataFile>)>>);

impl Doomed {
    /// These go at `when`, on this process's own clock, or later.
    pub fn add(&self, files: Vec<Arc<DataFile>>, when: Instant) {
        self.0.lock().extend(files.into_iter().map(|file| (when, file)));
    }

    /// Removes the files whose time has come and that nothing else refers to.
    pub async fn sweep(&self, objects: Arc<dyn ObjectStore>) {
        let due = self.due(Instant::now());
        for (nth, some) in due.chunks(BULK).enumerate() {
            let path = |file: &Arc<DataFile>| match file.location() {
                Ok(path) => Some(path),
                Err(error) => {
                    tracing::error!(%error, "a replaced file has no path; it stays");
                    None
                }
            };
            let paths = some.iter().filter_map(path).collect();
            if let Err(error) = store::remove(&objects, paths).await {
                let left = &due[nth * BULK..];
                tracing::debug!(
                    files = left.len(),
                    error = told(&error),
                    "replaced files could not be removed; trying again"
                );
                self.add(left.to_vec(), Instant::now() + REST);
                return;
            }
        }
    }

    /// Takes out the files whose time has come and that nothing else refers to.
    fn due(&self, now: Instant) -> Vec<Arc<DataFile>> {
        let gone = |(when, file): &mut (Instant, Arc<DataFile>)| {
            *when <= now && Arc::strong_count(file) == 1
        };
        self.0.lock().extract_if(.., gone).map(|(_, file)| file).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Place;

    /// Scenario: a file was replaced; a snapshot holds it past its grace, and
    /// another file is held by nobody within its own.
    /// Guarantees: S3, each goes when both the grace and the last snapshot are over.
    #[test]
    fn inv_s3_a_replaced_file_outlives_its_snapshots_and_its_grace() {
        let file = |path: &str| {
            Arc::new(DataFile {
                place: Place::Store,
                path: path.into(),
                size: 1,
                rows: 1,
                date: 0,
                stats: Default::default(),
                origin: None,
            })
        };
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let (held, free) = (file("held"), file("free"));
        let snapshot: Arc<[Arc<DataFile>]> = Arc::new([held.clone()]);
        let doomed = Doomed::default();
        doomed.add(vec![held, free], start + second);
        assert!(doomed.due(start).is_empty());
        let due = doomed.due(start + second);
        assert_eq!(due.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["free"]);
        let pinned = snapshot.clone();
        drop(snapshot);
        assert!(doomed.due(start + 9 * second).is_empty());
        drop(pinned);
        assert_eq!(doomed.due(start + 9 * second).len(), 1);
    }
}
