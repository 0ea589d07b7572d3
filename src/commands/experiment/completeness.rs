//! `experiment completeness`: what is torn, late or doubled in a stretch of time,
//! and whether verdicts can rest on it.

use std::process::ExitCode;

use anyhow::Result;
use experiments::completeness::{self, Completeness, Grade};
use experiments::window::Span;
use schema::Clock as _;
use serde_json::json;

use super::engine::Engine;
use super::instant;
use super::spoken::Completeness as Asked;
use crate::cli::Usage;
use crate::clock::SystemClock;

const HOUR: i64 = 3_600_000_000_000;
/// Rows may come so late.
const LATE: i64 = 60_000_000_000;

/// Exits with 1 when a source is broken: nothing that depends on it would be held.
pub async fn run(asked: Asked) -> Result<ExitCode> {
    let now = SystemClock.now_unix_nano();
    let to = match &asked.to {
        Some(text) => instant("--to", text)?,
        None => now.saturating_sub(LATE),
    };
    let from = match &asked.from {
        Some(text) => instant("--from", text)?,
        None => to.saturating_sub(HOUR),
    };
    let span = Span::between(from, to);
    if span.buckets == 0 {
        return Err(Usage("--to must be at least 5 s later than --from".into()).into());
    }
    let found = completeness::check(span, now, &Engine::new(&asked.server)?).await?;
    let grades = grades(&found);
    if asked.json {
        let grades: serde_json::Map<_, _> =
            grades.iter().map(|(source, grade)| ((*source).into(), json!(grade))).collect();
        super::say(&format!("{}\n", json!({ "grades": grades, "counts": found })))?;
    } else {
        super::say(&table(&found))?;
    }
    if grades.iter().all(|(_, grade)| grade.is_none()) {
        eprintln!("nothing was recorded in this stretch, which is no sign of health");
        return Ok(ExitCode::from(1));
    }
    let broken = grades.iter().any(|(_, grade)| *grade == Some(Grade::Broken));
    Ok(if broken { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// Of each source; none of one without a row.
fn grades(found: &Completeness) -> [(&'static str, Option<Grade>); 3] {
    let Completeness { spans, logs, metrics } = found;
    let graded = |rows: u64, grade: Grade| (rows > 0).then_some(grade);
    [
        ("spans", graded(spans.spans, spans.grade())),
        ("logs", graded(logs.records, logs.grade())),
        ("metrics", graded(metrics.points, metrics.grade())),
    ]
}

/// What of the telemetry of the last `seconds` is not whole: as it is before a run it
/// will be in one.
pub async fn notes(engine: &Engine, now: i64, seconds: i64) -> Result<Vec<String>> {
    let to = now.saturating_sub(LATE);
    let span = Span::between(to.saturating_sub(seconds.saturating_mul(1_000_000_000)), to);
    let found = completeness::check(span, now, engine).await?;
    let note = |(source, grade)| match grade {
        Some(Grade::Broken) => Some(format!(
            "{source} of the last {seconds} s are broken, and nothing that depends on them would be held; `experiment completeness` says why"
        )),
        Some(Grade::Torn) => Some(format!(
            "{source} of the last {seconds} s are torn, too little to cap a verdict; `experiment completeness` says why"
        )),
        _ => None,
    };
    Ok(grades(&found).into_iter().filter_map(note).collect())
}

fn table(found: &Completeness) -> String {
    let Completeness { spans, logs, metrics } = found;
    let [of_spans, of_logs, of_metrics] =
        grades(found).map(|(_, grade)| grade.map_or("no row", Grade::name).to_owned());
    let rows = [
        ("spans", of_spans),
        ("  rows", spans.spans.to_string()),
        ("  traces", spans.traces.to_string()),
        ("  roots", spans.roots.to_string()),
        ("  whose parent never came", spans.orphans.to_string()),
        ("  of these in traces with a root", spans.lost.to_string()),
        ("  traces without a root", spans.rootless.to_string()),
        ("  traces with several roots", spans.many_rooted.to_string()),
        ("  begin before their parent", spans.early.to_string()),
        ("  end after their parent", spans.late.to_string()),
        ("  last less than nothing", spans.negative.to_string()),
        ("  repeated rows", format!("{} of {} ids", spans.repeated, spans.repeated_ids)),
        ("  of a service without a name", spans.unnamed.to_string()),
        ("  last no time", spans.instant.to_string()),
        ("  whose sender dropped parts of them", spans.cut.to_string()),
        ("  given up by their sender", spans.refused.to_string()),
        ("  came within, 99 of 100", format!("{} ms", spans.arrival_p99_ms)),
        ("  pairs of services out of step", format!("{} of {}", spans.skewed, spans.pairs)),
        ("  of these by 5 s and more", spans.apart.to_string()),
        ("  calls without the other's span", format!("{} of {}", spans.unanswered, spans.calls)),
        ("  attributes not told any more", format!("{} of {}", spans.gone, spans.keys)),
        ("  of these of errors", spans.blind.to_string()),
        ("  attributes with many more values", spans.grown.to_string()),
        ("logs", of_logs),
        ("  rows", logs.records.to_string()),
        ("  without a trace", logs.without_trace.to_string()),
        ("  repeated rows", logs.repeated.to_string()),
        ("  whose sender dropped parts of them", logs.cut.to_string()),
        ("  given up by their sender", logs.refused.to_string()),
        ("  of a service without a name", logs.unnamed.to_string()),
        ("metrics", of_metrics),
        ("  points", format!("{} of {} series", metrics.points, metrics.series)),
        ("  that did not come", metrics.missing.to_string()),
        ("  counters that fell", metrics.resets.to_string()),
        ("  whose attributes were given up", metrics.overflowed.to_string()),
        ("  given up by their sender", metrics.refused.to_string()),
        ("  repeated points", metrics.repeated.to_string()),
        ("  names in several units", format!("{} of {}", metrics.drifted, metrics.names)),
        ("  series that stand still", metrics.frozen.to_string()),
        ("  of a service without a name", metrics.unnamed.to_string()),
    ];
    rows.iter().map(|(what, n)| format!("{what:<38}{n}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use experiments::completeness::Spans;

    /// Scenario: a stretch in which a tenth of the spans were lost.
    /// Guarantees: its table says how many, and that spans are broken, and that there are no logs.
    #[test]
    fn a_table_says_what_is_missing() {
        let spans = Spans { spans: 100, lost: 10, orphans: 12, ..Spans::default() };
        let table = table(&Completeness { spans, ..Completeness::default() });
        assert!(table.starts_with("spans                                 broken\n"), "{table}");
        assert!(table.contains("whose parent never came             12\n"), "{table}");
        assert!(table.contains("logs                                  no row\n"), "{table}");
    }
}
