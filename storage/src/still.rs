//! Waiting for threads of our own.

use std::sync::mpsc;

/// Awaits what a thread of our own does. Paused time, which tests have, jumps to the
/// next timer while a runtime has nothing else to do, unless blocking work of its own
/// goes on: in a debug build this counts as that, so that a simulation's seed decides
/// when the work was done.
pub async fn still<T>(work: impl Future<Output = T>) -> T {
    if !cfg!(debug_assertions) {
        return work.await;
    }
    let (hold, held) = mpsc::channel::<()>();
    let keeper = tokio::task::spawn_blocking(move || held.recv().is_err());
    let done = work.await;
    drop(hold);
    // It ends now, and cannot fail.
    let _ = keeper.await;
    done
}
