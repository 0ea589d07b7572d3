//! Recovery on arbitrary bytes. `CLOUDSAIL_FUZZ_SECONDS` says for how long;
//! `CLOUDSAIL_FUZZ_SEED` repeats a run.

use std::time::{Duration, Instant};

use schema::ErrorKind;
use storage::Sync;
use storage::wal::{Files, Memory};

use super::wal_world::{Dice, World, replayed};

/// Peak memory of this process so far, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Says how to repeat what panicked.
struct Repeat(u64);

impl Drop for Repeat {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("repeat it with CLOUDSAIL_FUZZ_SEED={}", self.0);
        }
    }
}

/// A log with several segments, tables, restarts and a failed tail.
fn seeded() -> (World, Vec<(String, Vec<u8>)>) {
    let world = World::new(Sync::Always);
    for boot in 0..3 {
        let mut log = world.open().log;
        for n in 0..3 {
            let name = format!("{boot}-{n}");
            let mut group = vec![world.entry("default", "logs", &[&name, "x"])];
            if n == 0 {
                group.push(world.entry("other", "spans", &[&name]));
            }
            log.append(group).unwrap();
            if n == 1 {
                log.rotate().unwrap();
            }
        }
    }
    let names = world.files.list().unwrap().into_iter().map(|(name, _)| name);
    let files = names.map(|name| (name.clone(), world.files.content(&name).unwrap())).collect();
    (world, files)
}

fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let length = bytes.len();
    let at = dice.below(length);
    let span = [1, 4, 8, 64, 512, 4096][dice.below(6)].min(length - at);
    match dice.below(7) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes[at..at + span].fill(0),
        2 => bytes[at..at + span].fill(0xFF),
        3 => bytes[at..at + span].iter_mut().for_each(|byte| *byte = dice.below(256) as u8),
        4 => bytes.truncate(at),
        5 => {
            let from = dice.below(length - span + 1);
            bytes.copy_within(from..from + span, at);
        }
        _ => {
            let copy = bytes[at..at + span].to_vec();
            bytes.extend_from_slice(&copy);
        }
    }
}

/// Scenario: any bytes of any file are changed, cut, copied or doubled, then
/// the log is opened, replayed, appended to and opened again.
/// Guarantees: F18, F19, F20: no panic, no unbounded memory; it opens, or
/// refuses with a reason; no row is invented, and what is appended then stays.
#[test]
fn fault_f19_recovery_survives_arbitrary_bytes() {
    let setting = |name: &str, or: u64| {
        std::env::var(name).map_or(or, |text| text.parse().expect("a number"))
    };
    let until = Instant::now() + Duration::from_secs(setting("CLOUDSAIL_FUZZ_SECONDS", 2));
    let mut seed = setting("CLOUDSAIL_FUZZ_SEED", 1);
    let (mut world, files) = seeded();
    let before = peak_kib();
    let (mut opened_fine, mut refused) = (0u64, 0u64);
    while Instant::now() < until {
        let _repeat = Repeat(seed);
        let mut dice = Dice(seed);
        world.files = Memory::new();
        let mutated: Vec<usize> = (0..=dice.below(3)).map(|_| dice.below(files.len())).collect();
        for (index, (name, content)) in files.iter().enumerate() {
            let mut content = content.clone();
            for _ in mutated.iter().filter(|picked| **picked == index) {
                if !content.is_empty() {
                    mutate(&mut dice, &mut content);
                }
            }
            world.files.put(name, &content);
        }
        match world.try_open() {
            Ok(opened) => {
                opened_fine += 1;
                let mut log = opened.log;
                for row in replayed(&log) {
                    assert!(row == "x" || row.len() == 3, "seed {seed}: {row} was invented");
                }
                world.log(&mut log, &["new"]).unwrap();
                drop(log);
                let found = replayed(&world.open().log);
                let new = found.iter().filter(|row| *row == "new").count();
                assert_eq!(new, 1, "seed {seed}");
            }
            Err(error) => {
                refused += 1;
                assert_eq!(error.kind(), ErrorKind::Invalid, "seed {seed}: {error}");
            }
        }
        seed += 1;
    }
    println!("{opened_fine} opened, {refused} refused, up to seed {seed}");
    assert!(opened_fine > refused, "damage is survived, not refused");
    assert!(peak_kib() - before < 512 << 10, "memory is bounded by the files");
}
