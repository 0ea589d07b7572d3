//! Bytes are paid for before they are kept (B1, B2).
//!
//! A request opens a [`Permit`] with the length it declares. A length that
//! cannot fit now is refused at once; one that fits is not taken on trust: the
//! permit grows as bytes arrive, so that a header of five bytes cannot hold
//! 64 MiB. While much is in work requests wait their turn for a moment, unread, so
//! that senders who would wait anyway do not fill memory first.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use schema::{Budget, Reservation};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

/// Granularity of payments in body bytes, to touch the shared counter rarely.
const STEP: u64 = 64 << 10;
/// How long a request waits for others to be written, at most.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the first of those that wait looks.
const LOOK: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(crate) struct Admission {
    budget: Budget,
    amplification: u64,
    refusals: AtomicU64,
    /// Held by the first of those that wait; the others queue for it.
    turn: Mutex<()>,
}

/// Why bytes are not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// Others hold the budget; it will be free again.
    Now,
    /// The whole budget would not be enough.
    Ever,
}

impl Admission {
    pub(crate) fn new(budget: Budget, amplification: u64) -> Admission {
        Admission { budget, amplification, refusals: AtomicU64::new(0), turn: Mutex::new(()) }
    }

    /// The largest body that the whole budget can pay for.
    pub(crate) fn largest(&self) -> u64 {
        self.budget.limit() / self.amplification
    }

    /// Waits a moment until the budget is not pressed any more; in turn, so that
    /// nobody waits for those who came later, and one alone has to look.
    pub(crate) async fn turn(&self) {
        if !self.budget.is_pressed() {
            return;
        }
        let eased = async {
            let _first = self.turn.lock().await;
            while self.budget.is_pressed() {
                sleep(LOOK).await;
            }
        };
        // Whoever has waited long enough goes on while there is room at all.
        let _waited = timeout(PATIENCE, eased).await;
    }

    /// Opens a permit for a body of `declared` bytes, if the sender told.
    pub(crate) fn open(&self, declared: Option<u64>) -> Result<Permit, Shortage> {
        let wanted = declared.unwrap_or(0);
        let price = self.price(wanted)?;
        if self.budget.used().saturating_add(price) > self.budget.limit() {
            return Err(Shortage::Now);
        }
        let first = wanted.min(STEP);
        let reservation = self.budget.try_reserve(self.price(first)?).ok_or(Shortage::Now)?;
        // A slow sender is nobody else's to wait for.
        reservation.put_aside();
        Ok(Permit {
            reservation,
            amplification: self.amplification,
            largest: self.largest(),
            covered: first,
        })
    }

    /// When a refused sender should come back: 1 to 3 s, spread so that a crowd
    /// that was refused together does not return together (G15, H15).
    pub(crate) fn retry_after(&self, base: Option<Duration>) -> Duration {
        let nth = self.refusals.fetch_add(1, Ordering::Relaxed);
        let base = base.unwrap_or(Duration::from_secs(1));
        let spread = Duration::from_millis(scramble(nth) % 1000);
        (base + spread).clamp(Duration::from_secs(1), Duration::from_secs(3))
    }

    fn price(&self, bytes: u64) -> Result<u64, Shortage> {
        let price = bytes.checked_mul(self.amplification).ok_or(Shortage::Ever)?;
        if price > self.budget.limit() { Err(Shortage::Ever) } else { Ok(price) }
    }
}

/// A well-mixed number from a counter: chance enough to spread a crowd, and the
/// same on every run.
pub(crate) fn scramble(n: u64) -> u64 {
    twox_hash::XxHash64::oneshot(0, &n.to_le_bytes())
}

/// Pays for one request; gives everything back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    reservation: Reservation,
    amplification: u64,
    largest: u64,
    /// Body bytes paid for.
    covered: u64,
}

impl Permit {
    /// Pays for `bytes` body bytes in all, received and decompressed.
    pub(crate) fn cover(&mut self, bytes: u64) -> Result<(), Shortage> {
        if bytes <= self.covered {
            return Ok(());
        }
        if bytes > self.largest {
            return Err(Shortage::Ever);
        }
        let stepped = bytes.next_multiple_of(STEP).min(self.largest);
        for target in [stepped, bytes] {
            if self.reservation.try_grow((target - self.covered) * self.amplification) {
                self.covered = target;
                return Ok(());
            }
        }
        Err(Shortage::Now)
    }

