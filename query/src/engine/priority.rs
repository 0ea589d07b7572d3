//! Threads of queries come after those of ingest (S22).
//!
//! Linux counts a nice value per thread, and lowering one's own priority needs
//! no privilege.

/// Steps below the process: a third of the weight. Far lower, a thread that holds
/// what ingest waits for (the kernel's lock on the address space, say) would not
/// get to let it go where others want the processors, too.
const STEPS: i32 = 5;

/// The lowest priority there is.
const LOWEST: i32 = 19;

/// What each thread does when it starts. A thread begins with the priority of
/// the one that started it, which may be lowered already: so where it goes is
/// settled here, once.
pub(super) fn lower() -> impl Fn() + Send + Sync + 'static {
    let target = own().map(|own| (own + STEPS).min(LOWEST));
    move || {
        let Some(target) = target else { return };
        if let Err(error) = rustix::process::setpriority_process(None, target) {
            tracing::debug!(%error, "a thread of queries keeps its priority");
        }
    }
}

/// The calling thread's; `None` where it is that of the whole process.
fn own() -> Option<i32> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    rustix::process::getpriority_process(None).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a thread that was lowered starts another, as a runtime's do.
    /// Guarantees: S22, both come to the same place, and who lowered them stays
    /// where it was.
    #[test]
    fn sec_s22_threads_of_queries_come_after_the_others() {
        let Some(before) = own() else { return };
        let lower = std::sync::Arc::new(lower());
        let outer = std::thread::spawn(move || {
            lower();
            let inner = lower.clone();
            let inner = std::thread::spawn(move || {
                inner();
                own()
            });
            (own(), inner.join().unwrap())
        });
        let lowered = Some((before + STEPS).min(LOWEST));
        assert_eq!(outer.join().unwrap(), (lowered, lowered));
        assert_eq!(own(), Some(before));
    }
}
