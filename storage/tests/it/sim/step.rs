//! What may happen, and histories of it made from a seed.

use std::time::Duration;

use crate::faulty::{Answer, Fault, Faulty, Op, Rule};
use crate::wal_world::Dice;

/// A node's number.
pub type Who = usize;

#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Rows come in.
    Append {
        node: Who,
        table: &'static str,
        rows: usize,
    },
    /// Rows come in, and the process dies after so many changes to the log's disk.
    Dies {
        node: Who,
        table: &'static str,
        rows: usize,
        after: u64,
    },
    Flush {
        node: Who,
    },
    Wait {
        node: Who,
        time: Duration,
    },
    /// SIGKILL; with a seed the power goes too, and what was not synced.
    Crash {
        node: Who,
        power: Option<u64>,
    },
    /// SIGTERM.
    Stop {
        node: Who,
    },
    /// Drained and stopped; if nothing was left, its disk is taken away and another
    /// node comes in its place.
    Leaves {
        node: Who,
    },
    /// Every request of this node meets this.
    Away {
        node: Who,
        fault: Fault,
    },
    /// Requests of this node meet faults of many kinds, by chance.
    Flaky {
        node: Who,
        seed: u64,
    },
    Back {
        node: Who,
    },
    /// A query pins a snapshot of every table.
    Hold {
        node: Who,
    },
    /// The oldest query ends.
    LetGo,
    /// So many operations of a kind fail on the log's disk.
    Disk {
        node: Who,
        kind: u8,
        times: u32,
    },
    /// So many bytes are left on the log's disk.
    Full {
        node: Who,
        room: u64,
    },
    /// The log's disk is as it should be.
    Sound {
        node: Who,
    },
    /// The wall clock jumps to this, nanoseconds since 1970.
    Clock {
        node: Who,
        to: i64,
    },
}

const NOW: i64 = 1_790_000_000_000_000_000;
const YEAR: i64 = 31_557_600_000_000_000;

/// Moments that wall clocks jump to: an hour back, ten years on, 1970, 2262.
const JUMPS: [i64; 5] = [NOW, NOW - 3_600_000_000_000, NOW + 10 * YEAR, 0, i64::MAX - 1];

/// The clock's first moment.
pub const FIRST: i64 = NOW;

/// A history of so many steps for so many nodes.
pub fn history(seed: u64, nodes: usize, steps: usize) -> Vec<Step> {
    let mut dice = Dice(seed);
    (0..steps).map(|_| step(&mut dice, nodes)).collect()
}

fn step(dice: &mut Dice, nodes: usize) -> Step {
    let node = dice.below(nodes);
    let table = ["spans", "logs"][dice.below(2)];
    let rows = 1 + dice.below(30);
    match dice.below(100) {
        0..36 => Step::Append { node, table, rows },
        36..42 => Step::Dies { node, table, rows, after: dice.below(6) as u64 },
        42..54 => Step::Flush { node },
        54..66 => Step::Wait { node, time: wait(dice) },
        66..71 => Step::Crash { node, power: None },
        71..75 => Step::Crash { node, power: Some(dice.below(usize::MAX) as u64) },
        75..76 => Step::Stop { node },
        76..77 => Step::Leaves { node },
        77..81 => Step::Away { node, fault: outage(dice) },
        81..86 => Step::Flaky { node, seed: dice.below(usize::MAX) as u64 },
        86..90 => Step::Back { node },
        90..93 => Step::Hold { node },
        93..94 => Step::LetGo,
        94..96 => Step::Disk { node, kind: dice.below(6) as u8, times: 1 + dice.below(3) as u32 },
        96..97 => Step::Full { node, room: dice.below(6_000) as u64 },
        97..98 => Step::Sound { node },
        _ => Step::Clock { node, to: JUMPS[dice.below(JUMPS.len())] },
    }
}

fn wait(dice: &mut Dice) -> Duration {
    let most = [50, 1_000, 12_000, 70_000, 400_000][dice.below(5)];
    Duration::from_millis(dice.below(most) as u64)
}

fn outage(dice: &mut Dice) -> Fault {
    let faults = [
        Fault::Before(Answer::Reset),
        Fault::Before(Answer::SlowDown503),
        Fault::Before(Answer::Denied403),
        Fault::Before(Answer::Expired401),
        Fault::After(Answer::Internal500),
        Fault::Swallowed,
    ];
    faults[dice.below(faults.len())]
}

/// Gives a store some of the ways in which real ones fail now and then.
pub fn unsettle(store: &Faulty, seed: u64) {
    let mut dice = Dice(seed);
    for _ in 0..2 + dice.below(3) {
        let chance = [0.05, 0.2, 0.5][dice.below(3)];
        let millis = Duration::from_millis(1 + dice.below(4_000) as u64);
        let (fault, ops) = match dice.below(13) {
            0 => (Fault::Before(Answer::Reset), Op::ALL),
            1 => (Fault::Before(Answer::SlowDown503), Op::ALL),
            2 => (Fault::Before(Answer::TooMany429), Op::WRITES),
            3 => (Fault::Before(Answer::Taken412), Op::WRITES),
            4 => (Fault::After(Answer::Internal500), Op::WRITES),
            5 => (Fault::Lands(1 + dice.below(12) as u32), [Op::Put].as_slice()),
            6 => (Fault::Twice, [Op::Put].as_slice()),
            7 => (Fault::Lies, [Op::Put].as_slice()),
            8 => (Fault::Slow(millis), Op::ALL),
            9 => (Fault::Late(millis), Op::WRITES),
            10 => (Fault::Stale(1 + dice.below(3)), [Op::List].as_slice()),
            11 => (Fault::Cut, [Op::Get].as_slice()),
            _ => (Fault::Short, [Op::Get].as_slice()),
        };
        store.rule(Rule::new(fault).on(ops).chance(chance));
    }
}
