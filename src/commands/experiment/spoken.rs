//! What may be said to the commands about a daemon's runs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::config::units::Period;

const SERVER: &str = "http://127.0.0.1:4320";

#[derive(Debug, Args)]
pub struct Start {
    /// The experiment: a file, or the name of one that the daemon has.
    pub experiment: String,
    /// Names the run; asked again with it, nothing is opened twice.
    #[arg(long, value_name = "ID")]
    pub run_id: Option<String>,
    /// When it begins, like 2026-11-23T10:00:00Z; now if not said.
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// When the fault was injected, for a run that is told of afterwards.
    #[arg(long, value_name = "TIME")]
    pub inject: Option<String>,
    /// When it was removed.
    #[arg(long, value_name = "TIME", requires = "inject")]
    pub recover: Option<String>,
    /// When the run was over.
    #[arg(long, value_name = "TIME")]
    pub end: Option<String>,
    /// How far these times may be off.
    #[arg(long, value_name = "TIME")]
    pub uncertainty: Option<Period>,
    /// What to do about other runs in its window, instead of what the document says.
    #[arg(long, value_enum)]
    pub overlap: Option<Overlap>,
    /// Shorter phases: 2m, 1m, 2m.
    #[arg(long)]
    pub quick: bool,
    /// A variable of the environment that the document may name; repeatable.
    #[arg(long, value_name = "NAME")]
    pub env: Vec<String>,
    /// A running daemon.
    #[arg(long, value_name = "URL", default_value = SERVER)]
    pub server: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Overlap {
    Refuse,
    Mark,
}

impl Overlap {
    pub fn name(self) -> &'static str {
        match self {
            Overlap::Refuse => "refuse",
            Overlap::Mark => "mark",
        }
    }
}

#[derive(Debug, Args)]
pub struct Mark {
    /// The run.
    pub run: String,
    /// What happened to it.
    #[arg(value_enum)]
    pub mark: What,
    /// When, like 2026-11-23T10:00:00Z; now if not said.
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Why it is aborted.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// A running daemon.
    #[arg(long, value_name = "URL", default_value = SERVER)]
    pub server: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    Inject,
    Recover,
    End,
    Abort,
    /// Its node is gone for good: this one keeps it from now on.
    Take,
}

impl What {
    pub fn name(self) -> &'static str {
        match self {
            What::Inject => "inject",
            What::Recover => "recover",
            What::End => "end",
            What::Abort => "abort",
            What::Take => "take",
        }
    }
}

#[derive(Debug, Args)]
pub struct Stop {
    /// The run.
    pub run: String,
    /// Aborts it for good, for this reason, instead of ending it.
    #[arg(long, value_name = "REASON")]
    pub abort: Option<String>,
    /// When, like 2026-11-23T10:00:00Z; now if not said.
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Waits so long for the verdict, which is the exit code then.
    #[arg(long, value_name = "TIME")]
    pub wait: Option<Period>,
    /// A running daemon.
    #[arg(long, value_name = "URL", default_value = SERVER)]
    pub server: String,
}

#[derive(Debug, Args)]
pub struct List {
    /// The latest so many.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub limit: u16,
    #[arg(long)]
    pub json: bool,
    /// A running daemon.
    #[arg(long, value_name = "URL", default_value = SERVER)]
    pub server: String,
}

#[derive(Debug, Args)]
pub struct Show {
    /// The run.
    pub run: String,
    /// A running daemon.
    #[arg(long, value_name = "URL", default_value = SERVER)]
    pub server: String,
}

#[derive(Debug, Args)]
pub struct Verdict {
    /// The run.
    pub run: String,
    /// Prints a bare number or fails: the hypothesis' estimate, or the verdict's exit code.
    #[arg(long)]
    pub value: bool,
    /// The hypothesis whose number is printed.
    #[arg(long, value_name = "NAME")]
    pub hypothesis: Option<String>,
    /// Waits so long for the verdict.
    #[arg(long, value_name = "TIME")]
    pub wait: Option<Period>,
    /// A running daemon.
    #[arg(long, value_name = "URL", default_value = SERVER)]
    pub server: String,
}

#[derive(Debug, Args)]
pub struct Completeness {
    /// From when, like 2026-11-23T10:00:00Z; default: an hour before --to.
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Until when; default: a minute ago, by which rows may come late.
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    #[arg(long)]
    pub json: bool,
    /// A running daemon.
    #[arg(long, value_name = "URL", default_value = SERVER)]
    pub server: String,
}

#[derive(Debug, Args)]
pub struct Import {
    /// A Chaos Toolkit journal, JSON; the verdict is written back into it.
    pub journal: PathBuf,
    /// The experiment to judge it by: a file, or the name of one that the daemon has;
    /// default: the journal's title.
    #[arg(long, value_name = "EXPERIMENT")]
    pub experiment: Option<String>,
    /// Names the run; default: title and start of the journal.
    #[arg(long, value_name = "ID")]
    pub run_id: Option<String>,
    /// What to do about other runs in its window, instead of what the document says:
    /// `mark` where `experiment run` kept the same one.
    #[arg(long, value_enum)]
    pub overlap: Option<Overlap>,
    /// Leaves the journal as it is.
    #[arg(long)]
    pub dry_run: bool,
    /// A variable of the environment that the document may name; repeatable.
    #[arg(long, value_name = "NAME")]
    pub env: Vec<String>,
    /// Waits so long for the verdict.
    #[arg(long, value_name = "TIME", default_value = "10m")]
    pub wait: Period,
    /// A running daemon.
    #[arg(long, value_name = "URL", default_value = SERVER)]
    pub server: String,
}
