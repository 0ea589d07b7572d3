//! The command line: what may be said, and nothing about how it is done.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::experiment::args::{Guard, Run};
use crate::commands::experiment::spoken;
use crate::config::Sources;
use crate::config::units::Period;

/// OpenTelemetry in, open Delta tables out, SQL at once.
#[derive(Debug, Parser)]
#[command(name = "cloudsail", version, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    pub configuration: Configuration,
    #[command(flatten)]
    pub serve: Serve,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Clone, Args)]
pub struct Configuration {
    /// Configuration file or folder; repeatable, later wins.
    #[arg(long, value_name = "PATH", global = true)]
    pub config: Vec<PathBuf>,
    /// Sets one key, over files and environment; repeatable.
    #[arg(long, value_name = "KEY=VALUE", global = true)]
    pub set: Vec<String>,
    /// How log lines look; they go to standard error.
    #[arg(long, value_enum, default_value_t, global = true)]
    pub log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    #[default]
    Human,
    Json,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Serve {
    /// Listens on other than loopback addresses without TLS and authentication.
    #[arg(long)]
    pub insecure: bool,
    /// Writes the addresses really bound as JSON to this file once ready.
    #[arg(long, value_name = "PATH")]
    pub ports_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the daemon (the default).
    Serve(Serve),
    /// Asks by SQL: a running daemon, or straight on a store.
    Sql(Sql),
    /// Starts a daemon, sends it a small shop's telemetry with a fault in it, and asks about it.
    Demo(Demo),
    /// Sends recorded OTLP.
    Replay(Replay),
    /// Checks an experiment's document, judges a run, verifies a report.
    #[command(subcommand)]
    Experiment(ExperimentCommand),
    /// Checks or prints the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Tries store, clock, disk, permissions and ports, with advice.
    Doctor,
    /// Has a daemon join its small files now, and prints what was done.
    Compact(Compact),
    /// Has everything committed: by the running daemon, which takes no more rows from
    /// then on, or straight from the data folder. Exits with 0 when log and stage are empty.
    Drain(Drain),
    /// Commits what a dead node left in its data folder.
    Adopt(Adopt),
    /// Checks that every file the tables name exists and matches its statistics.
    Verify(Verify),
    /// Prints a shell's completion script.
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub struct Sql {
    /// The statement; without one a shell, or standard input when that is no terminal.
    #[arg(conflicts_with = "file")]
    pub statement: Option<String>,
    /// Reads the statements from a file.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// A running daemon.
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:4320",
        conflicts_with = "store"
    )]
    pub server: String,
    /// A store, read directly: what is committed there, and no rows in memory.
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// Whose tables to read, with --store.
    #[arg(long, default_value = "default", requires = "store")]
    pub tenant: String,
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Table,
    Json,
    Ndjson,
    Csv,
    Arrow,
    Parquet,
}

#[derive(Debug, Args)]
pub struct Demo {
    /// Folder for the demo's data; a temporary one, removed at the end, when not given.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Exits when the results are printed, instead of serving on.
    #[arg(long)]
    pub once: bool,
}

#[derive(Debug, Args)]
pub struct Replay {
    /// OTLP as JSON lines or as length-delimited protobuf, plain, .gz or .zst.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// OTLP/HTTP endpoint.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:4318")]
    pub endpoint: String,
    /// Most items (spans, log records, data points) per second.
    #[arg(long, value_name = "ITEMS", value_parser = positive)]
    pub rate: Option<f64>,
    /// Moves all timestamps by one constant so that the last item happens now.
    #[arg(long)]
    pub shift_to_now: bool,
    /// Signal of protobuf files whose name does not tell it (*.traces.*, *.logs.*, *.metrics.*).
    #[arg(long, value_enum)]
    pub signal: Option<SignalName>,
    /// Requests in flight.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub in_flight: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SignalName {
    Traces,
    Metrics,
    Logs,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Checks the configuration and nothing else: no store, no ports.
    Validate,
    /// Prints the effective configuration, secrets redacted.
    Show {
        /// Says where each value comes from.
        #[arg(long)]
        origins: bool,
    },
    /// Prints the configuration's JSON schema.
    Schema,
}

