//! `verify`: every file that the tables name exists and is what its statistics
//! say. Reads every row, so it takes its time.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use schema::Tenant;
use storage::table;

use crate::cli::{Configuration, Verify};
use crate::wiring;

pub async fn run(given: &Configuration, verify: Verify) -> Result<ExitCode> {
    let config = super::load_for(given, verify.store.as_deref())?.config;
    let catalog = config.catalog();
    let store = wiring::open_existing(&config).await?;
    let tenant = Tenant::new(&verify.tenant)
        .map_err(|error| crate::cli::Usage(format!("--tenant: {error}")))?;
    let bar = progress(catalog.tables().len() as u64);
    let mut out = std::io::stdout().lock();
    let mut problems = 0;
    for table in catalog.tables() {
        bar.set_message(table.name);
        let findings = table::verify(&store, &tenant, table)
            .await
            .with_context(|| format!("cannot verify {}", table.name))?;
        bar.inc(1);
        problems += findings.len();
        let said =
            findings.iter().map(|finding| format!("{}: {}\n", finding.path, finding.problem));
        bar.suspend(|| match findings.is_empty() {
            true => writeln!(out, "ok      {}", table.name),
            false => write!(out, "FAILED  {}\n{}", table.name, said.collect::<String>()),
        })?;
    }
    bar.finish_and_clear();
    if problems == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "{problems} problems; restore the files named from a copy, or ask the table at an older version"
    )?;
    Ok(ExitCode::FAILURE)
}

fn progress(tables: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(tables);
    match ProgressStyle::with_template("{spinner} {msg} {pos}/{len} {elapsed}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
