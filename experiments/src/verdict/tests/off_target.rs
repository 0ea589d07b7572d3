use super::shop::{DOCUMENT, Harm, Run, SECOND, asked, run};
use crate::completeness::Grade;
use crate::radius::blame::{Graph, Resources};
use crate::radius::calibrate::{Calibration, Noise, Pseudo};
use crate::radius::{About, Radius, Sign, Signal};
use crate::verdict::evidence::{Flow, Gap, Source};
use crate::verdict::{Reason, Verdict, judge};
use crate::window::{Phase, Span};

/// A run in which these services show signs of some strength; noise reaches 5.
fn touched(declared: &str, signs: &[(&str, f64)], pieces: usize) -> Run {
    let text = DOCUMENT.replace("window:", &format!("blast-radius: {declared}\nwindow:"));
    let mut run = run(&text, 3, Harm::default());
    let sign = |(service, strength): &(&str, f64)| Sign {
        signal: Signal::Exclusive,
        service: (*service).into(),
        strength: *strength,
        about: About::default(),
        onset: None,
        detail: String::new(),
    };
    let graph = Graph::from([
        ("frontend".to_owned(), ["checkout".to_owned(), "cart".to_owned()].into()),
        ("checkout".to_owned(), ["payment".to_owned()].into()),
    ]);
    let mut noise = vec![Vec::new(); pieces];
    noise.iter_mut().take(5).for_each(|signs| *signs = vec![sign(&("cart", 5.0))]);
    let span = |at: usize| Span { from: at as i64 * 60 * SECOND, buckets: 9 };
    let noise = noise.into_iter().enumerate();
    let noise: Vec<Pseudo> = noise.map(|(at, signs)| Pseudo { span: span(at), signs }).collect();
    let calibration = Calibration { telemetry: Noise::of(&noise), ..Calibration::default() };
    let (target, allowed) = (&run.experiment.target, &run.experiment.blast_radius);
    let (signs, none) = (signs.iter().map(sign).collect(), Resources::new());
    let radius = Radius::new(signs, &graph, &none, target, allowed, calibration);
    run.evidence.radius = Some(asked(radius));
    run
}

fn found(run: &Run) -> (Verdict, Option<Reason>) {
    let judgement = judge(&run.experiment, &run.window, &run.evidence);
    let finding = judgement.findings.iter().find(|f| f.hypothesis == "blast radius").unwrap();
    assert!(judgement.ruling.verdict >= finding.ruling.verdict);
    (finding.ruling.verdict, finding.ruling.reason)
}

fn inconclusive(reason: Reason) -> (Verdict, Option<Reason>) {
    (Verdict::Inconclusive, Some(reason))
}

const DEVIATE: &str = "{off-target: deviate}";
const SEEN: [(&str, f64); 2] = [("payment", 90.0), ("checkout", 30.0)];

/// Scenario: the target and its caller are touched; beside them a service that
/// calls neither, strongly or no more than it is without a fault; more services
/// or further callers than are allowed.
/// Guarantees: held, deviated, held, deviated; what is only reported is no finding.
#[test]
fn what_is_touched_off_target_deviates() {
    let held = (Verdict::Held, None);
    let deviated = (Verdict::Deviated, None);
    assert_eq!(found(&touched(DEVIATE, &SEEN, 60)), held);
    let beside = |strength| [SEEN[0], SEEN[1], ("cart", strength)];
    assert_eq!(found(&touched(DEVIATE, &beside(40.0), 60)), deviated);
    assert_eq!(found(&touched(DEVIATE, &beside(4.0), 60)), held);
    let allowed = "{off-target: abort, allow: {services: [cart]}}";
    assert_eq!(found(&touched(allowed, &beside(40.0), 60)), held);
    assert_eq!(found(&touched("{off-target: deviate, max: {services: 1}}", &SEEN, 60)), deviated);
    let callers = [SEEN[0], SEEN[1], ("frontend", 20.0)];
    assert_eq!(found(&touched(DEVIATE, &callers, 60)), held);
    let near = "{off-target: deviate, allow: {upstream-depth: 1}}";
    assert_eq!(found(&touched(near, &callers, 60)), deviated);
    let reported = touched("{off-target: report}", &beside(40.0), 60);
    let judgement = judge(&reported.experiment, &reported.window, &reported.evidence);
    assert!(judgement.findings.iter().all(|finding| finding.hypothesis != "blast radius"));
}

/// Scenario: the target shows nothing; too little fault-free time is known; the
/// radius could not be measured or was not asked for; spans are behind or broken;
/// a share of traces is demanded; a service off target falls silent.
/// Guarantees: J2: an empty radius is only believed where the fault was seen by
/// the same means over whole telemetry; silence is a deviation, not an absence.
#[test]
fn inv_j2_an_empty_radius_is_not_believed_unseen() {
    assert_eq!(found(&touched(DEVIATE, &[], 60)), inconclusive(Reason::NoEffect));
    assert_eq!(found(&touched(DEVIATE, &SEEN, 10)), inconclusive(Reason::Uncalibrated));
    let mut refused = touched(DEVIATE, &SEEN, 60);
    refused.evidence.radius.as_mut().unwrap().answer = Err(Gap::Error("no".into()));
    assert_eq!(found(&refused), inconclusive(Reason::Error));
    refused.evidence.radius = None;
    assert_eq!(found(&refused), inconclusive(Reason::Error));
    let mut broken = touched(DEVIATE, &SEEN, 60);
    let key = (Source::Spans, Phase::Injection);
    broken.evidence.grades.insert(key, asked(Grade::Broken));
    assert_eq!(found(&broken), inconclusive(Reason::PipelineGap));
    let shares = "{off-target: deviate, max: {affected-traces: 20%}}";
    assert_eq!(found(&touched(shares, &SEEN, 60)), inconclusive(Reason::Error));
    let mut silent = touched(DEVIATE, &SEEN, 60);
    fn flow(run: &mut Run) -> &mut Flow {
        run.evidence.flows.get_mut(&Source::Spans).unwrap().answer.as_mut().unwrap()
    }
    let early = silent.evidence.phases.injection.from;
    flow(&mut silent).services.get_mut("cart").unwrap().get_mut(&Phase::Injection).unwrap().fill(0);
    assert_eq!(found(&silent), (Verdict::Deviated, Some(Reason::Silence)));
    flow(&mut silent).watermark = Some(early);
    assert_eq!(found(&silent), inconclusive(Reason::PipelineGap));
}
