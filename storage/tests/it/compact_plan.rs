//! The policy in simulated time: which files are joined, how often, how many stay.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use proptest::prelude::*;
use schema::{Catalog, Position, TableDef, WalId};
use storage::compact::plan::{FAN_IN, Job, Policy, Whose, plan};
use storage::{ColumnStats, DataFile, Origin, Place, StatValue};

const OWN: WalId = WalId(1);
const TODAY: i32 = 20_000;
const TARGET: u64 = 256 << 20;
/// Bytes of a row of spans on the store.
const ROW: u64 = 75;

/// Small files of a day and a log: fewer than eight per tier, and as many tiers
/// as there are powers of eight rows below half of the target (docs/bounds.md).
fn most_small(row: u64) -> usize {
    (FAN_IN - 1) * (1 + (TARGET / 2 / row).ilog(FAN_IN as u64) as usize)
}

/// Those of a day that is over: each is larger than four times all that are
/// smaller (docs/bounds.md).
fn most_left(row: u64) -> usize {
    1 + (TARGET / 2 / row).ilog(5) as usize
}

fn small<'a>(files: impl IntoIterator<Item = &'a Arc<DataFile>>) -> usize {
    files.into_iter().filter(|file| file.size < TARGET / 2).count()
}

fn policy(open_from: i32) -> Policy {
    Policy { target_bytes: TARGET, memory_bytes: 96 << 20, whose: Whose::Own(OWN), open_from }
}

/// A table's files over time, with the count of rewrites of each row.
struct World {
    /// Bytes of a row on the store.
    row: u64,
    /// Checked whenever files have changed.
    most: usize,
    files: Vec<Arc<DataFile>>,
    /// By path: most times that any row in it was rewritten.
    rewrites: HashMap<String, u32>,
    made: u64,
    bytes_flushed: u64,
    bytes_written: u64,
}

impl World {
    fn new(row: u64) -> World {
        World {
            row,
            most: usize::MAX,
            files: Vec::new(),
            rewrites: HashMap::new(),
            made: 0,
            bytes_flushed: 0,
            bytes_written: 0,
        }
    }

    fn file(&mut self, date: i32, rows: u64, origin: Origin, range: (&str, &str)) -> Arc<DataFile> {
        self.made += 1;
        let text = |text: &str| Some(StatValue::Text(text.to_owned()));
        let stats = ColumnStats { min: text(range.0), max: text(range.1), null_count: Some(0) };
        Arc::new(DataFile {
            place: Place::Store,
            path: format!("{date}/{}", self.made),
            size: rows * self.row + 10_000,
            rows,
            date,
            stats: [("trace_id", stats)].into_iter().collect(),
            origin: Some(origin),
        })
    }

    fn flush(&mut self, date: i32, rows: u64) {
        self.flush_of(OWN, date, rows);
    }

    fn flush_of(&mut self, wal_id: WalId, date: i32, rows: u64) {
        let at = Position(self.made + 1);
        let origin = Origin { wal_id, first: at, last: at };
        let file = self.file(date, rows, origin, ("0", "f"));
        self.bytes_flushed += file.size;
        self.files.push(file);
    }

    fn run(&mut self, job: &Job) {
        let gone: BTreeSet<&str> = job.files().map(|file| file.path.as_str()).collect();
        let inputs: Vec<Arc<DataFile>> = job.files().cloned().collect();
        self.files.retain(|file| !gone.contains(file.path.as_str()));
        let depth = inputs.iter().map(|f| self.rewrites.get(&f.path).copied().unwrap_or(0)).max();
        let origins = || inputs.iter().filter_map(|file| file.origin);
        let wal_id = origins().next().unwrap().wal_id;
        let origin = match origins().all(|o| o.wal_id == wal_id && !o.is_mixed()) {
            true => Origin {
                wal_id,
                first: origins().map(|o| o.first).min().unwrap(),
                last: origins().map(|o| o.last).max().unwrap(),
            },
            false => Origin::mixed(OWN),
        };
        let ends: Vec<String> = (0..=job.outputs).map(|n| format!("{n:04}")).collect();
        for (output, ends) in ends.windows(2).enumerate() {
            let share = job.rows() / job.outputs as u64;
            let rest = if output == 0 { job.rows() % job.outputs as u64 } else { 0 };
            let last = format!("{}-", ends[0]);
            let range =
                if job.outputs == 1 { ("0", "f") } else { (ends[0].as_str(), last.as_str()) };
            let file = self.file(job.date, share + rest, origin, range);
            self.rewrites.insert(file.path.clone(), depth.unwrap_or(0) + 1);
            self.bytes_written += file.size;
            self.files.push(file);
        }
    }

    /// Joins until nothing is due; panics if that never comes.
    fn settle(&mut self, table: &TableDef, open_from: i32) {
        self.settle_by(table, &policy(open_from));
    }

