//! The threads that decode: always the same ones. The allocator keeps memory for
//! each thread that took some, so rows decoded by whichever of a pool's threads is
//! free would be spread over as many heaps.

use std::future::Future;
use std::io;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

pub(super) struct Decoders {
    threads: Handle,
    runtime: Option<Runtime>,
}

impl Decoders {
    pub(super) fn start(threads: usize) -> io::Result<Decoders> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("cloudsail-decode")
            .build()?;
        Ok(Decoders { threads: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Runs CPU work that never waits.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.threads.spawn(work)
    }
}

impl Drop for Decoders {
    fn drop(&mut self) {
        // It may be dropped within a runtime, which must not wait for another.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
