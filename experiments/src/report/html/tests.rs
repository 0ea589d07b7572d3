use super::*;
use crate::alert::State;
use crate::report::chart::{Chart, Sample};
use crate::report::reach::{Call, EndpointEntry, MaskedEntry, ReachEntry};
use crate::report::{Alarm, SourceEntry, tests::report};
use crate::verdict::aftermath::{Aftermath, Helped, InPlace};
use crate::window::Phase;
use serde_json::json;

const ATTACKS: [&str; 6] = [
    "<script>alert(1)</script>",
    "\" onload=\"alert(1)",
    "' onmouseover='alert(1)",
    "</style></title></pre></svg><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "&lt;script&gt; \u{202e}dleh \u{0}\u{1b}[31m <!-- ]]> ",
];

/// A report in which every text of others is this one, with all its parts.
fn hostile(text: &str) -> Report {
    let mut report = report();
    let evil = || text.to_owned();
    report.title = evil();
    report.version = evil();
    report.document = evil();
    report.detail = evil();
    report.judged_at = evil();
    report.window.run_id = evil();
    report.window.aborted = Some(evil());
    report.window.recover = 60_000_000_000;
    report.notes = vec![evil()];
    report.targets = vec![evil()];
    report.calls = vec![
        Call { caller: evil(), callee: evil() },
        Call { caller: format!("{text}2"), callee: evil() },
    ];
    for suspect in &mut report.suspects {
        (suspect.service, suspect.place) = (evil(), evil());
        suspect.signs = vec![evil()];
        suspect.why = Some(evil());
    }
    report.reach = Some(ReachEntry {
        off_target: vec![evil()],
        masked: vec![MaskedEntry { service: evil(), traces: 3, masked: 3 }],
        endpoints: vec![EndpointEntry {
            service: evil(),
            operation: evil(),
            user_visible: true,
            strength: 1.0,
            onset: None,
            detail: evil(),
        }],
        sql: evil(),
        ..ReachEntry::default()
    });
    report.sources.insert(evil(), SourceEntry { watermark: Some(evil()), sql: evil() });
    let numbers = json!({"value": {"estimate": 1.0, "low": null, "high": 2.0}, "high": 1.5, "n": 3, "method": text});
    for finding in &mut report.findings {
        (finding.hypothesis, finding.detail, finding.severity) = (evil(), evil(), evil());
        finding.phase = Some("injection".into());
        finding.evidence_sql = vec![evil()];
        finding.numbers = Some(numbers.clone());
    }
    report.alerts = vec![Alarm {
        rule: evil(),
        fingerprint: evil(),
        state: State::Firing,
        from: 5_000_000_000,
        to: None,
    }];
    report.aftermath = Some(Aftermath {
        guard: evil(),
        indicator: Some(evil()),
        helped: Helped::Yes,
        returned_after: Some(5.0),
        fault: InPlace::Gone,
        detail: evil(),
        evidence_sql: vec![evil()],
    });
    let sample =
        |at: i64, value| Sample { phase: Phase::Injection, at: at * 5_000_000_000, n: 1, value };
    report.charts = vec![Chart {
        hypothesis: evil(),
        indicator: evil(),
        unit: evil(),
        step: 5,
        low: None,
        high: Some(1.5),
        samples: vec![sample(0, Some(1.0)), sample(1, None), sample(2, Some(3.0))],
    }];
    report
}

type Attributes = Vec<(String, String)>;

