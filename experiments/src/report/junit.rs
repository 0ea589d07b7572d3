//! A report for CI.

use std::fmt::Write as _;

use super::Report;
use super::escape::escaped;
use crate::verdict::Verdict;

/// One suite with a case for the run and each finding. Deviated and aborted are
/// failures; inconclusive and invalid are errors, never skipped. What is not
/// critical fails no build: it is a case that passes, with its verdict as output.
pub fn junit(report: &Report) -> String {
    let mut cases = String::new();
    let (mut tests, mut failures, mut errors) = (0, 0, 0);
    let run = ("run", "critical", report.verdict, report.in_short(), &report.detail);
    let findings = report.findings.iter().map(|finding| {
        let severity = finding.severity.as_str();
        (
            finding.hypothesis.as_str(),
            severity,
            finding.verdict,
            finding.in_short(),
            &finding.detail,
        )
    });
    let phases = std::iter::once(None).chain(report.findings.iter().map(|f| f.phase.as_deref()));
    for ((name, severity, verdict, short, detail), phase) in
        std::iter::once(run).chain(findings).zip(phases)
    {
        tests += 1;
        let name = match phase {
            Some(phase) => format!("{name} ({phase})"),
            None => name.to_owned(),
        };
        let _ = writeln!(
            cases,
            "  <testcase classname=\"{}\" name=\"{}\">",
            escaped(&report.title),
            escaped(&name)
        );
        let tag = match verdict {
            _ if severity != "critical" => None,
            Verdict::Held => None,
            Verdict::Deviated | Verdict::Aborted => Some("failure"),
            Verdict::Inconclusive | Verdict::Invalid => Some("error"),
        };
        match tag {
            Some(tag) => {
                if tag == "failure" {
                    failures += 1
                } else {
                    errors += 1
                }
                let _ = writeln!(
                    cases,
                    "    <{tag} type=\"{}\" message=\"{}\"/>",
                    escaped(verdict.name()),
                    escaped(&format!("{short}: {detail}"))
                );
            }
            None => {
                let told = escaped(&format!("{short}: {detail}"));
                let _ = writeln!(cases, "    <system-out>{told}</system-out>");
            }
        }
        let _ = writeln!(cases, "  </testcase>");
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"{}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"0\" timestamp=\"{}\">\n{cases}</testsuite>\n",
        escaped(&report.title),
        escaped(&report.judged_at)
    )
}
