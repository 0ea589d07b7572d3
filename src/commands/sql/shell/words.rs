//! What the word before the cursor may become, and when a statement is whole.

use std::collections::BTreeSet;
use std::sync::Arc;

use clap::ValueEnum as _;
use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};
use tokio::runtime::Handle;

use super::super::split;
use super::commands::COMMANDS;
use super::names::{Known, Names};
use crate::cli::Format;

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
    "USING",
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
    "FILTER",
    "OVER",
    "PARTITION BY",
    "QUALIFY",
    "EXCLUDE",
];

/// What stands before the quote of an attribute's key, and what follows the key.
const KEYED: [(&str, &str); 3] = [("[", "']"), ("->>", "'"), ("attr(", "')")];

pub struct Words {
    names: Arc<Names>,
    runtime: Handle,
}

/// Where a word begins, and what it may become.
type Found = (usize, Vec<String>);

impl Words {
    pub fn new(names: Arc<Names>) -> Words {
        Words { names, runtime: Handle::current() }
    }
}

impl Completer for Words {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<Found> {
        let before = line.get(..pos).unwrap_or_default();
        if key(before).is_some() {
            self.names.load_keys(&self.runtime);
        }
        Ok(candidates(&self.names.known(), before))
    }
}

fn candidates(known: &Known, before: &str) -> Found {
    if let Some((start, end)) = key(before) {
        let typed = before[start..].to_lowercase();
        let fits = known.keys.iter().filter(|key| key.to_lowercase().starts_with(&typed));
        return (start, fits.map(|key| format!("{}{end}", key.replace('\'', "''"))).collect());
    }
    if before.trim_start().starts_with('\\') {
        return command(known, before);
    }
    // Within a text that is no key.
    if before.matches('\'').count() % 2 == 1 {
        return (before.len(), Vec::new());
    }
    let part_of_word = |c: char| c.is_alphanumeric() || "_.\"".contains(c);
    let start = before
        .rfind(|c| !part_of_word(c))
        .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let word = before[start..].to_lowercase();
    if follows(&before[..start], &["from", "join", "describe"]) {
        return (start, named(&known.tables, &word));
    }
    if word.is_empty() {
        return (start, Vec::new());
    }
    let mut found = named(&known.tables, &word);
    found.extend(named(&known.columns, &word));
    let functions = known.functions.iter().filter(|name| name.starts_with(&word));
    found.extend(functions.map(|name| format!("{name}(")));
    let keywords = KEYWORDS.iter().filter(|keyword| keyword.to_lowercase().starts_with(&word));
    found.extend(keywords.map(|keyword| (*keyword).to_owned()));
    // What stands before the first dot may be a table or its alias.
    if found.is_empty()
        && let Some((alias, column)) = word.split_once('.')
    {
        return (start + alias.len() + 1, named(&known.columns, column));
    }
    (start, found)
}

/// Names that begin so; a quoted one is found without its quote.
fn named(names: &BTreeSet<String>, word: &str) -> Vec<String> {
    let fits = |name: &&String| {
        let name = name.to_lowercase();
        name.starts_with(word) || name.trim_start_matches('"').starts_with(word)
    };
    names.iter().filter(fits).cloned().collect()
}

/// Whether one of these words is the last one of a text.
fn follows(before: &str, words: &[&str]) -> bool {
    let last = before.trim_end().rsplit(char::is_whitespace).next().unwrap_or_default();
    words.iter().any(|word| last.eq_ignore_ascii_case(word))
}

/// Where a key begins that is being typed, and what ends it.
fn key(before: &str) -> Option<(usize, &'static str)> {
    let quote = before.rfind('\'')?;
    // A quote that ends a text has another before it.
    if before[..quote].matches('\'').count() % 2 == 1 {
        return None;
    }
    let opens = before[..quote].trim_end();
    let (_, end) = KEYED.into_iter().find(|(mark, _)| opens.to_lowercase().ends_with(mark))?;
    Some((quote + 1, end))
}

fn command(known: &Known, before: &str) -> Found {
    let start = before.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let word = &before[start..];
    let found = match before.split_whitespace().next() {
        Some(name) if start > 0 && !before[..start].trim().is_empty() => match name {
            "\\d" | "\\d+" => named(&known.tables, word),
            "\\format" => {
                let formats = Format::value_variants().iter().filter_map(|f| f.to_possible_value());
                let names = formats.map(|format| format.get_name().to_owned());
                names.filter(|name| name.starts_with(word)).collect()
            }
            "\\x" | "\\timing" => {
                let states = ["on", "off", "auto"].into_iter().filter(|s| s.starts_with(word));
                states.map(str::to_owned).collect()
            }
            _ => Vec::new(),
        },
        _ => {
            let names = COMMANDS.iter().map(|(name, ..)| (*name).to_owned());
            names.filter(|name| name.starts_with(word)).collect()
        }
    };
    (start, found)
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
    use super::super::looks::tests::some_tables;
    use super::*;

    fn of(line: &str) -> (usize, Vec<String>) {
        let mut known = Known::default();
        known.list(&some_tables());
        known.functions.extend(["p95".to_owned(), "time_bucket".to_owned()]);
        known.keys.extend(["user.id".to_owned(), "it's".to_owned()]);
        candidates(&known, line)
    }

    fn one(start: usize, word: &str) -> (usize, Vec<String>) {
        (start, vec![word.to_owned()])
    }

    /// Scenario: the beginning of a table, a dotted column, a function and a
    /// keyword is typed; an alias's column; nothing after FROM.
    /// Guarantees: each is completed, the column in its quotes, and where only a
    /// table can stand only tables are.
    #[test]
    fn names_and_keywords_are_completed() {
        assert_eq!(of("SELECT * FROM sp"), one(14, "spans"));
        assert_eq!(of("SELECT htt"), one(7, "\"http.route\""));
        assert_eq!(of("SELECT s.htt"), one(9, "\"http.route\""));
        assert_eq!(of("SELECT time_"), one(7, "time_bucket("));
        assert_eq!(of("FROM system.f"), one(5, "system.files"));
        assert_eq!(of("selec"), one(0, "SELECT"));
        assert_eq!(of("SELECT ü"), (7, vec![]));
        assert!(of("SELECT ").1.is_empty());
        assert_eq!(of("SELECT 1\nfrom ").1, ["spans", "system.files"]);
    }

    /// Scenario: the key of an attribute is typed in each of the ways there are,
    /// and a text that is no key.
    /// Guarantees: keys are completed with what ends them, promoted ones too.
    #[test]
    fn attribute_keys_are_completed() {
        assert_eq!(of("SELECT attributes['us"), one(19, "user.id']"));
        assert_eq!(of("SELECT 'a', attributes['HTTP"), one(24, "http.route']"));
        assert_eq!(of("WHERE resource_attributes->>'user"), one(29, "user.id'"));
        assert_eq!(of("SELECT attr('it"), one(13, "it''s')"));
        assert_eq!(of("WHERE kind = 'us").1, Vec::<String>::new());
        assert_eq!(of("SELECT attributes['user.id'], na"), one(30, "name"));
    }

    /// Scenario: commands and what may follow them are typed.
    /// Guarantees: both are completed.
    #[test]
    fn commands_are_completed() {
        assert_eq!(of("\\ti"), one(0, "\\timing"));
        assert_eq!(of("\\d sp"), one(3, "spans"));
        assert_eq!(of("\\format nd"), one(8, "ndjson"));
        assert_eq!(of("\\d").1, ["\\d", "\\dt", "\\dv", "\\dn", "\\df"]);
    }
}
