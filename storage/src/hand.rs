//! A thread that does one piece of work after the other, for as long as its owner
//! lives. What it frees it takes again: the allocator keeps memory by thread, and
//! work that any of a pool's threads may do is done with as many heaps.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;

use tokio::sync::oneshot;

use crate::Error;
use crate::still::still;

/// Below everything that somebody waits for.
const NICE: i32 = 10;

type Work = Box<dyn FnOnce() + Send>;

#[derive(Debug)]
pub struct Hand {
    name: &'static str,
    work: mpsc::Sender<Work>,
}

impl Hand {
    pub fn start(name: &'static str) -> Result<Hand, Error> {
        let (work, inbox) = mpsc::channel::<Work>();
        let thread = move || {
            for work in inbox {
                // The panic was printed; whoever waits sees the answer's end.
                let _ = catch_unwind(AssertUnwindSafe(work));
            }
        };
        std::thread::Builder::new()
            .name(name.into())
            .spawn(thread)
            .map_err(Error::disk(format!("the thread {name} could not be started")))?;
        Ok(Hand { name, work })
    }

    /// One of a low priority.
    pub fn start_nice(name: &'static str) -> Result<Hand, Error> {
        let hand = Hand::start(name)?;
        let yields = move || {
            if let Err(error) = rustix::process::nice(NICE) {
                tracing::debug!(%error, name, "a thread keeps its priority");
            }
        };
        hand.leave(yields);
        Ok(hand)
    }

    /// Leaves it work that nobody waits for; a thread that has ended drops it here.
    pub fn leave(&self, work: impl FnOnce() + Send + 'static) {
        let _ = self.work.send(Box::new(work));
    }

    /// Runs work to its end, whether or not anyone still waits for it.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (sender, done) = oneshot::channel();
        let work = move || {
            // Whoever asked may have gone.
            let _ = sender.send(work());
        };
        let panicked = || Error::Internal(format!("work of the thread {} panicked", self.name));
        self.work.send(Box::new(work)).map_err(|_| panicked())?;
        still(done).await.map_err(|_| panicked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: work that panics, then work that does not, then one nobody waits for.
    /// Guarantees: the thread goes on, and the same thread does all of it.
    #[tokio::test]
    async fn a_panic_ends_the_work_and_not_the_thread() {
        let hand = Hand::start("hand").unwrap();
        let panicked = hand.run(|| panic!("on purpose")).await;
        assert!(panicked.unwrap_err().to_string().contains("hand"));
        let id = hand.run(|| std::thread::current().id()).await.unwrap();
        let (sender, ran) = oneshot::channel();
        tokio::select! {
            biased;
            _ = hand.run(move || sender.send(std::thread::current().id()).unwrap()) => {}
            () = std::future::ready(()) => {}
        }
        assert_eq!(ran.await.unwrap(), id);
    }
}
