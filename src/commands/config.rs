//! `config validate|show|schema`: the configuration alone; no store, no port.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;

use crate::cli::{ConfigCommand, Configuration};
use crate::config::{known, show};

pub fn run(given: &Configuration, which: ConfigCommand) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match which {
        ConfigCommand::Validate => {
            let loaded = super::load(given)?;
            for warning in &loaded.warnings {
                eprintln!("warning: {warning}");
            }
            writeln!(out, "the configuration is valid")?;
        }
        ConfigCommand::Show { origins } => {
            let loaded = super::load(given)?;
            write!(out, "{}", show::show(&loaded, origins)?)?;
        }
        ConfigCommand::Schema => {
            writeln!(out, "{}", serde_json::to_string_pretty(&known::schema())?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
