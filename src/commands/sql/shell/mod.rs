//! The prompt: statements over several lines until a semicolon, commands with a
//! backslash, history, completion. Whatever a statement meets, the shell goes on.
//!
//! | file | its part |
//! | --- | --- |
//! | this | the loop: read, obey or ask, again |
//! | [`commands`] | what begins with a backslash |
//! | [`looks`] | tables and columns as text |
//! | [`words`] | completion: what the word before the cursor may become |
//! | [`names`] | the names that are completed, and where they come from |

mod commands;
mod looks;
mod names;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use query::render::Expanded;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};
use storage::store::told;

use super::output::{Wish, print};
use super::split;
use super::target::{Asked, Target};
use crate::cli::Format;
use commands::Next;
use names::Names;
use words::Words;

type Line = Editor<Words, FileHistory>;

/// What a shell remembers from one entry to the next.
struct Shell {
    target: Arc<Target>,
    wish: Wish,
    timing: bool,
    /// Tables too wide for the terminal take a line per column.
    auto: bool,
}

pub async fn run(target: Target, format: Format) -> Result<ExitCode> {
    let target = Arc::new(target);
    let names = Arc::new(Names::new(target.clone()));
    if let Err(error) = names.load().await {
        eprintln!("warning: {}", told(&*error));
    }
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .max_history_size(10_000)?
        .auto_add_history(false);
    let mut line: Line = Editor::with_config(config.build())?;
    line.set_helper(Some(Words::new(names.clone())));
    let history =
        std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cloudsail_history"));
    if let Some(path) = history.as_ref().filter(|path| path.exists())
        && let Err(error) = line.load_history(path)
    {
        eprintln!("warning: cannot read {}: {error}", path.display());
    }
    print(&format!("{}; \\? for help, \\q to leave\n", target.name()))?;
    let mut shell = Shell { target, wish: Wish::new(format), timing: false, auto: true };
    loop {
        // The terminal blocks; it gets a thread, and the editor travels with it.
        let (back, read) = tokio::task::spawn_blocking(move || {
            let read = line.readline("cloudsail> ");
            (line, read)
        })
        .await
        .context("the prompt broke off")?;
        line = back;
        let entered = match read {
            Ok(entered) => entered,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error).context("cannot read from the terminal"),
        };
        let entered = entered.trim();
        if entered.is_empty() {
            continue;
        }
        // Kept at once, so that a shell that is killed has its history too.
        if line.add_history_entry(entered)?
            && let Some(path) = &history
            && let Err(error) = line.append_history(path)
        {
            eprintln!("warning: cannot write {}: {error}", path.display());
        }
        if shell.auto {
            let width = line.dimensions().map_or(80, |(columns, _)| usize::from(columns));
            shell.wish.expanded = Expanded::Beyond(width);
        }
        let next = match entered.strip_prefix('\\') {
            Some(command) => shell.obey(command).await,
            None => shell.ask_all(entered).await,
        };
        match next {
            Ok(Next::Prompt) => {}
            Ok(Next::Leave) => break,
            Err(error) => eprintln!("error: {}", told(&*error)),
        }
        // A daemon that was away at the start may be there now.
        if let Err(error) = names.load().await {
            tracing::debug!(error = told(&*error), "no names to complete");
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Shell {
    /// Asks one statement after the other, up to the first that fails.
    async fn ask_all(&self, text: &str) -> Result<Next> {
        let file = self.wish.file.as_ref();
        if matches!(self.wish.format, Format::Arrow | Format::Parquet) && file.is_none() {
            anyhow::bail!("this format is for files: name one with \\o FILE, or choose a \\format");
        }
        for statement in split::statements(text) {
            let started = Instant::now();
            match self.target.ask(statement, &self.wish).await? {
                Asked::Answered(rows) => {
                    if let (Some(file), Some(rows)) = (file, rows) {
                        let noun = if rows == 1 { "row" } else { "rows" };
                        eprintln!("{rows} {noun} to {}", file.display());
                    }
                    if self.timing {
                        print(&format!("time: {:.1} ms\n", started.elapsed().as_secs_f64() * 1e3))?;
                    }
                }
                Asked::Cancelled => {
                    eprintln!("cancelled");
                    return Ok(Next::Prompt);
                }
                Asked::Unread => return Ok(Next::Leave),
            }
        }
        Ok(Next::Prompt)
    }
}
