//! Which files are joined: a pure policy.
//!
//! Files of a day fall into tiers by their rows, each [`FAN_IN`] times the one
//! below, and a tier that is full becomes one file of a higher tier. So every
//! row is rewritten once per tier at most, and a day that is written to has
//! fewer than `FAN_IN` files per tier, whatever the order and the sizes of its
//! flushes: with files of 8^6 rows (20 MB of spans) per tier 6, fewer than 50
//! beside the full ones. A file is full at half of the target and is not
//! touched again; nothing joined grows past one and a half of it.
//!
//! A day that is over is gathered further, as far as each row's share in it
//! pays: the largest files stay alone once the others together are a small
//! part of them. So late rows do not rewrite a day again and again.
//!
//! A table that is sorted by what it is looked up by (`trace_parts`) has files
//! that all cover everything. There a day that is over becomes one run of files
//! with disjoint ranges, so that a lookup meets one of them.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;

use schema::{TableDef, WalId};

use crate::encode::parquet::GROUP_ROWS;
use crate::encode::stats::less;
use crate::table::is_index;
use crate::{DataFile, StatValue};

/// Files of a tier that make one of a higher. A larger one writes less and
/// leaves more files: eight rewrites a flush of a minute three times on its way
/// to 256 MiB.
pub const FAN_IN: usize = 8;
/// Files that one job opens at most.
const MOST_INPUTS: usize = 32;
/// Of a day that is over: the rest is joined to a file when it is at least this
/// part of it, so that a row is rewritten each time its file grows by a quarter.
const WORTH: u64 = 4;

/// What the policy goes by besides the files.
#[derive(Debug, Clone)]
pub struct Policy {
    pub target_bytes: u64,
    /// Bytes that the open row groups of a job may take.
    pub memory_bytes: u64,
    pub whose: Whose,
    /// Days before this one are over.
    pub open_from: i32,
}

/// Whose files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Those of one log: every node joins its own.
    Own(WalId),
    /// Those of all logs, in days that are over: the holder of the lease.
    Anyones,
}

impl Whose {
    fn has(self, file: &DataFile) -> bool {
        match (self, file.origin) {
            (_, None) => false,
            (Whose::Own(log), Some(origin)) => origin.wal_id == log && !origin.is_mixed(),
            (Whose::Anyones, Some(_)) => true,
        }
    }
}

/// Files that become `outputs` files, none of them in two jobs.
#[derive(Debug, Clone)]
pub struct Job {
    pub date: i32,
    /// Each run is in the table's order throughout, its files one by one.
    pub runs: Vec<Vec<Arc<DataFile>>>,
    pub outputs: usize,
}

impl Job {
    pub fn files(&self) -> impl Iterator<Item = &Arc<DataFile>> {
        self.runs.iter().flatten()
    }

    pub fn bytes(&self) -> u64 {
        self.files().map(|file| file.size).sum()
    }

    pub fn rows(&self) -> u64 {
        self.files().map(|file| file.rows).sum()
    }

    /// A job of the first runs alone, for as large files.
    pub fn of_first(&self, runs: usize) -> Job {
        let mut job = self.clone();
        job.runs.truncate(runs);
        let outputs = self.outputs as u64 * job.rows();
        job.outputs = usize::try_from(outputs.div_ceil(self.rows().max(1))).unwrap_or(1).max(1);
        job
    }
}

/// The jobs that are due. No file of unknown origin, and none that `fit` refuses,
/// is in any; no job crosses a day.
pub fn plan(
    table: &TableDef,
    files: &[Arc<DataFile>],
    policy: &Policy,
    fit: impl Fn(&DataFile) -> bool,
) -> Vec<Job> {
    let mut days: BTreeMap<i32, Vec<&Arc<DataFile>>> = BTreeMap::new();
    // Without an order there is nothing to merge by.
    for file in files.iter().filter(|_| !table.sort.is_empty()) {
        if policy.whose.has(file) && fit(file) {
            days.entry(file.date).or_default().push(file);
        }
    }
    let mut jobs = Vec::new();
    for (date, mut files) in days {
        files.sort_by_key(|file| file.origin.map(|origin| (origin.first, origin.last)));
        let over = date < policy.open_from;
        if over && is_index(table) {
            jobs.extend(into_one_run(table, date, &files, policy));
            continue;
        }
        files.retain(|file| file.size < policy.target_bytes / 2);
        match over {
            true => jobs.extend(gather(date, &files, policy)),
            false if policy.whose == Whose::Anyones => {}
            false => jobs.extend(by_tier(date, &files, policy)),
        }
    }
    jobs
}

fn tier(file: &DataFile) -> u32 {
    file.rows.max(1).ilog(FAN_IN as u64)
}

/// Full tiers, oldest files first.
fn by_tier(date: i32, files: &[&Arc<DataFile>], policy: &Policy) -> Vec<Job> {
    let mut tiers: BTreeMap<u32, Vec<&Arc<DataFile>>> = BTreeMap::new();
    files.iter().for_each(|file| tiers.entry(tier(file)).or_default().push(file));
    let mut jobs = Vec::new();
    for files in tiers.into_values() {
        let mut left = files.as_slice();
        while left.len() > 1 {
            let taken = take(left, policy);
            let full = taken.len() < left.len() || taken.len() >= FAN_IN;
            let large = size(taken) >= policy.target_bytes;
            if taken.len() < 2 || !(full || large) {
                break;
            }
            jobs.push(job(date, taken));
            left = &left[taken.len()..];
        }
    }
    jobs
}

