//! A run as JSON: its row, with times as RFC 3339.

use std::time::{Duration, UNIX_EPOCH};

use experiments::Run;
use experiments::run::row::WindowRow;
use serde_json::{Value, json};

/// The columns of `experiment_windows` that a run is shown by.
pub const COLUMNS: [&str; 32] = [
    "run_id",
    "experiment",
    "version",
    "source",
    "sources",
    "fault_type",
    "injector",
    "object",
    "target",
    "t_opened",
    "t_baseline",
    "t_inject",
    "t_recover",
    "t_end",
    "t_abort",
    "inject_source",
    "recover_source",
    "end_source",
    "abort_source",
    "abort_guard",
    "abort_reason",
    "edge_uncertainty_ms",
    "state",
    "confidence",
    "retrospective",
    "overlaps",
    "verdict",
    "reason",
    "judged",
    "revision",
    "time",
    "node_id",
];

pub fn run(run: &Run) -> Value {
    let row = WindowRow::of(run, "", run.opened.received, None);
    let mut shown = serde_json::to_value(row).unwrap_or_default();
    if let Some(columns) = shown.as_object_mut() {
        for key in ["time", "node_id", "report"] {
            columns.remove(key);
        }
        for (key, value) in columns.iter_mut() {
            let is_time = key.starts_with("t_") || key == "judged";
            if let Some(micros) = value.as_i64().filter(|_| is_time) {
                *value = instant(micros).into();
            }
        }
        columns.insert("settles".into(), json!(run.settled().map(|at| instant(at / 1_000))));
        let code = run.judged.map(|judged| judged.verdict.exit_code());
        columns.insert("exit_code".into(), json!(code));
    }
    shown
}

/// RFC 3339 of microseconds since 1970.
pub fn instant(micros: i64) -> String {
    let since = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
    let at = UNIX_EPOCH + since;
    // As SQL shows the same column.
    match micros % 1_000_000 {
        0 => humantime::format_rfc3339_seconds(at).to_string(),
        _ => humantime::format_rfc3339_micros(at).to_string(),
    }
}
