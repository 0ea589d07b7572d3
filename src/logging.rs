//! Log lines on standard error: for people, or one JSON object each. Values are
//! escaped, because some of them come from the network (S16).

use std::fmt::{self, Write as _};
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::field::Field;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::{LogFormat, Usage};

/// Libraries that report every step, and failures that we handle, as their own;
/// a filter that names them still opens them.
const QUIET: &str = "buoyant_kernel=off,deltalake_core=warn";

/// Lines written so far, by level; a static because the subscriber is one too.
static LINES: [AtomicU64; 5] = [const { AtomicU64::new(0) }; 5];
const LEVELS: [Level; 5] = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];

/// Lines written since start, per level.
pub fn lines() -> impl Iterator<Item = (&'static str, u64)> {
    let names = ["error", "warn", "info", "debug", "trace"];
    names.into_iter().zip(LINES.iter().map(|count| count.load(Ordering::Relaxed)))
}

/// Begins logging. `CLOUDSAIL_LOG` holds a filter (`debug`, `storage=debug,info`);
/// `default` holds when it is not set.
pub fn start(log_format: LogFormat, default: &str) -> Result<(), Usage> {
    let given = std::env::var("CLOUDSAIL_LOG").ok().filter(|filter| !filter.is_empty());
    let wanted = given.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(format!("{QUIET},{wanted}")).map_err(|error| {
        Usage(format!("CLOUDSAIL_LOG is no log filter: {error}; write info, or storage=debug,info"))
    })?;
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match log_format {
        LogFormat::Human => {
            lines.with_ansi(colours).fmt_fields(format::debug_fn(escaped).delimited(" ")).boxed()
        }
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let started =
        tracing_subscriber::registry().with(filter).with(lines.and_then(Count)).try_init();
    started.map_err(|error| Usage(format!("cannot start logging: {error}")))?;
    // A panic's message may quote what was sent: it takes the escaped way too.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let said = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(place, "a panic, please report it: {said}");
    }));
    Ok(())
}

/// One field of a line: `key=value`, the message without its key.
fn escaped(out: &mut format::Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() == "message" {
        write!(Escape(out), "{value:?}")
    } else {
        write!(out, "{}=", field.name())?;
        write!(Escape(out), "{value:?}")
    }
}

/// Writes control characters as escapes, so that no value can start a line of
/// its own or speak to the terminal.
struct Escape<'a, 'w>(&'a mut format::Writer<'w>);

impl fmt::Write for Escape<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            // U+2028 and U+2029 break lines in some viewers.
            if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}') {
                write!(self.0, "{}", c.escape_default())?;
            } else {
                self.0.write_char(c)?;
            }
        }
        Ok(())
    }
}

struct Count;

impl<S: Subscriber> Layer<S> for Count {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = LEVELS.iter().position(|level| level == event.metadata().level());
        if let Some(count) = level.and_then(|at| LINES.get(at)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a value from the network carries line breaks and terminal codes.
    /// Guarantees: S16, they are written as escapes on the one line.
    #[test]
    fn sec_s16_control_characters_are_escaped() {
        let mut text = String::new();
        let mut writer = format::Writer::new(&mut text);
        write!(Escape(&mut writer), "a\r\nERROR fake\x1b[2J\u{202e}ü").unwrap();
        assert_eq!(text, "a\\r\\nERROR fake\\u{1b}[2J\\u{202e}ü");
    }
}
