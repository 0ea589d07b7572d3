//! A report as one HTML file: nothing is loaded, no script runs, and it is as
//! good on paper and without colours. The verdict stands first, then each
//! hypothesis with its numbers and the SQL that gives them.
//!
//! | file | its part |
//! | --- | --- |
//! | [`markup`] | the only way to write markup: text of others stays text |
//! | [`scale`] | times and values on paper, and in words |
//! | [`line`] | an indicator with its phases, tolerance and intervals |
//! | [`lane`] | alerts along the run |
//! | [`graph`] | what was touched, by who calls whom |
//! | `style.css` | light and dark, screen and paper |
//!
//! Titles, services, rules and statements come from documents and telemetry, so
//! from anybody. [`markup::Markup`] takes names of elements and attributes as
//! constants only and escapes all else; the page's own policy forbids scripts
//! and loads besides.

mod graph;
mod lane;
mod line;
mod markup;
mod scale;
#[cfg(test)]
mod tests;

use super::{Entry, Numbers, Report, instant};
use crate::verdict::Verdict;
use crate::window::Span;

use markup::Markup;
use scale::shown;

const STYLE: &str = include_str!("style.css");
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The page.
pub fn html(report: &Report) -> String {
    let mut page = Markup::page();
    page.within("html", &[("lang", "en")], |page| {
        page.within("head", &[], |head| {
            head.open("meta", &[("charset", "utf-8")]);
            let view = [("name", "viewport"), ("content", "width=device-width, initial-scale=1")];
            head.open("meta", &view);
            let policy = [("http-equiv", "Content-Security-Policy"), ("content", POLICY)];
            head.open("meta", &policy);
            head.open("meta", &[("name", "color-scheme"), ("content", "light dark")]);
            head.leaf("title", &[], &format!("{}: {}", report.in_short(), report.title));
            head.style(STYLE);
        });
        page.within("body", &[], |body| {
            verdict(report, body);
            run(report, body);
            hypotheses(report, body);
            radius(report, body);
            evidence(report, body);
        });
    });
    page.finish()
}

/// A verdict that is told from the others without its colour.
fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Held => "✓",
        Verdict::Deviated => "✗",
        Verdict::Inconclusive => "?",
        Verdict::Invalid => "⊘",
        Verdict::Aborted => "■",
    }
}

fn verdict(report: &Report, body: &mut Markup) {
    body.within("header", &[("class", report.verdict.name())], |header| {
        header.within("p", &[("class", "ruling")], |ruling| {
            ruling.leaf(
                "span",
                &[("class", "mark"), ("aria-hidden", "true")],
                mark(report.verdict),
            );
            ruling.text(&report.in_short());
        });
        header.leaf("h1", &[], &report.title);
        header.leaf("p", &[], &report.detail);
        if let Some(after) = &report.aftermath {
            header.within("p", &[("class", "aftermath")], |p| {
                p.leaf("strong", &[], &after.in_short());
                p.text(&format!(" {}", after.detail));
            });
            statements(&after.evidence_sql, header);
        }
        list(
            header,
            &[
                ("run", report.window.run_id.clone()),
                ("document", report.version.clone()),
                ("judged", format!("{} over the rows ingested until then", report.judged_at)),
                ("seed", report.seed.to_string()),
            ],
        );
    });
}

fn run(report: &Report, body: &mut Markup) {
    body.within("section", &[], |section| {
        section.leaf("h2", &[], "The run");
        section.within("table", &[], |table| {
            row(table, "th", &["phase", "from", "to"]);
            let phases = &report.phases;
            let each: [(&str, Span); 3] = [
                ("baseline", phases.baseline),
                ("injection", phases.injection),
                ("recovery", phases.recovery),
            ];
            for (name, span) in each.into_iter().filter(|(_, span)| span.buckets > 0) {
                row(table, "td", &[name, &instant(span.from), &instant(span.to())]);
            }
        });
        lane::lane(report, section);
        if !report.notes.is_empty() {
            section.within("ul", &[], |list| {
                report.notes.iter().for_each(|note| list.leaf("li", &[], note));
            });
        }
    });
}

fn hypotheses(report: &Report, body: &mut Markup) {
    body.within("section", &[], |section| {
        section.leaf("h2", &[], "Hypotheses");
        for (at, finding) in report.findings.iter().enumerate() {
            // The picture stands with the first of its findings.
            let first = !report.findings[..at].iter().any(|f| f.hypothesis == finding.hypothesis);
            let class = finding.verdict.name();
            section.within("article", &[("class", class)], |article| {
                hypothesis(report, finding, first, article);
            });
        }
        let guards = report.charts.iter().filter(|chart| chart.hypothesis.starts_with("guard "));
        for chart in guards {
            section.within("article", &[], |article| {
                article.leaf("h3", &[], &chart.hypothesis);
                line::line(report, chart, &[], article);
            });
        }
    });
}

