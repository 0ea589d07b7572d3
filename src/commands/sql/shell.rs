//! The prompt: statements over several lines until a semicolon, commands with a
//! backslash, history, completion of tables and columns.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::ValueEnum as _;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper};
use storage::store::told;

use super::output;
use super::split;
use super::target::{Asked, Target};
use crate::cli::Format;

const HELP: &str = "\
Statements end with a semicolon and may take several lines. Ctrl-C cancels, Ctrl-D leaves.
  \\d             tables and views
  \\d TABLE       the columns of one
  \\format NAME   table, json, ndjson, csv (arrow and parquet want a file: --format)
  \\timing        time of each answer, on and off
  \\q             leaves
";

/// Words that are completed besides names; lower case finds them too.
const KEYWORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "LIMIT",
    "HAVING",
    "JOIN",
    "LEFT JOIN",
    "ON",
    "AND",
    "OR",
    "NOT",
    "NULL",
    "IS",
    "IN",
    "LIKE",
    "ILIKE",
    "BETWEEN",
    "AS",
    "DISTINCT",
    "COUNT",
    "SUM",
    "AVG",
    "MIN",
    "MAX",
    "DESC",
    "ASC",
    "WITH",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "INTERVAL",
    "EXPLAIN",
    "ANALYZE",
    "UNION ALL",
    "DESCRIBE",
    "SHOW TABLES",
];

type Line = Editor<Words, FileHistory>;

pub async fn run(target: Target, mut format: Format) -> Result<ExitCode> {
    if matches!(format, Format::Arrow | Format::Parquet) {
        return Err(crate::cli::Usage(
            "the shell prints text: give a statement, or another --format".into(),
        )
        .into());
    }
    let names = match target.tables().await {
        Ok(tables) => names(&tables),
        Err(error) => {
            eprintln!("warning: {}", told(&*error));
            BTreeSet::new()
        }
    };
    let config =
        Config::builder().completion_type(CompletionType::List).max_history_size(10_000)?;
    let mut line: Line = Editor::with_config(config.build())?;
    line.set_helper(Some(Words { names }));
    let history =
        std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cloudsail_history"));
    if let Some(path) = history.as_ref().filter(|path| path.exists())
        && let Err(error) = line.load_history(path)
    {
        eprintln!("warning: cannot read {}: {error}", path.display());
    }
    println(&format!("{}; \\? for help, \\q to leave", target.name()))?;
    let mut timing = false;
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
        line.add_history_entry(entered)?;
        if let Some(command) = entered.strip_prefix('\\') {
            match obey(command, &target, &mut format, &mut timing).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => eprintln!("error: {}", told(&*error)),
            }
            continue;
        }
        for statement in split::statements(entered) {
            let started = Instant::now();
            match target.ask(statement, format).await {
                Ok(Asked::Answered) if timing => tell_time(started.elapsed())?,
                Ok(Asked::Answered) => {}
                Ok(Asked::Cancelled) => eprintln!("cancelled"),
                Ok(Asked::Unread) => return Ok(ExitCode::SUCCESS),
                Err(error) => {
                    eprintln!("error: {}", told(&*error));
                    break;
                }
            }
        }
    }
    if let Some(path) = history
        && let Err(error) = line.save_history(&path)
    {
        eprintln!("warning: cannot write {}: {error}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn println(text: &str) -> Result<()> {
    output::copy(format!("{text}\n").as_bytes())
}

fn tell_time(elapsed: Duration) -> Result<()> {
    println(&format!("time: {:.1} ms", elapsed.as_secs_f64() * 1000.0))
}

/// Carries out a command; false to leave.
async fn obey(
    command: &str,
    target: &Target,
    format: &mut Format,
    timing: &mut bool,
) -> Result<bool> {
    let mut words = command.split_whitespace();
    match (words.next().unwrap_or_default(), words.next()) {
        ("q" | "quit", None) => return Ok(false),
        ("?" | "h" | "help", None) => output::copy(HELP.as_bytes())?,
        ("timing", None) => {
            *timing = !*timing;
            println(if *timing { "timing is on" } else { "timing is off" })?;
        }
        ("format", Some(name)) => match Format::from_str(name, true) {
            Ok(Format::Arrow | Format::Parquet) => {
                anyhow::bail!("{name} is for files: cloudsail sql --format {name} \"…\" > file");
            }
            Ok(chosen) => *format = chosen,
            Err(_) => anyhow::bail!("there is no format {name}; use table, json, ndjson or csv"),
        },
        ("d", None) => println(&tables_text(&target.tables().await?))?,
        ("d", Some(name)) => println(&columns_text(&target.tables().await?, name)?)?,
        _ => anyhow::bail!("there is no command \\{command}; \\? lists them"),
    }
    Ok(true)
}

fn text<'a>(value: &'a serde_json::Value, key: &str) -> &'a str {
    value.get(key).and_then(|value| value.as_str()).unwrap_or_default()
}

fn list<'a>(value: &'a serde_json::Value, key: &str) -> &'a [serde_json::Value] {
    value.get(key).and_then(|value| value.as_array()).map(Vec::as_slice).unwrap_or_default()
}

