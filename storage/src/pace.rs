//! How fast things go: pauses between attempts, the age at which rows are
//! written out, and how long the outbox lasts.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use schema::WalId;

/// The first pause after a failure, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Rows wait this many times longer than a commit takes, so that sixteen
/// writers of one table leave each other room (architecture.md).
const COMMITS_APART: u32 = 16;
/// At most so many times `flush.max_age`, however slow the store is.
const LONGEST_AGE: u32 = 10;
/// Ranges that wait for their commit before rows are held back for longer.
const BACKLOG: usize = 16;
/// The span over which the rate of staging is averaged.
const RATE_OVER: f64 = 300.0;

/// Growing pauses with full jitter, seeded by the log's random id: nodes that
/// lost their store together do not come back to it together.
#[derive(Debug)]
pub struct Pause {
    seed: String,
    attempt: u32,
}

impl Pause {
    pub fn new(wal_id: WalId, table: &str) -> Pause {
        Pause { seed: format!("{wal_id}{table}"), attempt: 0 }
    }

    pub fn reset(&mut self) {
        self.attempt = 0;
    }

    /// Whether the last attempt failed.
    pub fn failing(&self) -> bool {
        self.attempt > 0
    }

    /// The pause after another failure.
    pub fn longer(&mut self) -> Duration {
        let longest = (FIRST_PAUSE * 2u32.pow(self.attempt.min(8))).min(LONGEST_PAUSE);
        self.attempt += 1;
        spread(longest, (&self.seed, self.attempt))
    }
}

/// From nothing to the whole of `longest`, by chance of the seed. The hash is none
/// that is linear, as sums are: by those, two seeds that are near each other once stay
/// so for every attempt.
pub fn spread(longest: Duration, seed: impl Hash) -> Duration {
    let mut hasher = DefaultHasher::new();
    seed.hash(&mut hasher);
    longest.mul_f64(hasher.finish() as f64 / u64::MAX as f64)
}

/// What staging and committing took of late; shared by those who do it.
#[derive(Debug, Default)]
pub struct Pace {
    commit: Mutex<Duration>,
    staging: Mutex<Rate>,
}

impl Pace {
    /// One commit, with all its attempts.
    pub fn committed(&self, took: Duration) {
        let mut known = self.commit.lock();
        *known = (*known * 3 + took) / 4;
    }

    pub fn staged(&self, bytes: u64) {
        self.staging.lock().add(bytes, Instant::now());
    }

    /// The age at which a table's rows are sealed, with so many of its ranges
    /// waiting for their commit.
    pub fn age(&self, max_age: Duration, waiting: usize) -> Duration {
        let slow = *self.commit.lock() * COMMITS_APART;
        let backlog = u32::try_from(waiting / BACKLOG).unwrap_or(LONGEST_AGE).min(LONGEST_AGE);
        max_age.max(slow).max(max_age * backlog).min(max_age * LONGEST_AGE)
    }

    /// Seconds until `free` bytes are staged at the rate of late; infinite when
    /// nothing is staged.
    pub fn lasts(&self, free: u64) -> f64 {
        self.staging.lock().lasts(free, Instant::now())
    }
}

/// Bytes per second, averaged with exponential decay.
#[derive(Debug, Default)]
struct Rate {
    since: Option<Instant>,
    seen: Option<Instant>,
    /// Bytes, each fading away over [`RATE_OVER`].
    bytes: f64,
}

impl Rate {
    fn add(&mut self, bytes: u64, now: Instant) {
        self.fade(now);
        self.bytes += bytes as f64;
    }

    fn fade(&mut self, now: Instant) {
        let passed = self.seen.map_or(0.0, |seen| (now - seen).as_secs_f64());
        self.bytes *= (-passed / RATE_OVER).exp();
        self.seen = Some(now);
        self.since.get_or_insert(now);
    }