    fn settle_by(&mut self, table: &TableDef, policy: &Policy) {
        for _ in 0..10_000 {
            let there = small(&self.files);
            assert!(there <= self.most, "{there} small files of {}", table.name);
            let jobs = plan(table, &self.files, policy, |_| true);
            let Some(job) = jobs.first() else { return };
            sound(&jobs, &self.files, policy.whose);
            self.run(job);
        }
        panic!("the policy does not come to rest");
    }

    fn deepest(&self) -> u32 {
        self.files.iter().filter_map(|f| self.rewrites.get(&f.path)).max().copied().unwrap_or(0)
    }
}

/// No file is in two jobs, none crosses a day, none is another's, and each job
/// has something to join.
fn sound(jobs: &[Job], files: &[Arc<DataFile>], whose: Whose) {
    let mut seen = BTreeSet::new();
    for job in jobs {
        assert!(job.files().count() > 1 && job.outputs > 0, "{job:?}");
        for file in job.files() {
            assert!(seen.insert(&file.path), "{} is in two jobs", file.path);
            assert!(files.iter().any(|known| Arc::ptr_eq(known, file)));
            assert_eq!(file.date, job.date);
            if let Whose::Own(log) = whose {
                assert_eq!(file.origin.unwrap().wal_id, log);
            }
        }
    }
}

/// The tables of telemetry with the bytes of their rows, as measured
/// (benches/README.md); those of the index and of what telemetry costs are guessed.
const TABLES: [(&str, u64); 5] =
    [("spans", 69), ("logs", 50), ("metrics", 14), ("trace_parts", 50), ("usage_parts", 20)];

/// Scenario: a day of flushes once a minute, of each table, when it is idle, has
/// an ordinary load (1,000 rows a second) and is busy (20,000); the policy runs
/// after each flush, and once more when the day is over.
/// Guarantees: docs/bounds.md: at no moment, before and after each job, are there
/// more small files than `most_small` says and the one that has just come; beside
/// them are full ones, of which each has at least half of the target. After the day
/// `most_left` stay; a byte is written four times at most while the day goes on.
#[test]
fn a_day_of_ordinary_load_stays_under_its_bound_of_files() {
    let catalog = Catalog::default();
    let sorted = catalog.tables().iter().filter(|table| !table.sort.is_empty());
    let telemetry = sorted.filter(|table| table.latest.is_none()).map(|table| table.name);
    assert!(telemetry.clone().all(|name| TABLES.iter().any(|(known, _)| *known == name)));
    for (name, row) in TABLES {
        let table = catalog.get(name).unwrap();
        for per_second in [1, 1_000, 20_000] {
            let mut world = World::new(row);
            world.most = most_small(row) + 1;
            for minute in 0..1440 {
                // Quiet nights and busy noons.
                let swing = 0.1 + 1.8 * (f64::from(minute) / 1440.0 * std::f64::consts::PI).sin();
                world.flush(TODAY, ((per_second * 60) as f64 * swing) as u64 + 1);
                world.settle(table, TODAY - 1);
                let there = small(&world.files);
                assert!(there <= most_small(row), "{there} small files of {name} at rest");
            }
            let full = (world.files.len() - small(&world.files)) as u64;
            assert!(full <= 2 * world.bytes_flushed / TARGET + 1, "{full} full files of {name}");
            let amplification = world.bytes_written as f64 / world.bytes_flushed as f64;
            assert!(amplification <= 4.0, "each byte of {name} was written {amplification} times");
            world.settle(table, TODAY + 1);
            let left = small(&world.files);
            assert!(left <= most_left(row), "{left} small files of {name} stay after the day");
            assert!(world.deepest() <= 8, "a row was rewritten {} times", world.deepest());
        }
    }
}

/// Scenario: eight nodes write one day of each table, at loads from idle to busy,
/// each joining its own; three days later the holder of the lease joins the rest.
/// Guarantees: docs/bounds.md: while the day goes on there are as many times
/// `most_small` as there are writers, afterwards as many small files as of one.
#[test]
fn writers_that_share_a_table_add_up_until_the_day_is_over() {
    const NODES: u128 = 8;
    let catalog = Catalog::default();
    for (name, row) in TABLES {
        let table = catalog.get(name).unwrap();
        let mut world = World::new(row);
        world.most = NODES as usize * most_small(row) + 1;
        for minute in 0..1440u64 {
            let node = WalId(1 + u128::from(minute) % NODES);
            world.flush_of(node, TODAY, 1 + (minute * 7919) % 10u64.pow(1 + minute as u32 % 6));
            let own = Policy { whose: Whose::Own(node), ..policy(TODAY - 1) };
            world.settle_by(table, &own);
        }
        for node in 1..=NODES {
            let own = Policy { whose: Whose::Own(WalId(node)), ..policy(TODAY + 1) };
            world.settle_by(table, &own);
        }
        let most = NODES as usize * most_left(row);
        assert!(small(&world.files) <= most, "{} of {name} after the day", small(&world.files));
        let anyones = Policy { whose: Whose::Anyones, ..policy(TODAY + 1) };
        world.settle_by(table, &anyones);
        let left = small(&world.files);
        assert!(left <= most_left(row), "{left} small files of {name} in the end");
    }
}

