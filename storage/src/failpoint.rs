//! Named stages at which a test may kill this process, as a power cut would.
//!
//! In a release build without the cargo feature `failpoints` a [`hit`] compiles
//! to nothing. Else `CLOUDSAIL_FAILPOINT=name` (or `name:nth`, counted from 1) in the
//! environment sends SIGKILL to the own process when that stage is reached.

/// Marks a stage.
#[cfg(not(any(feature = "failpoints", debug_assertions)))]
#[inline(always)]
pub fn hit(_name: &'static str) {}

/// Marks a stage; the wanted one ends the process.
#[cfg(any(feature = "failpoints", debug_assertions))]
pub fn hit(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static SEEN: AtomicU64 = AtomicU64::new(0);

    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("CLOUDSAIL_FAILPOINT").ok()?;
        match text.split_once(':') {
            Some((name, nth)) => Some((name.to_owned(), nth.parse().ok()?)),
            None => Some((text, 1)),
        }
    });
    let Some((wanted, nth)) = wanted else { return };
    if wanted != name || SEEN.fetch_add(1, Ordering::Relaxed) + 1 != *nth {
        return;
    }
    let own = rustix::process::getpid();
    // SIGKILL, not abort: no handler runs, nothing is flushed.
    if let Err(error) = rustix::process::kill_process(own, rustix::process::Signal::KILL) {
        tracing::error!(%error, name, "failpoint could not kill its own process");
    }
    // The signal is on its way; nothing after this stage may run.
    loop {
        std::thread::park();
    }
}
