//! A report for people.

use std::fmt::Write as _;

use super::{Report, instant};

/// What was found ([`summary`]), and the statements behind it.
pub fn markdown(report: &Report) -> String {
    let mut out = summary(report);
    out.push_str("\n## Evidence\n\n");
    for finding in report.findings.iter().filter(|finding| !finding.evidence_sql.is_empty()) {
        let _ = writeln!(out, "### {}\n", plain(&finding.hypothesis));
        for sql in &finding.evidence_sql {
            let _ = writeln!(out, "```sql\n{}\n```\n", sql.replace("```", "'''"));
        }
    }
    out
}

/// A heading, the verdict, a row per finding, and how far the fault reached.
pub fn summary(report: &Report) -> String {
    let mut out = String::new();
    let phases = &report.phases;
    let mut line = |text: String| {
        let _ = writeln!(out, "{text}");
    };
    line(format!("# {}: {}\n", plain(&report.title), report.in_short()));
    line(format!("{}\n", plain(&report.detail)));
    if let Some(after) = &report.aftermath {
        line(format!("**{}** {}\n", after.in_short(), plain(&after.detail)));
    }
    line(format!(
        "Run `{}`, document {}, judged {} over the rows ingested until then, seed {}.\n",
        report.window.run_id.replace('`', "'"),
        report.version,
        report.judged_at,
        report.seed
    ));
    line("| phase | from | to |\n| --- | --- | --- |".into());
    for (name, span) in [
        ("baseline", phases.baseline),
        ("injection", phases.injection),
        ("recovery", phases.recovery),
    ] {
        if span.buckets > 0 {
            line(format!("| {name} | {} | {} |", instant(span.from), instant(span.to())));
        }
    }
    line("\n| hypothesis | phase | verdict | what was found |\n| --- | --- | --- | --- |".into());
    for finding in &report.findings {
        line(format!(
            "| {}{} | {} | {} | {} |",
            plain(&finding.hypothesis),
            if finding.severity == "critical" { "" } else { " (not critical)" },
            finding.phase.as_deref().unwrap_or("–"),
            finding.in_short(),
            plain(&finding.detail)
        ));
    }
    if !report.alerts.is_empty() {
        line("\n| alert | state | from | to |\n| --- | --- | --- | --- |".into());
    }
    for alarm in &report.alerts {
        let to = alarm.to.map_or("–".to_owned(), instant);
        let (rule, state) = (plain(&alarm.rule), alarm.state.name());
        line(format!("| {rule} | {state} | {} | {to} |", instant(alarm.from)));
    }
    if !report.notes.is_empty() {
        line(String::new());
    }
    for note in &report.notes {
        line(format!("- {}", plain(note)));
    }
    if !report.suspects.is_empty() {
        line("\n## Blast radius\n\n| service | place | signs |\n| --- | --- | --- |".into());
    }
    for suspect in &report.suspects {
        let signs = plain(&suspect.signs.join("; "));
        let why = suspect.why.as_ref().map_or(String::new(), |why| format!(": {}", plain(why)));
        let place = plain(&suspect.place);
        line(format!("| {} | {place}{why} | {signs} |", plain(&suspect.service)));
    }
    if let Some(reach) = &report.reach {
        line(String::new());
        for (name, told) in reach.in_words() {
            line(format!("- {name}: {}", plain(&told)));
        }
        for endpoint in &reach.endpoints {
            let who = if endpoint.user_visible { "users ask for it" } else { "inner" };
            line(format!("- endpoint ({who}): {}", plain(&endpoint.detail)));
        }
    }
    out
}

/// Text from documents and telemetry may not make markup of its own.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            '<' => out.push_str("&lt;"),
            '|' | '[' | ']' | '*' | '_' | '`' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
