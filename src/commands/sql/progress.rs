//! What a long statement is at, on a line of the terminal that goes away.

use std::convert::Infallible;
use std::future::pending;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::Method;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use query::Stats;
use tokio::time::sleep;

use crate::client::Client;

/// A statement is long after this time, and looked at this often.
const LONG: Duration = Duration::from_millis(700);
const EVERY: Duration = Duration::from_millis(500);

/// Bytes of a statement's text that the daemon keeps.
const KEPT: usize = 4096;

const QUESTION: &str = "SELECT state, rows, files_read, files_pruned, bytes FROM system.queries \
    WHERE sql = $1 AND state IN ('queued', 'planning', 'running') ORDER BY id DESC LIMIT 1";

/// The line; clones are the same one.
#[derive(Debug, Clone)]
pub struct Progress {
    bar: ProgressBar,
    started: Instant,
}

impl Progress {
    /// Nothing is shown where standard error is no terminal.
    pub fn new() -> Progress {
        let bar = match std::io::stderr().is_terminal() {
            true => ProgressBar::new_spinner(),
            false => ProgressBar::hidden(),
        };
        // Constant, and tried by every test that draws it.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        Progress { bar, started: Instant::now() }
    }

    /// Takes the line away, for good.
    pub fn over(&self) {
        self.bar.finish_and_clear();
    }

    /// Shows what a statement of this process is at, until it is dropped.
    pub async fn of(&self, stats: &Stats) -> Infallible {
        self.wait().await;
        loop {
            let seen = stats.summary();
            self.tell("running", [seen.rows, seen.files_read, seen.files_pruned, seen.bytes_read]);
            sleep(EVERY).await;
        }
    }

    /// Shows what a daemon's statement is at, until it is dropped.
    pub async fn at(&self, client: &Client, sql: &str) -> Infallible {
        self.wait().await;
        loop {
            match self.look(client, sql).await {
                Some((state, seen)) => self.tell(&state, seen),
                None => self.tell("waiting", [0; 4]),
            }
            sleep(EVERY).await;
        }
    }

    /// A daemon that has no answer for this has no line for it either.
    async fn look(&self, client: &Client, sql: &str) -> Option<(String, [u64; 4])> {
        let mut end = sql.len().min(KEPT);
        while !sql.is_char_boundary(end) {
            end -= 1;
        }
        let body = serde_json::json!({"query": QUESTION, "params": [&sql[..end]]}).to_string();
        let answer = client.json(Method::POST, "/api/v1/sql", Bytes::from(body)).await.ok()?;
        let row = answer.get("rows")?.get(0)?;
        let number = |index: usize| row.get(index).and_then(|value| value.as_u64()).unwrap_or(0);
        let state = row.get(0)?.as_str()?.to_owned();
        Some((state, [number(1), number(2), number(3), number(4)]))
    }

    async fn wait(&self) {
        if self.bar.is_hidden() {
            pending::<()>().await;
        }
        sleep(LONG).await;
    }

    fn tell(&self, state: &str, [rows, files, pruned, bytes]: [u64; 4]) {
        self.bar.set_message(line(state, self.started.elapsed(), [rows, files, pruned, bytes]));
        self.bar.tick();
    }
}

fn line(state: &str, elapsed: Duration, [rows, files, pruned, bytes]: [u64; 4]) -> String {
    let mut line = format!("{state}, {:.1} s", elapsed.as_secs_f64());
    if files + pruned > 0 {
        let (files, pruned) = (HumanCount(files), HumanCount(pruned));
        line.push_str(&format!(", {files} files read ({}), {pruned} pruned", HumanBytes(bytes)));
    }
    if rows > 0 {
        line.push_str(&format!(", {} rows", HumanCount(rows)));
    }
    line.push_str("; Ctrl-C cancels");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a statement that has read nothing yet, and one that has.
    /// Guarantees: the line says what is known, and how to stop it.
    #[test]
    fn the_line_says_what_is_known() {
        let second = Duration::from_millis(1_250);
        assert_eq!(line("planning", second, [0; 4]), "planning, 1.2 s; Ctrl-C cancels");
        let told = line("running", second, [1_000, 12, 3_400, 5 << 20]);
        let expected =
            "running, 1.2 s, 12 files read (5.00 MiB), 3,400 pruned, 1,000 rows; Ctrl-C cancels";
        assert_eq!(told, expected);
    }
}
