//! The simulation: real storages over a faulty store, with crashes, against a
//! model of what was sent.
//!
//! A history is made from a seed: rows come in, nodes flush, wait, crash, lose
//! power, end and start again; stores go away, come back, answer late, wrong,
//! twice or never; disks fail; clocks jump; queries hold snapshots. Several
//! nodes write one set of tables. After every step, for every node: acked ⊆
//! visible, nothing twice, nothing that was never sent, nothing seen that is
//! gone, the ledger balances (L1), watermarks never go back, what a query holds
//! is unchanged (S1, S2). At the end everything heals, and the tables are read
//! straight from the store: L, G, D and T of faults.md.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`step`] | what may happen; histories from seeds |
//! | [`node`] | one node: its runtime, disk, store and clock; start, crash, end |
//! | [`plug`] | the cord that a crash pulls |
//! | [`model`] | what was sent, and what must hold |
//! | [`world`] | runs a history to its end |
//! | [`rows`] | rows known by an id |
//!
//! How near it is to deterministic. A node lives on one thread, in a runtime of
//! its own with paused time, which is driven only within a step; a crash drops
//! it, and no task is polled again. Log ids, names of starts and joins, jitter,
//! faults and steps come from the seed. Three things run on threads: the log's
//! thread, for which every step waits while time stands still; and joins and
//! blocking work (Parquet, `deltalake`), during which time stands still too. A
//! step ends, and a crash comes, when every task waits for time; so what was
//! begun beside the log at a crash is done, and a death in the midst of it is
//! what failpoints are for. `sim_a_seed_repeats_itself` holds that. What is left
//! to chance: the order in which threads end within one moment, and by it that
//! of requests: two uploads of a range, a join beside a commit, a load of a
//! table. Faults do not hang on it but for those that count requests
//! ([`Fault::Lands`](crate::faulty::Fault::Lands)), or where it decides how often
//! something is asked for. The power cut takes the log's disk only; the stage is
//! a real folder. Few histories of fifty steps have the ten commits and the minute
//! after which a checkpoint is written; longer ones do.
//!
//! A failure prints its seed and a history made as short as it still fails.
//! The long form runs as many seeds as are asked for:
//! `CLOUDSAIL_SIM_SEEDS=1000 cargo test -p cloudsail-storage --test it -- sim_`,
//! from `CLOUDSAIL_SIM_FIRST` on; `CLOUDSAIL_SIM_STEPS` makes them longer.

mod model;
pub mod node;
pub mod plug;
pub mod rows;
pub mod step;
pub mod world;

use std::time::{Duration, Instant};

use step::Step;
use world::{Failure, Outcome, run, traced};

/// How long a failing history is made shorter.
const SHORTENING: Duration = Duration::from_secs(60);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Takes away steps for as long as it still fails.
fn shortened(seed: u64, nodes: usize, mut steps: Vec<Step>, mut failure: Failure) -> String {
    steps.truncate(failure.step + 1);
    let began = Instant::now();
    let mut size = steps.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < steps.len() && began.elapsed() < SHORTENING {
            let mut fewer = steps.clone();
            fewer.drain(at..(at + size).min(steps.len()));
            match run(seed, nodes, &fewer) {
                Err(other) => {
                    fewer.truncate(other.step + 1);
                    (steps, failure) = (fewer, other);
                }
                Ok(_) => at += size,
            }
        }
        size /= 2;
    }
    let steps: Vec<String> =
        steps.iter().enumerate().map(|(at, step)| format!("  {at}: {step:?}")).collect();
    format!("after step {}: {}\n{}", failure.step, failure.why, steps.join("\n"))
}

/// Runs one seed, or says how it fails.
fn simulate(seed: u64, steps: usize) -> Outcome {
    let nodes = 1 + (seed % 2) as usize;
    let steps = step::history(seed, nodes, steps);
    run(seed, nodes, &steps).unwrap_or_else(|failure| {
        let first = format!("after step {}: {}", failure.step, failure.why);
        eprintln!("seed {seed} fails {first}; making it shorter");
        let short = shortened(seed, nodes, steps, failure);
        panic!("seed {seed}, {nodes} nodes: fails {first}\nas short as it was made, {short}");
    })
}

/// Scenario: seeds, each run twice.
/// Guarantees: a seed repeats itself: as many rows are sent and acked, and the same
/// staged files are put under the same names, by which faults are rolled.
#[test]
fn sim_a_seed_repeats_itself() {
    // Stores in memory: in a folder files are staged where they stay.
    for seed in [1, 2, 4, 5] {
        let nodes = 1 + (seed % 2) as usize;
        let steps = step::history(seed, nodes, 25);
        let run = || match traced(seed, nodes, &steps) {
            Ok((outcome, written)) => (outcome.sent, outcome.acked, written),
            Err(failure) => panic!("seed {seed}: {}", failure.why),
        };
        let ((sent, acked, written), again) = (run(), run());
        assert!(!written.is_empty(), "seed {seed}: nothing is written");
        let other: Vec<_> = written.symmetric_difference(&again.2).collect();
        assert_eq!(other, [] as [&String; 0], "seed {seed}");
        assert_eq!((sent, acked), (again.0, again.1), "seed {seed}");
    }
}

/// Scenario: any history of the kinds above, for one node and for two; eight
/// seeds here, `CLOUDSAIL_SIM_SEEDS` from `CLOUDSAIL_SIM_FIRST` on when set.
/// Guarantees: D1 to D4, C1 to C4, S1, S2, L1, and L, G, D, T of faults.md.
#[test]
fn sim_any_history_loses_repeats_and_invents_nothing() {
    let first = number("CLOUDSAIL_SIM_FIRST").unwrap_or(1);
    let seeds = number("CLOUDSAIL_SIM_SEEDS").unwrap_or(8);
    let steps = number("CLOUDSAIL_SIM_STEPS").unwrap_or(50) as usize;
    let mut all = Outcome::default();
    for seed in first..first + seeds {
        let began = Instant::now();
        let outcome = simulate(seed, steps);
        println!("seed {seed}: {outcome:?} in {:?}", began.elapsed());
        all.sent += outcome.sent;
        all.acked += outcome.acked;
        all.faults += outcome.faults;
    }
    // A simulation in which nothing is stored or nothing fails proves nothing.
    assert!(all.acked > all.sent / 3 && all.faults > 0, "{all:?}");
}
