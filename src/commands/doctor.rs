//! `doctor`: tries what the daemon will need, and says what to do where it
//! would fail. It may run beside the daemon, and
//! leaves nothing behind but the store's folder.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use hyper::Method;
use schema::Clock;
use storage::disk::Disk;
use storage::store::probe::Verdict;
use storage::store::told;

use crate::bind;
use crate::cli::Configuration;
use crate::client::Client;
use crate::clock::SystemClock;
use crate::commands::serve::reachable;
use crate::config::Config;
use crate::wiring;

/// An fsync slower than this makes every acknowledgement slow.
const SLOW_FSYNC: Duration = Duration::from_millis(50);
/// Wall clock and monotonic clock must agree this well over a short wait.
const CLOCK_DRIFT: Duration = Duration::from_millis(20);

/// How one thing was found.
enum Found {
    Well(String),
    /// It works, but a human should look.
    Odd(String),
    Failed(String),
}

use Found::{Failed, Odd, Well};

pub async fn run(given: &Configuration) -> Result<ExitCode> {
    let loaded = super::load(given)?;
    let config = &loaded.config;
    let mut report = Report { failed: false };
    for warning in &loaded.warnings {
        report.say("config", Odd(warning.to_string()))?;
    }
    let wal = PathBuf::from(&config.wal.dir);
    store(config, &mut report).await?;
    report.say("clock", clock().await)?;
    for (name, dir) in [("wal.dir", &wal), ("stage.dir", &PathBuf::from(&config.stage.dir))] {
        report.say(name, folder(dir))?;
    }
    for Volume { name, dir, wanted, .. } in volumes(config) {
        report.say(&name, disk(&dir, config, wanted))?;
    }
    report.say("fsync", fsync(&wal))?;
    report.say("memory", memory(config))?;
    let running = running(config).await;
    for (key, listen) in config.listens().into_iter().take(4) {
        report.say(key, port(key, listen, config.insecure.0, running).await)?;
    }
    Ok(if report.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

struct Report {
    failed: bool,
}

impl Report {
    fn say(&mut self, what: &str, found: Found) -> Result<()> {
        let (mark, text) = match found {
            Well(text) => ("ok     ", text),
            Odd(text) => ("note   ", text),
            Failed(text) => {
                self.failed = true;
                ("FAILED ", text)
            }
        };
        writeln!(std::io::stdout(), "{mark} {what:<21} {text}")?;
        Ok(())
    }
}

async fn store(config: &Config, report: &mut Report) -> Result<()> {
    let url = &config.store.url;
    if url.starts_with("memory:") {
        let text = format!("{url} is gone with the process; set store.url to keep what is sent");
        return report.say("store", Odd(text));
    }
    let store = match wiring::open_store(config) {
        Ok(store) => store,
        Err(error) => return report.say("store", Failed(told(&*error))),
    };
    let name = format!("{}-{}", std::process::id(), SystemClock.now_unix_nano());
    for finding in storage::store::probe(&store, &name, &SystemClock).await {
        let found = match finding.verdict {
            Verdict::Well => Well(finding.text),
            Verdict::Odd => Odd(finding.text),
            Verdict::Failed => Failed(finding.text),
        };
        report.say(&format!("store {}", finding.step), found)?;
    }
    Ok(())
}

async fn clock() -> Found {
    let (wall, steady) = (SystemClock.now_unix_nano(), Instant::now());
    tokio::time::sleep(Duration::from_millis(100)).await;
    let wall_passed = SystemClock.now_unix_nano().saturating_sub(wall);
    let steady_passed = i64::try_from(steady.elapsed().as_nanos()).unwrap_or(i64::MAX);
    let apart = Duration::from_nanos(wall_passed.abs_diff(steady_passed));
    let year = 1970 + wall / 31_556_952_000_000_000;
    if !(2024..=2100).contains(&year) {
        return Failed(format!("the year seems to be {year}; set the clock, start NTP"));
    }
    if apart > CLOCK_DRIFT {
        return Odd(format!("the wall clock is being moved ({apart:?} in 100 ms); check NTP"));
    }
    Well(format!("the year is {year}, and the wall clock runs as fast as the steady one"))
}

/// The folder, or what of it exists already.
fn nearest_existing(dir: &Path) -> &Path {
    dir.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(dir)
}

fn folder(dir: &Path) -> Found {
    let existing = nearest_existing(dir);
    let probe = existing.join(format!(".cloudsail-doctor-{}", std::process::id()));
    let written = std::fs::write(&probe, b"doctor").and_then(|()| std::fs::remove_file(&probe));
    if let Err(error) = written {
        return Failed(format!(
            "{} cannot be written: {error}; give it to this user, or name another folder",
            existing.display()
        ));
    }
    if existing != dir {
        return Well(format!("{} will be created", dir.display()));
    }
    match std::fs::metadata(dir).map(|meta| meta.permissions().mode() & 0o777) {
        Ok(mode) if mode & 0o007 != 0 => Odd(format!(
            "{} may be entered by every user of this machine (mode {mode:o}): chmod 700 it, telemetry holds personal data",
            dir.display()
        )),
        Ok(mode) => Well(format!("{} is writable (mode {mode:o})", dir.display())),
        Err(error) => Failed(format!("{}: {error}", dir.display())),
    }
}

/// A volume that this node writes to.
struct Volume {
    name: String,
    dir: PathBuf,
    device: Option<u64>,
    /// Bytes that log and stage may take of it; the others give way.
    wanted: u64,
}

/// One for all folders, mostly.
fn volumes(config: &Config) -> Vec<Volume> {
    let mut volumes: Vec<Volume> = Vec::new();
    for (key, dir, wanted) in [
        ("wal.dir", &config.wal.dir, config.wal.max_bytes.0),
        ("stage.dir", &config.stage.dir, config.stage.max_bytes.0),
        ("cache.dir", &config.cache.dir, 0),
        ("query.spill_dir", &config.query.spill_dir, 0),
    ] {
        let dir = PathBuf::from(dir);
        let device = std::fs::metadata(nearest_existing(&dir)).map(|found| found.dev()).ok();
        match volumes.iter_mut().find(|known| known.device == device) {
            Some(known) => known.wanted = known.wanted.saturating_add(wanted),
            None => {
                let name = match volumes.is_empty() {
                    true => "disk".to_owned(),
                    false => format!("disk of {key}"),
                };
                volumes.push(Volume { name, dir, device, wanted });
            }
        }
    }
    volumes
}

fn disk(dir: &Path, config: &Config, wanted: u64) -> Found {
    let disk = Disk::new(nearest_existing(dir), config.disk.reserve.0);
    let space = match disk.space() {
        Ok(space) => space,
        Err(error) => return Failed(format!("{:#}", anyhow::Error::new(error))),
    };
    let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / (1_u64 << 30) as f64);
    let free = format!("{} of {} free", gib(space.free), gib(space.total));
    if let Err(error) = disk.check() {
        return Failed(error.to_string());
    }
    let reserve = (space.total as f64 * config.disk.reserve.0) as u64;
    let room = space.free.saturating_sub(reserve);
    if room < wanted {
        return Odd(format!(
            "{free}, {} above disk.reserve: less than wal.max_bytes and stage.max_bytes may ask of it ({}); lower them or give it a larger volume",
            gib(room),
            gib(wanted)
        ));
    }
    Well(format!("{free}, disk.reserve keeps {}", gib(reserve)))
}

fn fsync(dir: &Path) -> Found {
    let path = nearest_existing(dir).join(format!(".cloudsail-fsync-{}", std::process::id()));
    let timed = (|| {
        use std::io::Write as _;
        let mut file = std::fs::File::create(&path)?;
        let mut times = Vec::new();
        for _ in 0..16 {
            file.write_all(&[7; 4096])?;
            let started = Instant::now();
            file.sync_data()?;
            times.push(started.elapsed());
        }
        times.sort();
        Ok::<_, std::io::Error>((times[8], times[15]))
    })();
    let removed = std::fs::remove_file(&path);
    match (timed, removed) {
        (Ok((median, worst)), _) if median > SLOW_FSYNC => Odd(format!(
            "4 KiB take {median:?} (worst {worst:?}): every acknowledgement waits for one; use a faster disk, or wal.sync: interval if a power loss may take the last moments"
        )),
        (Ok((median, worst)), _) => {
            Well(format!("4 KiB take {median:?}, at worst {worst:?} of 16"))
        }
        (Err(error), _) => Failed(format!("{}: {error}", path.display())),
    }
}

fn memory(config: &Config) -> Found {
    let (all, ingest) = (config.limits.memory, config.ingest_memory());
    let needed = config.limits.max_request_bytes.0.saturating_mul(config.collector().amplification);
    if needed > ingest {
        return Odd(format!(
            "limits.memory leaves {} MiB for ingest: requests above {} MiB will be refused whatever limits.max_request_bytes says",
            ingest >> 20,
            (ingest / config.collector().amplification) >> 20
        ));
    }
    Well(format!("{all}, of which {} are for queries", config.query.memory))
}

/// Whether a daemon answers where this configuration would put one.
async fn running(config: &Config) -> bool {
    let Ok(address) = config.http.listen.parse() else { return false };
    let Ok(client) = Client::new(&format!("http://{}", reachable(address)), "http.listen") else {
        return false;
    };
    let asked = client.json(Method::GET, "/api/v1/status", Bytes::new());
    match tokio::time::timeout(Duration::from_secs(2), asked).await {
        Ok(Ok(status)) => status.get("node_id").is_some(),
        Ok(Err(_)) | Err(_) => false,
    }
}

async fn port(key: &str, listen: &str, insecure: bool, running: bool) -> Found {
    match bind::bind((key, listen), insecure).await {
        Ok(Some(_)) => Well(format!("{listen} is free")),
        Ok(None) => Well("turned off".into()),
        Err(error) if running => Odd(format!("a daemon runs here already ({error:#})")),
        Err(error) => Failed(format!("{error:#}")),
    }
}
