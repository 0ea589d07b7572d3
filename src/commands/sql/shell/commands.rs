//! What begins with a backslash.

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum as _;
use query::render::Expanded;

use super::super::output::print;
use super::{Shell, looks};
use crate::cli::Format;

/// The commands, what may follow each, and what it does.
pub const COMMANDS: [(&str, &str, &str); 12] = [
    ("\\?", "", "this help"),
    ("\\d", "[TABLE]", "tables and views, or the columns of one"),
    ("\\dt", "", "tables"),
    ("\\dv", "", "views"),
    ("\\dn", "", "schemas"),
    ("\\df", "[TEXT]", "functions, those that contain the text"),
    ("\\l", "", "what is asked here: the daemon or the store"),
    ("\\x", "[on|off|auto]", "a line per column; auto: when rows are wider than the terminal"),
    ("\\timing", "[on|off]", "the time that each answer took"),
    ("\\format", "NAME", "table, json, ndjson, csv; with \\o also arrow and parquet"),
    ("\\o", "[FILE]", "answers go to the file; without one to the terminal again"),
    ("\\q", "", "leaves, as Ctrl-D does"),
];

/// What comes after an entry.
pub enum Next {
    Prompt,
    Leave,
}

fn help() -> String {
    let mut text = String::from(
        "Statements end with a semicolon and may take several lines; Tab completes names and keys.\n\
         Ctrl-C cancels what runs, or what is typed.\n",
    );
    for (name, argument, what) in COMMANDS {
        text.push_str(&format!("  {:<21}  {what}\n", format!("{name} {argument}")));
    }
    text
}

impl Shell {
    pub async fn obey(&mut self, command: &str) -> Result<Next> {
        // As psql takes it: a semicolon after a command is a habit.
        let command = command.trim_end_matches(';').trim_end();
        let (name, argument) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let argument = argument.trim();
        match (name, argument) {
            ("q" | "quit", "") => return Ok(Next::Leave),
            ("?" | "h" | "help", "") => print(&help())?,
            ("d" | "d+", "") => print(&looks::tables(&self.target.tables().await?, None))?,
            ("d" | "d+", table) => print(&looks::columns(&self.target.tables().await?, table)?)?,
            ("dt", "") => print(&looks::tables(&self.target.tables().await?, Some("table")))?,
            ("dv", "") => print(&looks::tables(&self.target.tables().await?, Some("view")))?,
            ("dn", "") => print(&looks::schemas(&self.target.tables().await?))?,
            ("df", part) => self.functions(part).await?,
            ("l", "") => print(&format!("{}\n", self.target.name()))?,
            ("x", wanted) => self.expand(wanted)?,
            ("timing", wanted) => {
                self.timing = switched("timing", wanted, self.timing)?;
                print(if self.timing { "timing is on\n" } else { "timing is off\n" })?;
            }
            ("format", "") => {
                let format = self.wish.format.to_possible_value();
                print(&format!(
                    "format is {}\n",
                    format.map_or_else(String::new, |f| f.get_name().to_owned())
                ))?;
            }
            ("format", wanted) => match Format::from_str(wanted, true) {
                Ok(format) => self.wish.format = format,
                Err(_) => bail!(
                    "there is no format {wanted}; use table, json, ndjson, csv, arrow or parquet"
                ),
            },
            ("o", "") => self.wish.file = None,
            ("o", path) => {
                let path = PathBuf::from(path);
                File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
                self.wish.file = Some(path);
            }
            _ => bail!("there is no command \\{command}; \\? lists them"),
        }
        Ok(Next::Prompt)
    }

    fn expand(&mut self, wanted: &str) -> Result<()> {
        (self.auto, self.wish.expanded) = match wanted {
            "auto" => (true, self.wish.expanded),
            other => {
                let on = !self.auto && self.wish.expanded == Expanded::Always;
                match switched("x", other, on)? {
                    true => (false, Expanded::Always),
                    false => (false, Expanded::Never),
                }
            }
        };
        let now = match (self.auto, self.wish.expanded) {
            (true, _) => "used for rows wider than the terminal",
            (false, Expanded::Always) => "on",
            (false, _) => "off",
        };
        print(&format!("a line per column is {now}\n"))
    }

    async fn functions(&self, part: &str) -> Result<()> {
        let mut names = self.target.texts(super::names::FUNCTIONS).await?;
        names.retain(|name| name.contains(&part.to_lowercase()));
        print(&looks::side_by_side(&names))
    }
}

/// `on`, `off`, or the other of what it is.
fn switched(name: &str, wanted: &str, now: bool) -> Result<bool> {
    match wanted {
        "on" => Ok(true),
        "off" => Ok(false),
        "" => Ok(!now),
        other => bail!("\\{name} is on or off, not {other}"),
    }
}