/// The first files that one job can take: enough for the target, or as many as
/// it may open.
fn take<'a, F: Borrow<Arc<DataFile>>>(files: &'a [F], policy: &Policy) -> &'a [F] {
    let (mut bytes, mut memory) = (0, 0);
    let fits = |file: &&F| {
        let file: &Arc<DataFile> = (*file).borrow();
        let room = bytes < policy.target_bytes && memory + open(file) <= policy.memory_bytes;
        (bytes, memory) = (bytes + file.size, memory + open(file));
        room
    };
    let count = files.iter().take(MOST_INPUTS).take_while(fits).count();
    // Two always fit, lest a tier of large files stay for ever.
    &files[..count.max(2).min(files.len())]
}

/// About the bytes of a file's largest row group.
fn open(file: &DataFile) -> u64 {
    let share = (GROUP_ROWS as f64 / file.rows.max(1) as f64).min(1.0);
    (file.size as f64 * share) as u64
}

fn size(files: &[&Arc<DataFile>]) -> u64 {
    files.iter().map(|file| file.size).sum()
}

fn job(date: i32, files: &[&Arc<DataFile>]) -> Job {
    Job { date, runs: files.iter().map(|file| vec![Arc::clone(file)]).collect(), outputs: 1 }
}

/// The small files of a day that is over.
fn gather(date: i32, files: &[&Arc<DataFile>], policy: &Policy) -> Option<Job> {
    let mut files = files.to_vec();
    files.sort_by_key(|file| std::cmp::Reverse(file.rows));
    let rows: Vec<u64> = files.iter().map(|file| file.rows).collect();
    let mut worth = files.split_off(first_worth(&rows)?);
    // The smallest first, when they are too many for one job.
    worth.reverse();
    let mut taken = take(&worth, policy).to_vec();
    taken.sort_by_key(|file| file.origin.map(|origin| (origin.first, origin.last)));
    (taken.len() > 1).then(|| job(date, &taken))
}

/// Of sizes from large to small: the first from which on all are joined.
fn first_worth(rows: &[u64]) -> Option<usize> {
    let mut after: u64 = rows.iter().sum();
    (0..rows.len().saturating_sub(1)).find(|i| {
        after -= rows[*i];
        after.saturating_mul(WORTH) >= rows[*i]
    })
}

/// The runs of a day that is over into one, its files disjoint.
fn into_one_run(
    table: &TableDef,
    date: i32,
    files: &[&Arc<DataFile>],
    policy: &Policy,
) -> Option<Job> {
    let mut runs = runs(table, files);
    let rows = |run: &Vec<Arc<DataFile>>| run.iter().map(|file| file.rows).sum::<u64>();
    runs.sort_by_key(|run| std::cmp::Reverse(rows(run)));
    let sizes: Vec<u64> = runs.iter().map(rows).collect();
    let Some(first) = first_worth(&sizes) else {
        return runs.iter().find_map(|run| neighbours(date, run, policy));
    };
    let mut worth = runs.split_off(first);
    worth.reverse();
    let mut memory = 0;
    let fits = |run: &&Vec<Arc<DataFile>>| {
        memory += run.iter().map(|file| open(file)).max().unwrap_or(0);
        memory <= policy.memory_bytes
    };
    let count = worth.iter().take(MOST_INPUTS).take_while(fits).count();
    worth.truncate(count.max(2));
    let bytes: u64 = worth.iter().flatten().map(|file| file.size).sum();
    let outputs = bytes.div_ceil(policy.target_bytes).max(1);
    Some(Job { date, runs: worth, outputs: usize::try_from(outputs).unwrap_or(1) })
}

/// Small files that follow each other in a run: they stay one.
fn neighbours(date: i32, run: &[Arc<DataFile>], policy: &Policy) -> Option<Job> {
    let small = |file: &Arc<DataFile>| file.size < policy.target_bytes / 2;
    run.split(|file| !small(file)).find_map(|group| {
        let taken = take(group, policy);
        let mut rows: Vec<u64> = taken.iter().map(|file| file.rows).collect();
        rows.sort_by_key(|rows| std::cmp::Reverse(*rows));
        let worth = first_worth(&rows) == Some(0);
        worth.then(|| Job { date, runs: vec![taken.to_vec()], outputs: 1 })
    })
}

/// Files in as few runs as there can be, the files of a run being disjoint.
fn runs(table: &TableDef, files: &[&Arc<DataFile>]) -> Vec<Vec<Arc<DataFile>>> {
    let mut known: Vec<(&StatValue, &StatValue, &Arc<DataFile>)> = Vec::new();
    let mut runs: Vec<Vec<Arc<DataFile>>> = Vec::new();
    for &file in files {
        let stats = table.sort.first().and_then(|name| file.stats.get(name));
        match stats.and_then(|s| Some((s.min.as_ref()?, s.max.as_ref()?, s.null_count?))) {
            Some((min, max, 0)) => known.push((min, max, file)),
            // It may hold anything.
            _ => runs.push(vec![file.clone()]),
        }
    }
    known.sort_by(|(a, ..), (b, ..)| match (less(a, b), less(b, a)) {
        (true, _) => std::cmp::Ordering::Less,
        (_, true) => std::cmp::Ordering::Greater,
        _ => std::cmp::Ordering::Equal,
    });
    let mut open: Vec<(&StatValue, Vec<Arc<DataFile>>)> = Vec::new();
    for (min, max, file) in known {
        match open.iter_mut().find(|(end, _)| less(end, min)) {
            Some((end, run)) => {
                *end = max;
                run.push(file.clone());
            }
            None => open.push((max, vec![file.clone()])),
        }
    }
    runs.extend(open.into_iter().map(|(_, run)| run));
    runs
}