#[derive(Debug, Subcommand)]
pub enum ExperimentCommand {
    /// Prints the completed document, and refuses what cannot work.
    Lint(Lint),
    /// Judges a run by the telemetry of its window; the exit code is the verdict's.
    Judge(Judge),
    /// Judges a report's run again, over the rows it was made from.
    Verify(Verified),
    /// Counts what is torn, late or doubled in the telemetry of a stretch of time.
    Completeness(spoken::Completeness),
    /// Writes a report.json in another form.
    Report(Rendered),
    /// Opens a run at a daemon, and prints its id.
    Start(spoken::Start),
    /// Tells a daemon what happened to a run.
    Mark(spoken::Mark),
    /// Ends a run, or aborts it for good.
    Stop(spoken::Stop),
    /// Lists a daemon's runs, the latest first.
    List(spoken::List),
    /// Prints what a daemon knows of a run, as JSON.
    Show(spoken::Show),
    /// Tells a run's verdict; the exit code is the verdict's.
    Verdict(spoken::Verdict),
    /// Tells a daemon of a Chaos Toolkit journal's run, and writes the verdict into it.
    Import(spoken::Import),
    /// Opens a run, supervises an injector, and judges: cloudsail experiment run exp.yaml -- CMD.
    Run(Run),
    /// What stops runs: measures it.
    #[command(subcommand)]
    Guard(Guard),
}

#[derive(Debug, Args)]
pub struct Lint {
    /// The experiment, YAML.
    pub file: PathBuf,
    /// A variable of the environment that the document may name; repeatable.
    #[arg(long, value_name = "NAME")]
    pub env: Vec<String>,
    /// A running daemon, to check min-samples against the traffic of the last five minutes.
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
}

#[derive(Debug, Args)]
pub struct Rendered {
    /// A report, JSON.
    pub report: PathBuf,
    #[arg(long, value_enum, default_value_t)]
    pub format: ReportForm,
    /// A file to write to, instead of printing.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub enum ReportForm {
    /// One page that loads nothing.
    #[default]
    Html,
    /// For people and step summaries.
    Md,
    /// For CI.
    Junit,
}

#[derive(Debug, Args)]
pub struct Judge {
    /// The experiment, YAML.
    pub file: PathBuf,
    /// When the fault was injected, like 2026-11-23T10:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub from: String,
    /// When it was removed.
    #[arg(long, value_name = "TIME")]
    pub to: String,
    /// How far these two may be off; such buckets are in no phase.
    #[arg(long, value_name = "TIME", default_value = "0s")]
    pub uncertainty: Period,
    /// Another run's window with its recovery, FROM/TO; repeatable.
    #[arg(long, value_name = "FROM/TO")]
    pub other: Vec<String>,
    /// Names the run, and seeds its resampling; default: document and --from.
    #[arg(long, value_name = "ID")]
    pub run_id: Option<String>,
    /// Shorter phases: 2m, 1m, 2m.
    #[arg(long)]
    pub quick: bool,
    /// A variable of the environment that the document may name; repeatable.
    #[arg(long, value_name = "NAME")]
    pub env: Vec<String>,
    /// A running daemon.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:4320")]
    pub server: String,
    /// Folder for report.json and the document's other formats.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Verified {
    /// A report.json.
    pub report: PathBuf,
    /// A running daemon.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:4320")]
    pub server: String,
}

#[derive(Debug, Args)]
pub struct Compact {
    /// A running daemon.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:4320")]
    pub server: String,
}

#[derive(Debug, Args)]
pub struct Drain {
    /// The daemon; default: the one that has wal.dir open, at http.listen.
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// Longest wait, like 25s; then it exits with 1 and says what is left.
    #[arg(long, value_name = "TIME")]
    pub deadline: Option<Period>,
}

