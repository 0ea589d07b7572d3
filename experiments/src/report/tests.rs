use super::*;
use crate::window::Span;

fn entry(hypothesis: &str, severity: &str, verdict: Verdict, reason: Option<Reason>) -> Entry {
    Entry {
        hypothesis: hypothesis.into(),
        severity: severity.into(),
        phase: Some("injection".into()),
        verdict,
        reason,
        detail: "a | b <script> & \"c\" \u{1b}[2J".into(),
        numbers: None,
        evidence_sql: vec!["SELECT 1".into()],
    }
}

pub fn report() -> Report {
    let span = Span { from: 0, buckets: 12 };
    Report {
        schema: SCHEMA.into(),
        title: "a *title*".into(),
        version: "0".into(),
        document: String::new(),
        window: Window {
            run_id: "r".into(),
            inject: 0,
            recover: 1,
            uncertainty_ms: 0,
            others: Vec::new(),
            aborted: None,
        },
        phases: Phases { baseline: span, injection: span, recovery: Span { buckets: 0, ..span } },
        judged_at: instant(0),
        judged_unix_nano: 0,
        seed: 1,
        verdict: Verdict::Deviated,
        reason: Some(Reason::Silence),
        detail: "silent".into(),
        findings: vec![
            entry("held", "critical", Verdict::Held, None),
            entry("few", "critical", Verdict::Inconclusive, Some(Reason::TooFew)),
            entry("silent", "critical", Verdict::Deviated, Some(Reason::Silence)),
            entry("invalid", "critical", Verdict::Invalid, Some(Reason::NoEffect)),
            entry("warned", "warning", Verdict::Deviated, None),
        ],
        notes: vec!["a note".into()],
        suspects: vec![SuspectEntry {
            service: "pay".into(),
            strength: 4.5,
            place: "inside".into(),
            depth: Some(0),
            why: None,
            stands_out: true,
            carried: false,
            onset: Some(2.0),
            signs: vec!["CPU <b>".into()],
        }],
        reach: Some(reach::ReachEntry {
            inside: vec!["pay".into()],
            masked: vec![reach::MaskedEntry { service: "pay".into(), traces: 9, masked: 9 }],
            users: Some(reach::PeopleEntry { all: 40, affected: 3 }),
            ..reach::ReachEntry::default()
        }),
        sources: BTreeMap::new(),
        completeness: vec![GradeEntry {
            source: "spans".into(),
            phase: Phase::Baseline,
            grade: Some(Grade::Torn),
            sql: "SELECT 1".into(),
        }],
        targets: vec!["pay".into()],
        calls: vec![Call { caller: "web".into(), callee: "pay".into() }],
        alerts: Vec::new(),
        aftermath: None,
        charts: Vec::new(),
    }
}

/// Scenario: a report is written as JSON and read again; as JSON of another form.
/// Guarantees: it is the same, written the same; another form is refused.
#[test]
fn json_is_canonical() {
    let report = report();
    let text = report.to_json().unwrap();
    let read = Report::read(&text).unwrap();
    assert_eq!(read, report);
    assert_eq!(read.to_json().unwrap(), text);
    let other = text.replace(SCHEMA, "cloudsail.experiment.report/9");
    assert!(Report::read(&other).unwrap_err().to_string().contains("report/9"));
    assert!(Report::read("{}").unwrap_err().to_string().contains("this is no report"));
}

/// Scenario: findings of every kind as JUnit.
/// Guarantees: J2: what is inconclusive or invalid is an error and nothing is
/// skipped; what is not critical fails no build; text stays text.
#[test]
fn inv_j2_junit_skips_nothing() {
    let text = junit(&report());
    assert!(text.contains("tests=\"6\" failures=\"2\" errors=\"2\" skipped=\"0\""), "{text}");
    assert!(text.contains("<error type=\"inconclusive\" message=\"inconclusive: too_few: a | b"));
    assert!(text.contains("<failure type=\"deviated\" message=\"deviated: silence"));
    assert!(text.contains("name=\"few (injection)\"") && text.contains("name=\"run\""));
    assert!(!text.contains("<script>") && !text.contains('\u{1b}'), "{text}");
}

/// Scenario: the same as Markdown.
/// Guarantees: verdict, findings, notes and statements are there, and text of
/// others makes no markup.
#[test]
fn markdown_is_for_people() {
    let mut report = report();
    report.alerts = vec![Alarm {
        rule: "Slow|".into(),
        fingerprint: "f".into(),
        state: State::Firing,
        from: 60_000_000_000,
        to: None,
    }];
    report.aftermath = Some(Aftermath {
        guard: "g".into(),
        indicator: None,
        helped: crate::verdict::aftermath::Helped::No,
        returned_after: None,
        fault: crate::verdict::aftermath::InPlace::StillInPlace,
        detail: "not *back*".into(),
        evidence_sql: Vec::new(),
    });
    let text = markdown(&report);
    assert!(text.contains("| Slow\\| | firing | 1970-01-01T00:01:00.000000Z | – |"), "{text}");
    let after = "**Stopping did not help; the fault is still in place.** not \\*back\\*";
    assert!(text.contains(after), "{text}");
    assert!(text.starts_with("# a \\*title\\*: deviated: silence\n"), "{text}");
    assert!(text.contains("| few | injection | inconclusive: too_few |"), "{text}");
    assert!(text.contains("warned (not critical)") && text.contains("- a note"));
    assert!(text.contains("| pay | inside | CPU &lt;b> |"), "{text}");
    assert!(text.contains("```sql\nSELECT 1\n```"));
    assert!(!text.contains("<script>") && !text.contains('\u{1b}'), "{text}");
    assert!(!text.contains("recovery |"), "an empty phase is left out");
}
