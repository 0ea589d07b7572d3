//! `sql`: one question, a file of them, or a shell; to a running daemon or
//! straight on a store.
//!
//! | file | its part |
//! | --- | --- |
//! | [`target`] | who is asked: a daemon over HTTP, or an engine in this process |
//! | [`output`] | rows to standard output or a file, in the chosen format |
//! | [`progress`] | what a long statement is at |
//! | [`split`] | where one statement ends and the next begins |
//! | [`shell`] | the prompt, its commands, history and completion |

mod output;
mod progress;
mod shell;
mod split;
mod target;

use std::io::{IsTerminal as _, Read as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::cli::{Configuration, Format, Sql, Usage};
pub use output::Wish;
pub use target::{Asked, Target};

pub async fn run(given: &Configuration, sql: Sql) -> Result<ExitCode> {
    let target = match &sql.store {
        Some(store) => {
            let config = super::load_for(given, Some(store))?.config;
            Target::open(&config, &sql.tenant).await?
        }
        None => Target::server(&sql.server, "--server")?,
    };
    let text = match (&sql.statement, &sql.file) {
        (Some(statement), _) => statement.clone(),
        (None, Some(file)) => std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?,
        (None, None) if std::io::stdin().is_terminal() => {
            return shell::run(target, sql.format).await;
        }
        (None, None) => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
            text
        }
    };
    let statements = split::statements(&text);
    if statements.is_empty() {
        return Err(Usage("there is no statement; write one, or pipe one in".into()).into());
    }
    if statements.len() > 1 && matches!(sql.format, Format::Arrow | Format::Parquet | Format::Json)
    {
        let message =
            "this format holds one answer: give one statement, or use table, csv or ndjson";
        return Err(Usage(message.into()).into());
    }
    let wish = Wish::new(sql.format);
    for statement in statements {
        match target.ask(statement, &wish).await? {
            Asked::Answered(_) => {}
            // Whoever reads has had enough (`| head`): so have we.
            Asked::Unread => return Ok(ExitCode::SUCCESS),
            Asked::Cancelled => {
                eprintln!("cancelled");
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
