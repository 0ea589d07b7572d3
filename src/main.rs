//! `cloudsail`: the daemon and its commands. The root knows every other room
//! and is known by none; clap, anyhow, configuration files, the environment and
//! signals exist here only.
//!
//! | file | its part |
//! | --- | --- |
//! | [`cli`] | the command line |
//! | [`config`] | files, environment and flags as one typed configuration |
//! | [`commands`] | one file per command |
//! | [`wiring`] | storage, collector and engine joined into a running daemon |
//! | [`bind`] | listeners, and who may be listened to (S1) |
//! | [`admin`] | /healthz, /readyz, /metrics, flush and status on the HTTP door |
//! | [`chaos`] | experiments: runs kept, marked, judged, and their API |
//! | [`door`] | an axum router served with limits and timeouts (S14, S15) |
//! | [`shutdown`] | signals, and the stages with their deadlines |
//! | [`logging`] | log lines, escaped (S16), counted by level |
//! | [`metrics`] | what the process says of itself |
//! | [`client`] | a small HTTP client for the commands |
//! | [`usage`] | writes what telemetry has cost |
//! | [`clock`] | the system's clock |

mod admin;
mod bind;
mod chaos;
mod cli;
mod client;
mod clock;
mod commands;
mod config;
mod door;
mod logging;
mod metrics;
mod shutdown;
mod usage;
mod wiring;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

/// Batches are freed by other threads than made them, and a node is paid for by
/// what stays resident: the system's own allocator gives memory back late or never
/// (benches/README.md, docs/bounds.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit codes of every command: 0 done, 1 failure, 2 usage or configuration.
const FAILURE: u8 = 1;
const USAGE: u8 = 2;

/// Threads for blocking calls end when nobody asked them for so long, and there are so
/// many at most: the allocator takes back what others free of theirs only as such a thread
/// goes on or ends, and tokio wakes them in turn. Ranges of local files they read into
/// memory of who asks (`storage/src/store/ranges.rs`). Two may be taken by a run that is
/// judged and a report that is drawn.
const IDLE: Duration = Duration::from_secs(1);
const BLOCKING: usize = 6;

/// Room for what a blocking call may still finish after the work is done.
const LAST_CALLS: Duration = Duration::from_millis(500);

/// The allocator asks for huge pages, and a page of two megabytes stays for one
/// object in it: that is a third of an idle node (benches/README.md).
#[cfg(target_os = "linux")]
fn small_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        eprintln!("warning: huge pages stay allowed, memory will be larger: {error}");
    }
}

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    small_pages();
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are such errors too, with code 0.
            let code = if error.use_stderr() { USAGE } else { 0 };
            let printed = error.print();
            return ExitCode::from(if printed.is_ok() { code } else { FAILURE });
        }
    };
    // Two crypto libraries are linked (object_store's and Delta's); TLS uses one.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("error: another crypto library was set up before this one");
        return ExitCode::from(FAILURE);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_keep_alive(IDLE)
        .max_blocking_threads(BLOCKING)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start the runtime: {error}");
            return ExitCode::from(FAILURE);
        }
    };
    let outcome = runtime.block_on(commands::run(cli));
    runtime.shutdown_timeout(LAST_CALLS);
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", storage::store::told(&*error));
            let ours = error.is::<cli::Usage>() || error.is::<config::Invalid>();
            ExitCode::from(if ours { USAGE } else { FAILURE })
        }
    }
}
