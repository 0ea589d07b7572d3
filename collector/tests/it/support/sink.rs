//! A sink that records, refuses, waits or panics.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use schema::{Ack, Batch, Door, ErrorKind, Position, Refusal, Sink};
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub enum Mood {
    #[default]
    Takes,
    Refuses(ErrorKind),
    /// Takes after [`Recorder::release`].
    Waits,
    Panics,
}

#[derive(Default)]
pub struct Recorder {
    pub mood: Mutex<Mood>,
    /// Table, door and rows of every batch that was taken.
    pub taken: Mutex<Vec<(&'static str, Door, usize)>>,
    /// Appends begun, whatever became of them.
    pub asked: AtomicUsize,
    /// Batches held, with what pays for them.
    pub held: Mutex<Vec<Batch>>,
    pub holds: std::sync::atomic::AtomicBool,
    open: Notify,
}

impl Recorder {
    pub fn set(&self, mood: Mood) {
        *self.mood.lock() = mood;
    }

    /// Lets one waiting append go on.
    pub fn release(&self) {
        self.open.notify_one();
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub fn rows(&self) -> usize {
        self.taken.lock().iter().map(|(_, _, rows)| rows).sum()
    }
}

#[async_trait::async_trait]
impl Sink for Recorder {
    async fn append(&self, batch: Batch) -> Result<Ack, Refusal> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let waits = match &*self.mood.lock() {
            Mood::Takes => false,
            Mood::Waits => true,
            Mood::Refuses(kind) => return Err(Refusal::new(*kind, "the sink was told to refuse")),
            Mood::Panics => panic!("the sink was told to panic"),
        };
        if waits {
            self.open.notified().await;
        }
        let taken = (batch.table.name, batch.door, batch.rows.num_rows());
        assert_eq!(batch.rows.layout(), &batch.table.layout);
        let mut all = self.taken.lock();
        all.push(taken);
        if self.holds.load(Ordering::SeqCst) {
            self.held.lock().push(batch);
        }
        Ok(Ack { position: Position(all.len() as u64) })
    }
}