/// The elements and attributes of a page, as a browser would read them, and its
/// text. Panics on what is not closed, not quoted, or not known.
fn read(page: &str) -> (Vec<(String, Attributes)>, String) {
    let (mut elements, mut text, mut open) = (Vec::new(), String::new(), Vec::new());
    let mut rest = page.strip_prefix("<!DOCTYPE html>").unwrap();
    while let Some(at) = rest.find('<') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let end = rest.find('>').unwrap();
        let (tag, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "elements nest");
            continue;
        }
        let (name, mut attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric()), "{name}");
        let mut found = Vec::new();
        while !attributes.is_empty() {
            let (name, value) = attributes.split_once("=\"").unwrap();
            let (value, left) = value.split_once('"').unwrap();
            found.push((name.to_owned(), value.to_owned()));
            attributes = left.trim_start();
        }
        elements.push((name.to_owned(), found));
        if name == "style" {
            // Its content is no markup.
            let end = rest.find("</style>").unwrap();
            rest = &rest[end..];
        }
        if name != "meta" {
            open.push(name.to_owned());
        }
    }
    assert!(open.is_empty(), "{open:?}");
    (elements, text + rest)
}

const ELEMENTS: [&str; 37] = [
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "header",
    "section",
    "article",
    "figure",
    "figcaption",
    "h1",
    "h2",
    "h3",
    "p",
    "span",
    "strong",
    "dl",
    "div",
    "dt",
    "dd",
    "table",
    "tr",
    "th",
    "td",
    "ul",
    "li",
    "details",
    "summary",
    "pre",
    "code",
    "svg",
    "g",
    "rect",
    "line",
    "path",
    "text",
];
const ATTRIBUTES: [&str; 26] = [
    "lang",
    "charset",
    "name",
    "content",
    "http-equiv",
    "class",
    "aria-hidden",
    "viewBox",
    "role",
    "aria-label",
    "width",
    "height",
    "x",
    "y",
    "x1",
    "x2",
    "y1",
    "y2",
    "d",
    "cx",
    "cy",
    "r",
    "rx",
    "id",
    "dir",
    "open",
];

/// Scenario: every text of a report that others can write is an attack: markup,
/// ends of quotes and of our elements, a script's URL, marks of direction.
/// Guarantees: the page has our elements and attributes and no others, none of
/// which loads or runs anything; every attack is there as text, and no control
/// character is.
#[test]
fn text_of_others_stays_text() {
    for attack in ATTACKS {
        let page = html(&hostile(attack));
        let (elements, text) = read(&page);
        for (name, attributes) in &elements {
            assert!(ELEMENTS.contains(&name.as_str()) || name == "circle", "{name}");
            for (attribute, _) in attributes {
                assert!(ATTRIBUTES.contains(&attribute.as_str()), "{attribute}");
            }
        }
        let count = |name: &str| elements.iter().filter(|(n, _)| n == name).count();
        assert_eq!((count("style"), count("script"), count("head")), (1, 0, 1));
        assert!(!page.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')));
        assert!(!page.contains('\u{202e}'));
        let begun = attack.chars().take(8).collect::<String>();
        let escaped = begun
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;")
            .replace('\'', "&#39;");
        assert!(text.matches(&escaped).count() > 20, "{escaped} is shown");
    }
}

/// Scenario: the page of a report with everything in it.
/// Guarantees: nothing is loaded from anywhere, scripts are forbidden, light and
/// dark and paper are cared for, and the verdict stands before all else.
#[test]
fn one_file_is_enough() {
    let page = html(&hostile("x"));
    for load in ["http:", "https:", "//", "url(", "@import", "src=", "href=", "<script", "<link"] {
        assert!(!page.contains(load), "{load}");
    }
    assert!(page.contains("default-src &#39;none&#39;"), "scripts and loads are forbidden");
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("@media print"));
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text}"));
    assert!(at("deviated: silence</p>") < at("<h1>x</h1>"));
    assert!(at("<h1>x</h1>") < at("Hypotheses") && at("Hypotheses") < at("Blast radius"));
    assert!(at("Stopping helped; the fault is gone.") < at("Hypotheses"));
}

