//! `verify`: the tables' logs are whole, and every file that they name exists and
//! is what its statistics say. Reads every row, so it takes its time. What lies
//! in a table's folder without a name is told, and is no failure.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use schema::Tenant;
use storage::table::{self, Finding};

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
        let leftovers = table::leftovers(&store, &tenant, table)
            .await
            .with_context(|| format!("cannot look for what {} does not name", table.name))?;
        bar.inc(1);
        problems += findings.len();
        let mark = if findings.is_empty() { "ok     " } else { "FAILED " };
        let mut text = format!("{mark} {}\n", table.name);
        for Finding { path, problem, remedy } in &findings {
            text.push_str(&format!("{path}: {problem}\n    {remedy}\n"));
        }
        for Finding { path, problem, remedy } in &leftovers {
            text.push_str(&format!("note    {path}: {problem}\n    {remedy}\n"));
        }
        bar.suspend(|| out.write_all(text.as_bytes()))?;
    }
    bar.finish_and_clear();
    if problems == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "{problems} problems")?;
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