    fn lasts(&mut self, free: u64, now: Instant) -> f64 {
        self.fade(now);
        let watched = self.since.map_or(0.0, |since| (now - since).as_secs_f64());
        // Before the span is full the average is over what there was of it.
        let over = RATE_OVER * (1.0 - (-watched / RATE_OVER).exp());
        let rate = self.bytes / over.max(1.0);
        if rate > 0.0 { free as f64 / rate } else { f64::INFINITY }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a thousand logs lose their store at once and try again.
    /// Guarantees: F22, F41: pauses grow to the longest and stay below it, and
    /// the attempts of one round are spread over the whole pause.
    #[test]
    fn fault_f41_a_thousand_nodes_come_back_one_by_one() {
        let pauses = (0..1000u128).map(|node| {
            let mut pause = Pause::new(WalId(node.wrapping_mul(0x9e37_79b9_7f4a_7c15)), "spans");
            (0..20).map(|_| pause.longer()).collect::<Vec<_>>()
        });
        let pauses: Vec<_> = pauses.collect();
        assert!(pauses.iter().flatten().all(|pause| *pause <= LONGEST_PAUSE));
        let mut buckets = [0; 10];
        for node in &pauses {
            let share = node[19].as_secs_f64() / LONGEST_PAUSE.as_secs_f64();
            buckets[((share * 10.0) as usize).min(9)] += 1;
        }
        assert!(buckets.iter().all(|nodes| (50..150).contains(nodes)), "{buckets:?}");
    }

    /// Scenario: two hundred logs fail together again and again; each pair of them.
    /// Guarantees: F41: no two stay in step, whichever their ids are.
    #[test]
    fn fault_f41_no_two_nodes_stay_in_step() {
        let pauses = |node: u128| {
            let mut pause = Pause::new(WalId(node.wrapping_mul(0x9e37_79b9_7f4a_7c15)), "spans");
            let all: Vec<Duration> = (0..40).map(|_| pause.longer()).collect();
            // From here on they are as long as they get, and so comparable.
            all[10..].to_vec()
        };
        let nodes: Vec<Vec<Duration>> = (0..200).map(pauses).collect();
        for (at, one) in nodes.iter().enumerate() {
            for other in &nodes[..at] {
                let apart = one.iter().zip(other).map(|(a, b)| a.abs_diff(*b));
                let near = apart.filter(|apart| *apart < LONGEST_PAUSE / 10).count();
                assert!(near < 20, "{near} of 30 attempts come together");
            }
        }
    }

    /// Scenario: commits of no time, of ten seconds, of minutes; and a backlog.
    /// Guarantees: F28: slow commits come at longer intervals, within a bound.
    #[test]
    fn fault_f28_slow_commits_come_less_often() {
        let minute = Duration::from_secs(60);
        let pace = Pace::default();
        assert_eq!(pace.age(minute, 3), minute);
        for _ in 0..50 {
            pace.committed(Duration::from_secs(10));
        }
        let age = pace.age(minute, 3);
        assert!(age > Duration::from_secs(150) && age <= Duration::from_secs(160), "{age:?}");
        assert_eq!(pace.age(minute, 10_000), minute * LONGEST_AGE);
        for _ in 0..50 {
            pace.committed(minute * 5);
        }
        assert_eq!(pace.age(minute, 0), minute * LONGEST_AGE);
    }

    /// Scenario: a megabyte per second for ten minutes, then nothing for an hour.
    /// Guarantees: the outbox is said to last as long as it would, and longer
    /// when less comes in.
    #[test]
    fn the_outbox_lasts_as_long_as_the_rate_says() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        assert_eq!(rate.lasts(1 << 30, start), f64::INFINITY);
        let second = |n| start + Duration::from_secs(n);
        (0..600).for_each(|n| rate.add(1 << 20, second(n)));
        let lasts = rate.lasts(1 << 30, second(600));
        assert!((900.0..1150.0).contains(&lasts), "{lasts}");
        assert!(rate.lasts(1 << 30, second(4200)) > 100.0 * lasts);
    }
}
