//! Clients that send, each one request at a time, until they are told to stop
//! or the daemon is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::item::{Id, request};
use super::ledger::{Ledger, Sent};
use crate::client::Client;
use crate::daemon::Daemon;
use crate::otlp::{Encoding, Outcome, Signal, send};

/// Every way in twice over, so that group commits have company.
const CLIENTS: u8 = 6;

/// A running load.
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: JoinSet<()>,
}

impl Load {
    /// Starts the clients of a run. Requests of earlier runs whose outcome is
    /// unknown are sent again by a coin's fall, as SDKs do.
    pub fn start(daemon: &Daemon, ledger: &Ledger, run: u16, seed: u64) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        let mut unknown = ledger.unknown();
        for client in 0..CLIENTS {
            let encoding = Encoding::ALL[usize::from(client) % 3];
            let mut chance = StdRng::seed_from_u64(seed ^ u64::from(run) << 8 ^ u64::from(client));
            // Through the same door as the first time: its books are per door.
            let (mine, rest) = unknown
                .into_iter()
                .partition(|sent: &Sent| sent.encoding == encoding && chance.random_bool(0.4));
            unknown = rest;
            let sender = Sender {
                client: Client::default(),
                ports: daemon.ports.clone(),
                ledger: ledger.clone(),
                stop: stop.clone(),
                chance,
                again: mine,
                run,
                number: client,
                encoding,
            };
            clients.spawn(sender.run());
        }
        Load { stop, clients }
    }

    /// Tells the clients to stop, and waits for the answers they wait for.
    pub async fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("a client does not panic");
        }
    }
}

struct Sender {
    client: Client,
    ports: crate::daemon::Ports,
    ledger: Ledger,
    stop: Arc<AtomicBool>,
    chance: StdRng,
    again: Vec<Sent>,
    run: u16,
    number: u8,
    encoding: Encoding,
}

impl Sender {
    async fn run(mut self) {
        for sent in std::mem::take(&mut self.again) {
            if !self.deliver(sent).await {
                return;
            }
        }
        let mut next = [0; 3];
        loop {
            let signal = Signal::ALL[self.chance.random_range(0..3)];
            let first = &mut next[signal as usize];
            let count = self.chance.random_range(1..=20);
            let number = self.number;
            let id = |at| Id::new(self.run, number, signal, at);
            let ids = (*first..*first + count).map(id).collect();
            *first += count;
            let sent = Sent { signal, encoding: self.encoding, ids };
            if !self.deliver(sent).await {
                return;
            }
        }
    }

    /// Sends until there is an answer; false when it is time to end.
    async fn deliver(&mut self, sent: Sent) -> bool {
        let request = request(sent.signal, &sent.ids, self.ledger.base());
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return false;
            }
            self.ledger.sending(&sent);
            let outcome = send(&self.client, &self.ports, self.encoding, &request).await;
            self.ledger.answered(&sent, &outcome);
            match outcome {
                Outcome::Acked => return true,
                Outcome::Refused { .. } => sleep(Duration::from_millis(50)).await,
                // The ledger keeps it; the checks fail on it.
                Outcome::Rejected(_) => return false,
                // The daemon is gone, or as good as gone.
                Outcome::Unknown(_) => return false,
            }
        }
    }
}