#[derive(Debug, Args)]
pub struct Adopt {
    /// The dead node's data folder, with its `wal` and `stage`.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Its stage.dir, if that was elsewhere.
    #[arg(long, value_name = "DIR")]
    pub stage: Option<PathBuf>,
    /// Longest wait, like 10m; then it exits with 1 and may be run again.
    #[arg(long, value_name = "TIME")]
    pub deadline: Option<Period>,
}

#[derive(Debug, Args)]
pub struct Verify {
    /// The store; default: store.url of the configuration.
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// Whose tables.
    #[arg(long, default_value = "default")]
    pub tenant: String,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
        _ => Err("give a number above zero".into()),
    }
}

/// A command line that cannot be carried out: exit code 2.
#[derive(Debug)]
pub struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

impl Cli {
    /// The command, `serve` when none was named. Flags of `serve` may stand on
    /// either side of its name, but with no other command.
    pub fn take_command(&mut self) -> Result<Command, Usage> {
        let before = std::mem::take(&mut self.serve);
        match self.command.take() {
            None => Ok(Command::Serve(before)),
            Some(Command::Serve(after)) => Ok(Command::Serve(Serve {
                insecure: before.insecure || after.insecure,
                ports_file: after.ports_file.or(before.ports_file),
            })),
            Some(_) if before != Serve::default() => {
                Err(Usage("--insecure and --ports-file belong to `cloudsail serve`".into()))
            }
            Some(other) => Ok(other),
        }
    }
}

/// The environment, but for names and values that are not Unicode: those
/// cannot be meant for this.
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

impl Configuration {
    /// The layers that the command line and the environment name.
    pub fn sources(&self) -> Sources {
        Sources {
            files: self.config.clone(),
            environment: environment(),
            set: self.set.clone(),
            flags: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        let mut cli = Cli::try_parse_from(line.split_whitespace()).map_err(|e| e.to_string())?;
        cli.take_command().map_err(|e| e.to_string())
    }

    /// Scenario: clap checks its own definitions.
    /// Guarantees: no two flags clash.
    #[test]
    fn the_command_line_is_sound() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    /// Scenario: `cloudsail` alone, and with the flags of serve on either side.
    /// Guarantees: all of them run the daemon with these flags.
    #[test]
    fn serve_is_the_default() {
        let expected = Serve { insecure: true, ports_file: Some("p".into()) };
        for line in [
            "cloudsail --insecure --ports-file p",
            "cloudsail serve --insecure --ports-file p",
            "cloudsail --insecure serve --ports-file p",
            "cloudsail serve --config a --set x=y --insecure --ports-file p --log-format json",
        ] {
            match parse(line) {
                Ok(Command::Serve(serve)) => assert_eq!(serve, expected, "{line}"),
                other => panic!("{line}: {other:?}"),
            }
        }
        assert!(parse("cloudsail --insecure doctor").unwrap_err().contains("belong to"));
    }

    /// Scenario: contradicting or impossible arguments.
    /// Guarantees: they are refused before anything runs.
    #[test]
    fn nonsense_is_refused() {
        for line in [
            "cloudsail nonsense",
            "cloudsail sql --store file:///x --server http://y q",
            "cloudsail sql --format xml q",
            "cloudsail replay",
            "cloudsail replay a --rate 0",
            "cloudsail replay a --in-flight 0",
            "cloudsail drain --deadline 10",
            "cloudsail adopt",
            "cloudsail experiment judge x.yaml --from 2026-11-23T10:00:00Z",
            "cloudsail completions tcsh2",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    /// Scenario: --config and --set stand after the command.
    /// Guarantees: they are taken in order there too.
    #[test]
    fn configuration_flags_go_anywhere() {
        let line = "cloudsail config validate --config a --config b --set x=1";
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        assert_eq!(cli.configuration.config, [PathBuf::from("a"), PathBuf::from("b")]);
        assert_eq!(cli.configuration.set, ["x=1"]);
    }
}
