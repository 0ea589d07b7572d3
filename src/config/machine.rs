//! Defaults that depend on where the daemon runs: the host's name, the memory
//! it may use, the folder it was started in.

use std::path::{Path, PathBuf};

use super::layers::{Layers, Origin};
use super::units::Bytes;
use super::{Config, Invalid};

/// Where data goes when nothing is said.
pub const DATA_DIR: &str = "cloudsail-data";

/// More than this is never taken unasked: the rest of a large machine serves
/// its other tenants and the page cache.
const MOST_MEMORY: u64 = 2 << 30;

/// Of this, ingest never takes more: twice the largest request with what decoding it
/// may cost (`limits.max_request_bytes`, `limits.amplification`), so that one finds
/// room beside others. Rows on their way keep to an eighth of it
/// (`Budget::is_pressed`).
const MOST_INGEST: u64 = 512 << 20;

/// What the process needs beside the memory that it accounts for, at least:
/// itself, footers of files, what operators hold between two questions.
const BESIDE: u64 = 1 << 30;

#[derive(Debug, Clone)]
pub struct Machine {
    pub hostname: String,
    /// Bytes of the container's limit, else of the machine.
    pub memory: u64,
    pub current_dir: PathBuf,
}

impl Machine {
    pub fn read() -> Result<Machine, Invalid> {
        let current_dir = std::env::current_dir().map_err(|error| {
            Invalid::one(format!(
                "cannot tell the current folder: {error}; start from one that exists"
            ))
        })?;
        Ok(Machine { hostname: hostname(), memory: memory(), current_dir })
    }

    /// Fills in what nobody said.
    pub fn fill_in(&self, config: &mut Config, layers: &mut Layers) -> Result<(), Invalid> {
        let mut derived = |key: &str, value: String| layers.set(key, value, Origin::Machine);
        if config.node.id.is_empty() {
            config.node.id = self.hostname.clone();
            derived("node.id", config.node.id.clone());
        }
        let data = self.current_dir.join(DATA_DIR);
        for (key, dir, name) in
            [("wal.dir", &mut config.wal.dir, "wal"), ("stage.dir", &mut config.stage.dir, "stage")]
        {
            if dir.is_empty() {
                *dir = text(&data.join(name))?;
                derived(key, dir.clone());
            }
        }
        let stage = PathBuf::from(&config.stage.dir);
        for (key, dir, name) in [
            ("cache.dir", &mut config.cache.dir, "cache"),
            ("query.spill_dir", &mut config.query.spill_dir, "spill"),
        ] {
            if dir.is_empty() {
                *dir = text(&stage.with_file_name(name))?;
                derived(key, dir.clone());
            }
        }
        if config.store.url.is_empty() {
            let url = url::Url::from_file_path(data.join("store")).map_err(|()| {
                Invalid::one(format!("{} is not an absolute path; set store.url", data.display()))
            })?;
            config.store.url = url.to_string();
            derived("store.url", config.store.url.clone());
        }
        if config.limits.memory.0 == 0 {
            let half = (self.memory / 2).min(MOST_MEMORY) >> 20 << 20;
            // Whoever only says what queries get means it beside ingest's half.
            let queries = config.query.memory.0.max(half / 2);
            config.limits.memory = Bytes(queries + (half / 2).min(MOST_INGEST));
            derived("limits.memory", config.limits.memory.to_string());
            if config.query.memory.0 == 0 {
                config.query.memory = Bytes(queries);
                derived("query.memory", config.query.memory.to_string());
            }
        }
        if config.query.memory.0 == 0 {
            config.query.memory = Bytes(config.limits.memory.0 / 2);
            derived("query.memory", config.query.memory.to_string());
        }
        if config.limits.resident.0 == 0 {
            let memory = config.limits.memory.0;
            let resident = memory.saturating_add(memory.max(BESIDE)).min(self.memory);
            config.limits.resident = Bytes(resident.max(memory) >> 20 << 20);
            derived("limits.resident", config.limits.resident.to_string());
        }
        Ok(())
    }
}

fn text(path: &Path) -> Result<String, Invalid> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Invalid::one(format!("{} is not UTF-8; set wal.dir and stage.dir", path.display()))
    })
}

fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "localhost".into() } else { name.trim().to_owned() }
}

/// The least of the machine's memory and the limits of the control groups
/// (v2 and v1) this process is in.
fn memory() -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let machine = total_memory(&read("/proc/meminfo")).unwrap_or(1 << 30);
    let groups = read("/proc/self/cgroup");
    let v2 = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/").to_owned();
    [
        format!("/sys/fs/cgroup{}/memory.max", v2.trim_end_matches('/')),
        "/sys/fs/cgroup/memory.max".into(),
        "/sys/fs/cgroup/memory/memory.limit_in_bytes".into(),
    ]
    .iter()
    // "max" stands for no limit and does not parse.
    .filter_map(|path| read(path).trim().parse::<u64>().ok())
    .chain([machine])
    .min()
    .unwrap_or(machine)
}

fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
