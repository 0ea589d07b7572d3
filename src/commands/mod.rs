//! One file per command.
//!
//! | file | command |
//! | --- | --- |
//! | [`serve`] | `serve`, the daemon |
//! | [`sql`] | `sql`: over HTTP, or in process straight on a store |
//! | [`replay`] | `replay`: recorded OTLP, sent again |
//! | [`demo`] | `demo`: a daemon, a shop with a fault, questions about it |
//! | [`experiment`] | `experiment …`: documents, runs, verdicts |
//! | [`config`] | `config validate`, `show`, `schema` |
//! | [`doctor`] | `doctor`: tries what the daemon will need |
//! | [`drain`] | `drain`: nothing left in log and stage |
//! | [`adopt`] | `adopt`: a dead node's log and stage |
//! | [`compact`] | `compact`: a daemon joins its small files |
//! | [`verify`] | `verify`: every file the tables name |
//!
//! What a command answers goes to standard output, everything else to standard
//! error.

mod adopt;
mod compact;
mod config;
mod demo;
mod doctor;
mod drain;
pub mod experiment;
mod replay;
mod serve;
mod sql;
mod verify;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory as _;

use crate::cli::{Cli, Command, Configuration};
use crate::config::machine::Machine;
use crate::config::{self as configuration, Invalid, Loaded, Sources};
use crate::{logging, wiring};

/// What commands other than the daemon log unless `CLOUDSAIL_LOG` says otherwise.
const QUIET: &str = "warn";

pub async fn run(mut cli: Cli) -> Result<ExitCode> {
    let command = cli.take_command()?;
    let given = cli.configuration;
    let filter = match command {
        Command::Serve(_) => "info",
        _ => QUIET,
    };
    logging::start(given.log_format, filter)?;
    match command {
        Command::Serve(serve) => serve::run(&given, serve).await,
        Command::Sql(sql) => sql::run(&given, sql).await,
        Command::Replay(replay) => replay::run(replay).await,
        Command::Demo(demo) => demo::run(demo).await,
        Command::Experiment(which) => experiment::run(which).await,
        Command::Config(which) => config::run(&given, which),
        Command::Doctor => doctor::run(&given).await,
        Command::Drain(drain) => drain::run(&given, drain).await,
        Command::Adopt(adopt) => adopt::run(&given, adopt).await,
        Command::Compact(compact) => compact::run(compact).await,
        Command::Verify(verify) => verify::run(&given, verify).await,
        Command::Completions { shell } => completions(shell),
    }
}

/// The configuration that the command line and the environment describe.
fn load(given: &Configuration) -> Result<Loaded, Invalid> {
    load_from(&given.sources())
}

/// The same for a store that a command names itself: `store.options` and the
/// rest of the configuration go with it.
fn load_for(given: &Configuration, store: Option<&str>) -> Result<Loaded> {
    let mut sources = given.sources();
    if let Some(store) = store {
        sources.flags.push(("store.url", wiring::store_url(store)?.into(), "--store"));
    }
    Ok(load_from(&sources)?)
}

fn load_from(sources: &Sources) -> Result<Loaded, Invalid> {
    configuration::load(sources, &Machine::read()?)
}

fn completions(shell: clap_complete::Shell) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "cloudsail", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}