/// Scenario: a finding with numbers, a chart of two phases with a hole in it and
/// an open interval, an alert that goes on.
/// Guarantees: estimate, interval, MDE, reason and SQL are there in words; the
/// line is broken at the hole and marked there; nothing is drawn off the sheet.
#[test]
fn a_hypothesis_is_shown_with_its_numbers() {
    let mut report = hostile("pay");
    report.findings.truncate(2);
    report.findings[1].hypothesis = "other".into();
    report.findings[0].numbers = Some(json!({
        "value": {"estimate": 98.24, "low": 90.0, "high": null}, "high": 120.0, "baseline": 80.0,
        "n": 1200, "n_effective": 61.5, "mde": 4.2, "p": 0.5, "p_adjusted": 1.0, "widened": 1.3,
        "method": "Hodges-Lehmann over buckets"
    }));
    report.charts[0].unit = "ms".into();
    let page = html(&report);
    for said in [
        "<dt>estimate</dt><dd>98.24 ms</dd>",
        "90 ms to unknown",
        "open to 120 ms",
        "<dt>smallest move to be seen (MDE)</dt><dd>4.2 ms</dd>",
        "1200, worth 61.5",
        "1.3 times",
        "inconclusive: too_few",
        "<summary>SQL</summary>",
    ] {
        let flat = page.replace(">\n<", "><");
        assert!(flat.contains(said), "{said}");
    }
    let (elements, _) = read(&page);
    let of = |class: &str| {
        let has = |(_, a): &&(String, Attributes)| {
            a.iter().any(|(name, value)| name == "class" && value == class)
        };
        elements.iter().find(has).map(|(_, attributes)| attributes.clone()).unwrap()
    };
    let drawn = of("measured").into_iter().find(|(name, _)| name == "d").unwrap().1;
    assert_eq!((drawn.matches('M').count(), drawn.matches('L').count()), (2, 0), "{drawn}");
    assert!(of("none").iter().any(|(name, value)| name == "d" && !value.is_empty()));
    let sheet = 0.0..=scale::WIDTH;
    for (name, value) in elements.iter().flat_map(|(_, attributes)| attributes) {
        if matches!(name.as_str(), "x" | "y" | "x1" | "x2" | "y1" | "y2") {
            assert!(sheet.contains(&value.parse::<f64>().unwrap()), "{name}={value}");
        }
    }
}

/// Scenario: times and values at their limits: a run of no length, of all time,
/// values that are infinite, huge, negative, none.
/// Guarantees: no panic, no endless axis, and coordinates stay numbers.
#[test]
fn odd_numbers_are_drawn() {
    for (from, to) in [(0, 0), (i64::MIN, i64::MAX), (i64::MAX, i64::MIN), (-5, 5)] {
        for value in [0.0, -1.0, 1e-300, 1e308, f64::INFINITY, f64::NAN, f64::MIN] {
            let mut report = hostile("x");
            (report.window.inject, report.window.recover) = (from, to);
            report.phases.baseline = Span { from, buckets: u32::MAX };
            report.alerts[0].from = to;
            report.charts[0].high = Some(value);
            report.charts[0].samples.iter_mut().for_each(|sample| sample.value = Some(value));
            let page = html(&report);
            assert!(page.len() < 200_000, "{}", page.len());
            let (elements, _) = read(&page);
            let places = ["x", "y", "x1", "x2", "y1", "y2", "width", "height", "d", "viewBox"];
            for (_, at) in elements
                .iter()
                .flat_map(|(_, attributes)| attributes)
                .filter(|(name, _)| places.contains(&name.as_str()))
            {
                assert!(!at.contains("NaN") && !at.contains("inf"), "{at}: {from} {to} {value}");
            }
        }
    }
    for (value, unit, said) in [
        (0.0125, "ratio", "1.25 %"),
        (1_250.0, "ms", "1.25 s"),
        (0.000_012_3, "", "0.0000123"),
        (1e12, "", "1.000e12"),
        (-3.0, "", "-3"),
        (1200.0, "", "1200"),
    ] {
        assert_eq!(shown(value, unit), said);
    }
}