/// Scenario: a day of `trace_parts` is joined while it is written to and when it
/// is over; then late rows come for a month, a few a day.
/// Guarantees: a finished day is one run of disjoint files, and late rows do not
/// rewrite it each time, so that a trace is looked for in a few files a day.
#[test]
fn a_finished_day_of_the_trace_index_is_a_run_of_disjoint_files() {
    let catalog = Catalog::default();
    let parts = catalog.get("trace_parts").unwrap();
    let mut world = World::new(ROW);
    for _ in 0..1440 {
        world.flush(TODAY, 60_000);
        world.settle(parts, TODAY - 1);
    }
    assert!(world.files.iter().map(|f| f.size).max().unwrap() < 2 * TARGET);
    world.settle(parts, TODAY + 1);
    let bytes: u64 = world.files.iter().map(|f| f.size).sum();
    let ranges: BTreeSet<_> = world
        .files
        .iter()
        .map(|f| f.stats["trace_id"].min.clone())
        .map(|min| format!("{min:?}"))
        .collect();
    assert_eq!(ranges.len(), world.files.len(), "the files of a run are disjoint");
    assert!(world.files.len() as u64 <= bytes / TARGET + 1);
    let before = world.bytes_written;
    for _ in 0..30 {
        world.flush(TODAY, 500);
        world.settle(parts, TODAY + 1);
    }
    assert!(world.bytes_written - before < bytes / 100, "late rows rewrote the day");
    assert!(world.files.len() as u64 <= bytes / TARGET + 6);
}

/// Scenario: files of other logs, files of unknown origin, files that were found
/// unfit and files that are large enough lie among many small ones.
/// Guarantees: they are left alone.
#[test]
fn only_own_small_fit_files_are_joined() {
    let catalog = Catalog::default();
    let logs = catalog.get("logs").unwrap();
    let mut world = World::new(ROW);
    for _ in 0..40 {
        world.flush(TODAY, 1000);
    }
    let change = |file: &mut Arc<DataFile>, with: &dyn Fn(&mut DataFile)| {
        let mut changed = DataFile::clone(file);
        with(&mut changed);
        *file = Arc::new(changed);
    };
    for index in 0..10 {
        change(&mut world.files[index], &|f| f.origin = None);
        change(&mut world.files[index + 10], &|f| f.origin.as_mut().unwrap().wal_id = WalId(2));
        change(&mut world.files[index + 20], &|f| f.size = TARGET / 2);
    }
    for open_from in [TODAY - 1, TODAY + 1] {
        let unfit = world.files[39].path.clone();
        let jobs = plan(logs, &world.files, &policy(open_from), |file| file.path != unfit);
        let joined: BTreeSet<_> = jobs.iter().flat_map(Job::files).map(|f| &f.path).collect();
        assert_eq!(joined, world.files[30..39].iter().map(|f| &f.path).collect());
    }
}

proptest! {
    /// Scenario: flushes of any sizes, in any order, over three days, one of
    /// them over; the policy runs after every few.
    /// Guarantees: it comes to rest, jobs are sound, a day that is written to
    /// has fewer than eight small files per tier, each row is rewritten once
    /// per tier or where memory forbids more, and the rows stay the same.
    #[test]
    fn any_load_comes_to_rest_under_the_bound(
        flushes in proptest::collection::vec((0..3i32, 0..22u32, 1..100u64), 1..300),
        every in 1..20usize,
    ) {
        let catalog = Catalog::default();
        let spans = catalog.get("spans").unwrap();
        let mut world = World::new(ROW);
        let mut rows = 0;
        for (at, (day, power, percent)) in flushes.iter().enumerate() {
            let count = ((1u64 << power) * percent / 100).max(1);
            rows += count;
            world.flush(TODAY - day, count);
            if at % every == 0 {
                world.settle(spans, TODAY - 1);
            }
        }
        world.settle(spans, TODAY - 1);
        prop_assert_eq!(world.files.iter().map(|f| f.rows).sum::<u64>(), rows);
        let mut tiers: BTreeMap<(i32, u32), usize> = BTreeMap::new();
        for file in world.files.iter().filter(|f| f.size < TARGET / 2) {
            *tiers.entry((file.date, file.rows.ilog(FAN_IN as u64))).or_default() += 1;
        }
        for ((date, tier), files) in tiers {
            prop_assert!(files < FAN_IN, "{} files of tier {} on {}", files, tier, date);
        }
        prop_assert!(world.deepest() <= 40, "a row was rewritten {} times", world.deepest());
    }
}