/// As it is written in SQL: `system.files`, `spans`.
fn sql_name(table: &serde_json::Value) -> String {
    match text(table, "schema") {
        "public" | "" => text(table, "name").to_owned(),
        schema => format!("{schema}.{}", text(table, "name")),
    }
}

fn tables_text(tables: &serde_json::Value) -> String {
    let rows = list(tables, "tables").iter().map(|table| {
        let rows = table.get("rows").and_then(|rows| rows.as_u64());
        [
            sql_name(table),
            text(table, "kind").to_owned(),
            rows.map_or_else(String::new, |rows| rows.to_string()),
            text(table, "doc").to_owned(),
        ]
    });
    aligned(["name", "kind", "rows", "meaning"], rows.collect())
}

fn columns_text(tables: &serde_json::Value, name: &str) -> Result<String> {
    let tables = list(tables, "tables");
    let table = tables.iter().find(|table| sql_name(table) == name || text(table, "name") == name);
    let table = table.with_context(|| format!("there is no table {name}; \\d lists them"))?;
    let rows = list(table, "columns")
        .iter()
        .map(|column| ["name", "type", "doc"].map(|key| text(column, key).to_owned()));
    Ok(aligned(["column", "type", "meaning"], rows.collect()))
}

/// Columns side by side; the last one as long as it likes.
fn aligned<const N: usize>(head: [&str; N], rows: Vec<[String; N]>) -> String {
    let lines: Vec<[String; N]> = [head.map(str::to_owned)].into_iter().chain(rows).collect();
    let width = |column: usize| {
        lines.iter().map(|line| line[column].chars().count()).filter(|width| *width < 60).max()
    };
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let print = |line: &[String; N]| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(print).collect::<Vec<_>>().join("\n")
}

/// Names of tables and columns, those with dots in the quotes that SQL wants.
fn names(tables: &serde_json::Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for table in list(tables, "tables") {
        names.insert(sql_name(table));
        for column in list(table, "columns") {
            let name = text(column, "name");
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            names.insert(if plain { name.to_owned() } else { format!("\"{name}\"") });
        }
    }
    names
}

/// What the editor knows: when a statement is complete, and which words there are.
struct Words {
    names: BTreeSet<String>,
}

impl Words {
    /// Where the word before the cursor begins, and what it may become.
    fn candidates(&self, line: &str, pos: usize) -> (usize, Vec<String>) {
        let before = line.get(..pos).unwrap_or_default();
        let part_of_word = |c: char| c.is_alphanumeric() || "_.\"\\".contains(c);
        let start = before
            .rfind(|c| !part_of_word(c))
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        let word = before[start..].to_lowercase();
        if word.is_empty() {
            return (start, Vec::new());
        }
        // A column with dots is found without typing its quote.
        let fits = |name: &str| {
            let name = name.to_lowercase();
            name.starts_with(&word) || name.trim_start_matches('"').starts_with(&word)
        };
        let names = self.names.iter().map(String::as_str);
        let found = names.chain(KEYWORDS.iter().copied()).filter(|name| fits(name));
        (start, found.map(str::to_owned).collect())
    }
}

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.candidates(line, pos))
    }
}

impl Validator for Words {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let entered = context.input().trim();
        Ok(match entered.starts_with('\\') || split::complete(entered) {
            true => ValidationResult::Valid(None),
            false => ValidationResult::Incomplete,
        })
    }
}

impl Hinter for Words {
    type Hint = String;
}

impl Highlighter for Words {}

impl Helper for Words {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tables() -> serde_json::Value {
        json!({"tables": [
            {"name": "spans", "schema": "public", "kind": "table", "rows": 7, "doc": "One row per span.",
             "columns": [{"name": "name", "type": "text", "doc": "Span name."},
                         {"name": "http.route", "type": "text", "doc": "Route."}]},
            {"name": "files", "schema": "system", "kind": "table", "rows": null, "doc": "Files.", "columns": []},
        ]})
    }

    /// Scenario: the beginning of a table, a dotted column and a keyword is typed.
    /// Guarantees: each is completed, the column in its quotes.
    #[test]
    fn names_and_keywords_are_completed() {
        let words = Words { names: names(&tables()) };
        let of = |line: &str| words.candidates(line, line.len());
        assert_eq!(of("SELECT * FROM sp"), (14, vec!["spans".to_owned()]));
        assert_eq!(of("SELECT htt"), (7, vec!["\"http.route\"".to_owned()]));
        assert_eq!(of("FROM system.f"), (5, vec!["system.files".to_owned()]));
        assert_eq!(of("selec"), (0, vec!["SELECT".to_owned()]));
        assert_eq!(of("SELECT ü"), (7, vec![]));
        assert!(of("SELECT ").1.is_empty());
    }

    /// Scenario: `\d`, and `\d` of a table that is and one that is not there.
    /// Guarantees: tables and columns with their meaning; an error that says what to do.
    #[test]
    fn tables_and_columns_are_described() {
        assert!(tables_text(&tables()).contains("system.files  table"));
        let columns = columns_text(&tables(), "spans").unwrap();
        assert!(columns.contains("http.route  text  Route."), "{columns}");
        assert!(columns_text(&tables(), "nothing").unwrap_err().to_string().contains("\\d lists"));
    }
}
