use super::shop::{DOCUMENT, Harm, run};
use crate::verdict::{Judgement, Verdict, judge};

/// How many of a hundred seeded runs had this verdict; every other one is told.
fn count(harm: Harm, wanted: Verdict, hypothesis: usize) -> (usize, Vec<String>) {
    let judged = (0..100).map(|seed| {
        let run = run(DOCUMENT, seed, harm);
        judge(&run.experiment, &run.window, &run.evidence)
    });
    let (mut found, mut others) = (0, Vec::new());
    for Judgement { ruling, findings, .. } in judged {
        // A fault that is not to be seen is judged by the whole run, harm by its hypothesis.
        let finding = &findings[hypothesis * 2].ruling;
        let verdict = if wanted == Verdict::Held { ruling.verdict } else { finding.verdict };
        if verdict == wanted {
            found += 1;
        } else {
            others.push(format!("{:?}: {}", ruling.verdict, ruling.detail));
        }
    }
    (found, others)
}

/// Scenario: a hundred runs in which payment is slow and checkout is not touched.
/// Guarantees: at least 90 are held: a judge that always abstains fails here.
#[test]
fn inv_j1_no_harm_is_held() {
    let (held, others) = count(Harm::default(), Verdict::Held, 0);
    assert!(held >= 90, "{held} held; {others:#?}");
}

/// Scenario: a hundred runs each with latency, and with errors, at exactly what
/// is tolerated.
/// Guarantees: J2: at most 5 are called held.
#[test]
fn inv_j2_harm_at_the_margin_is_not_held() {
    for harm in [Harm { delay_ms: 20.5, errors: 0.0 }, Harm { delay_ms: 0.0, errors: 0.01 }] {
        let (held, _) = count(harm, Verdict::Held, 0);
        assert!(held <= 5, "{held} held with {harm:?}");
    }
}

/// Scenario: a hundred runs each with latency, and with errors, of twice what is
/// tolerated.
/// Guarantees: at least 95 deviated.
#[test]
fn inv_j1_harm_of_twice_the_margin_deviates() {
    let twice = [Harm { delay_ms: 0.0, errors: 0.02 }, Harm { delay_ms: 41.0, errors: 0.0 }];
    for (hypothesis, harm) in twice.into_iter().enumerate() {
        let (deviated, others) = count(harm, Verdict::Deviated, hypothesis);
        assert!(deviated >= 95, "{deviated} deviated with {harm:?}; {others:#?}");
    }
}