    /// Turns the guess into what the rows take. Attributes of a resource are
    /// repeated on its rows, so they may take more than the guess, and more than
    /// there is (B1).
    pub(crate) fn settle(mut self, bytes: u64) -> Result<Reservation, Shortage> {
        let more = bytes.saturating_sub(self.reservation.bytes());
        if more > 0 && !self.reservation.try_grow(more) {
            let ever = bytes > self.largest * self.amplification;
            return Err(if ever { Shortage::Ever } else { Shortage::Now });
        }
        self.reservation.settle(bytes);
        Ok(self.reservation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a declared length that fits, one that fits later, one that never fits.
    /// Guarantees: B1 and B2; a declaration alone holds one step, not its length.
    #[test]
    fn inv_b1_a_permit_grows_with_the_bytes_and_not_with_the_promise() {
        let budget = Budget::new(64 << 20);
        let admission = Admission::new(budget.clone(), 4);
        let mut permit = admission.open(Some(10 << 20)).unwrap();
        assert_eq!(budget.used(), 4 * STEP);
        permit.cover(9 << 20).unwrap();
        assert_eq!(budget.used(), 36 << 20);
        assert_eq!(admission.open(Some(8 << 20)).unwrap_err(), Shortage::Now);
        assert_eq!(admission.open(Some(17 << 20)).unwrap_err(), Shortage::Ever);
        assert_eq!(permit.cover(17 << 20).unwrap_err(), Shortage::Ever);
        let held = permit.settle(100).unwrap();
        assert_eq!(budget.used(), 100);
        let small = |rows| admission.open(None).unwrap().settle(rows).map(|rows| rows.bytes());
        assert_eq!(small(32 << 20), Ok(32 << 20));
        assert_eq!(small(64 << 20), Err(Shortage::Now));
        assert_eq!(small(65 << 20), Err(Shortage::Ever));
        drop(held);
        assert_eq!(budget.used(), 0);
    }

    /// Scenario: more than an eighth of the budget is in work; two requests come, and
    /// it is written after a moment, or never.
    /// Guarantees: B2; both wait until then, or for a second; where little is in work
    /// nobody waits.
    #[tokio::test(start_paused = true)]
    async fn inv_b2_requests_wait_a_moment_while_much_is_in_work() {
        let budget = Budget::new(64 << 20);
        let admission = Admission::new(budget.clone(), 4);
        let start = tokio::time::Instant::now();
        admission.turn().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        let rows = budget.try_reserve(9 << 20).unwrap();
        let freed = async {
            sleep(Duration::from_millis(100)).await;
            drop(rows);
        };
        tokio::join!(admission.turn(), admission.turn(), freed);
        let waited = start.elapsed().as_millis();
        assert!((100..150).contains(&waited), "{waited} ms");
        let _rows = budget.try_reserve(9 << 20).unwrap();
        tokio::join!(admission.turn(), admission.turn());
        let waited = start.elapsed().as_millis() - waited;
        assert!((1000..1050).contains(&waited), "{waited} ms");
    }

    /// Scenario: a body of more than an eighth of the budget arrives slowly, and is
    /// decoded to as many bytes of rows.
    /// Guarantees: B2; nobody waits for a sender, and then for its rows.
    #[tokio::test(start_paused = true)]
    async fn inv_b2_nobody_waits_for_a_slow_sender() {
        let budget = Budget::new(64 << 20);
        let admission = Admission::new(budget.clone(), 4);
        let mut permit = admission.open(Some(6 << 20)).unwrap();
        permit.cover(6 << 20).unwrap();
        let start = tokio::time::Instant::now();
        admission.turn().await;
        assert_eq!((start.elapsed(), budget.used()), (Duration::ZERO, 24 << 20));
        let _rows = permit.settle(24 << 20).unwrap();
        admission.turn().await;
        assert!(start.elapsed() >= PATIENCE);
    }

    /// Scenario: a thousand refusals in a row.
    /// Guarantees: G15 and H15, every delay is 1 to 3 s and they differ.
    #[test]
    fn otlp_g15_delays_are_short_and_spread() {
        let admission = Admission::new(Budget::new(1), 1);
        let delays: Vec<_> = (0..1000).map(|_| admission.retry_after(None)).collect();
        assert!(delays.iter().all(|d| (1000..=3000).contains(&d.as_millis())));
        let distinct: std::collections::HashSet<_> = delays.iter().collect();
        assert!(distinct.len() > 300);
        let long = admission.retry_after(Some(Duration::from_secs(60)));
        assert_eq!(long, Duration::from_secs(3));
    }
}