fn hypothesis(report: &Report, finding: &Entry, first: bool, article: &mut Markup) {
    article.within("h3", &[], |h| {
        h.leaf("span", &[("class", "mark"), ("aria-hidden", "true")], mark(finding.verdict));
        h.text(&finding.hypothesis);
        if let Some(phase) = &finding.phase {
            h.leaf("span", &[("class", "quiet")], &format!(" in the {phase}"));
        }
        if finding.severity != "critical" {
            h.leaf("span", &[("class", "quiet")], &format!(" ({})", finding.severity));
        }
    });
    article.within("p", &[], |p| {
        p.leaf("strong", &[("class", "verdict")], &finding.in_short());
        p.text(&format!(": {}", finding.detail));
    });
    let chart = report.charts.iter().filter(|chart| chart.hypothesis == finding.hypothesis);
    let unit = chart.clone().next().map_or("", |chart| chart.unit.as_str());
    let read = |value: &serde_json::Value| serde_json::from_value::<Numbers>(value.clone()).ok();
    if let Some(numbers) = finding.numbers.as_ref().and_then(read) {
        figures(&numbers, unit, article);
    }
    if first {
        let same = report.findings.iter().filter(|f| f.hypothesis == finding.hypothesis);
        let findings: Vec<&Entry> = same.collect();
        chart.for_each(|chart| line::line(report, chart, &findings, article));
    }
    statements(&finding.evidence_sql, article);
}

fn figures(numbers: &Numbers, unit: &str, article: &mut Markup) {
    let of = |value: Option<f64>| value.map_or("unknown".to_owned(), |value| shown(value, unit));
    let end = |value: Option<f64>| value.map_or("open".to_owned(), |value| shown(value, unit));
    let plain = |value: Option<f64>| value.map_or("unknown".to_owned(), |v| shown(v, ""));
    let interval = format!("{} to {}", of(numbers.value.low), of(numbers.value.high));
    let mut entries = vec![
        ("estimate", of(numbers.value.estimate)),
        ("95 % interval", interval),
        ("tolerated", format!("{} to {}", end(numbers.low), end(numbers.high))),
        ("smallest move to be seen (MDE)", of(numbers.mde)),
        ("n", format!("{}, worth {}", numbers.n, plain(numbers.n_effective))),
        ("p, corrected", plain(numbers.p_adjusted)),
        ("method", numbers.method.clone()),
    ];
    if let Some(baseline) = numbers.baseline {
        entries.insert(1, ("baseline", shown(baseline, unit)));
    }
    if let Some(widened) = numbers.widened.filter(|widened| *widened != 1.0) {
        entries.push(("widened by A/A", format!("{} times", shown(widened, ""))));
    }
    list(article, &entries);
}

fn radius(report: &Report, body: &mut Markup) {
    if report.suspects.is_empty() && report.calls.is_empty() {
        return;
    }
    body.within("section", &[], |section| {
        section.leaf("h2", &[], "Blast radius");
        graph::graph(report, section);
        reach(report, section);
        if report.suspects.is_empty() {
            section.leaf("p", &[], "No service showed a sign of the fault.");
            return;
        }
        section.within("table", &[], |table| {
            row(table, "th", &["service", "place", "depth", "onset", "strength", "signs"]);
            for suspect in &report.suspects {
                let depth = suspect.depth.map_or("–".to_owned(), |depth| depth.to_string());
                let place = match &suspect.why {
                    Some(why) => format!("{}: {why}", suspect.place),
                    None => suspect.place.clone(),
                };
                let onset = suspect.onset.map_or("–".to_owned(), |at| format!("{at:.0} s"));
                let (strength, signs) = (shown(suspect.strength, ""), suspect.signs.join("; "));
                row(table, "td", &[&suspect.service, &place, &depth, &onset, &strength, &signs]);
            }
        });
    });
}

/// How far it reached, beside what was declared.
fn reach(report: &Report, section: &mut Markup) {
    let Some(reach) = &report.reach else { return };
    list(section, &reach.in_words());
    if !reach.endpoints.is_empty() {
        section.within("table", &[], |table| {
            row(table, "th", &["endpoint", "asked for by", "what moved"]);
            for endpoint in &reach.endpoints {
                let who = if endpoint.user_visible { "users" } else { "services" };
                let name = format!("{} {}", endpoint.service, endpoint.operation);
                row(table, "td", &[&name, who, &endpoint.detail]);
            }
        });
    }
    statements(std::slice::from_ref(&reach.sql), section);
}

fn evidence(report: &Report, body: &mut Markup) {
    body.within("section", &[], |section| {
        section.leaf("h2", &[], "Evidence");
        section.within("table", &[], |table| {
            row(table, "th", &["source", "watermark"]);
            for (source, entry) in &report.sources {
                row(table, "td", &[source, entry.watermark.as_deref().unwrap_or("no row")]);
            }
        });
        for (source, entry) in &report.sources {
            fold(&format!("SQL of {source}"), &entry.sql, section);
        }
        fold("the document, complete", &report.document, section);
        section.leaf(
            "p",
            &[("class", "quiet")],
            &format!("{}; report.json is the canonical form, and `cloudsail experiment verify report.json` judges it again.", report.schema),
        );
    });
}

fn statements(sql: &[String], place: &mut Markup) {
    if !sql.is_empty() {
        fold("SQL", &sql.join(";\n\n"), place);
    }
}

/// Text behind a line: open on paper.
fn fold(summary: &str, text: &str, place: &mut Markup) {
    place.within("details", &[], |details| {
        details.leaf("summary", &[], summary);
        details.within("pre", &[], |pre| pre.leaf("code", &[], text));
    });
}

fn list(place: &mut Markup, entries: &[(&str, String)]) {
    place.within("dl", &[], |dl| {
        for (name, value) in entries {
            dl.within("div", &[], |div| {
                div.leaf("dt", &[], name);
                div.leaf("dd", &[], value);
            });
        }
    });
}

fn row(table: &mut Markup, cell: &'static str, cells: &[&str]) {
    table.within("tr", &[], |tr| cells.iter().for_each(|text| tr.leaf(cell, &[], text)));
}
