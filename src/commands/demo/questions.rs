//! What one asks when something broke: who, since when, which requests, why.

use std::ops::Range;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Result;

use crate::cli::Format;
use crate::commands::sql::{Asked, Target, Wish};

/// Asks them all and prints question, statement and answer.
pub async fn ask(server: &str, fault: Range<i64>) -> Result<()> {
    let target = Target::server(server, "the demo's HTTP door")?;
    for (question, statement) in statements(&fault) {
        super::say(&format!("\n-- {question}\n{statement};\n\n"))?;
        match target.ask(&statement, &Wish::new(Format::Table)).await? {
            Asked::Answered(_) => {}
            Asked::Cancelled | Asked::Unread => break,
        }
    }
    Ok(())
}

fn statements(fault: &Range<i64>) -> Vec<(&'static str, String)> {
    let [start, end] = [fault.start, fault.end].map(instant);
    let during = format!("time BETWEEN '{start}' AND '{end}'");
    vec![
        (
            "Rate, errors and duration per service, before and during the fault",
            format!(
                "SELECT service_name,\n       \
                 CASE WHEN time < '{start}' THEN 'before' ELSE 'during' END AS phase,\n       \
                 count(*) AS requests,\n       \
                 round(100.0 * sum(CASE WHEN is_error THEN 1 ELSE 0 END) / count(*), 1) AS error_percent,\n       \
                 round(approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_ns) / 1e6, 1) AS p50_ms,\n       \
                 round(approx_percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ns) / 1e6, 1) AS p95_ms\n\
                 FROM spans\nWHERE kind = 'SERVER'\n\
                 GROUP BY 1, 2\nORDER BY 1, 2"
            ),
        ),
        (
            "Which version of payment is it?",
            "SELECT service_version, count(*) AS charges,\n       \
             sum(CASE WHEN is_error THEN 1 ELSE 0 END) AS errors\n\
             FROM spans\nWHERE service_name = 'payment' AND kind = 'SERVER'\n\
             GROUP BY 1\nORDER BY 1"
                .to_owned(),
        ),
        (
            "The slowest requests during the fault",
            format!(
                "SELECT trace_id, name, round(duration_ns / 1e6, 1) AS ms, status_code\n\
                 FROM spans\nWHERE parent_span_id IS NULL AND {during}\n\
                 ORDER BY duration_ns DESC\nLIMIT 5"
            ),
        ),
        (
            "What the services logged in the slowest one that failed",
            format!(
                "SELECT time, service_name, severity, body\n\
                 FROM logs\nWHERE trace_id = (SELECT trace_id FROM spans\n                  \
                 WHERE service_name = 'payment' AND is_error AND {during}\n                  \
                 ORDER BY duration_ns DESC LIMIT 1)\n\
                 ORDER BY time"
            ),
        ),
    ]
}

/// As SQL writes it; the shop's times are whole seconds.
fn instant(unix_nano: i64) -> String {
    let since = Duration::from_nanos(u64::try_from(unix_nano).unwrap_or(0));
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string()
}
