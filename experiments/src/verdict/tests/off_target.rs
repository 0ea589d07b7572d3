use super::shop::{DOCUMENT, Harm, Run, SECOND, asked, run};
use crate::completeness::Grade;
use crate::document::probe::EffectCheck;
use crate::document::scope::Target;
use crate::radius::blame::{Graph, Resources};
use crate::radius::calibrate::{Calibration, Noise, Pseudo};
use crate::radius::extent::{Endpoint, Traces};
use crate::radius::{About, Extent, Radius, Sign, Signal};
use crate::statistics::ratio::{self, Share};
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

/// A run of which so many of 400 requests of users were affected, and 4 of 400 before.
fn affected(felt: u64, load: f64, pieces: usize) -> Run {
    let declared = "{max: {affected-traces: 20%}}";
    let mut run = touched(declared, &SEEN, pieces);
    let span = |at: usize| Span { from: at as i64 * 60 * SECOND, buckets: 9 };
    let calm = |at| Pseudo { span: span(at), signs: Vec::new() };
    let noise = Noise::of(&(0..pieces).map(calm).collect::<Vec<_>>());
    let grown = ratio::difference(Share::new(4, 400), Share::new(felt, 400));
    let traces =
        Traces { n: 400, felt, before: (4, 400), unknown: 0, grown: Some(grown), load: Some(load) };
    run.evidence.extent = Some(asked(Extent { traces, noise, ..Extent::default() }));
    run
}

fn share(run: &Run) -> (Verdict, Option<Reason>) {
    let judgement = judge(&run.experiment, &run.window, &run.evidence);
    let finding = judgement.findings.iter().find(|f| f.hypothesis == "affected traces").unwrap();
    assert!(judgement.ruling.verdict >= finding.ruling.verdict);
    (finding.ruling.verdict, finding.ruling.reason)
}

/// Scenario: a fifth of users' requests may be affected; a twentieth is, a third is,
/// about a fifth; and again where little fault-free time is known, where fewer
/// requests come or none, where most are of endpoints nobody knows, where it was
/// not measured, and where spans are broken.
/// Guarantees: J2: held and deviated where they are shown, deviated also where load
/// fell, silence where requests stopped; everything else is inconclusive.
#[test]
fn inv_j2_affected_traces_are_held_only_where_shown() {
    assert_eq!(share(&affected(20, 1.0, 60)), (Verdict::Held, None));
    assert_eq!(share(&affected(133, 1.0, 60)), (Verdict::Deviated, None));
    assert_eq!(share(&affected(133, 0.5, 60)), (Verdict::Deviated, None));
    assert_eq!(share(&affected(80, 1.0, 60)), inconclusive(Reason::TooFew));
    assert_eq!(share(&affected(20, 1.0, 10)), inconclusive(Reason::Uncalibrated));
    assert_eq!(share(&affected(20, 0.5, 60)), inconclusive(Reason::LoadConfounded));
    assert_eq!(share(&affected(0, 0.05, 60)), (Verdict::Deviated, Some(Reason::Silence)));
    fn extent(run: &mut Run) -> &mut Extent {
        run.evidence.extent.as_mut().unwrap().answer.as_mut().unwrap()
    }
    let mut strange = affected(20, 1.0, 60);
    extent(&mut strange).traces.unknown = 100;
    assert_eq!(share(&strange), inconclusive(Reason::TooFew));
    let mut nothing = affected(20, 1.0, 60);
    extent(&mut nothing).traces.grown = None;
    assert_eq!(share(&nothing), inconclusive(Reason::NoData));
    let mut refused = affected(20, 1.0, 60);
    refused.evidence.extent.as_mut().unwrap().answer = Err(Gap::Error("no".into()));
    assert_eq!(share(&refused), inconclusive(Reason::Error));
    refused.evidence.extent = None;
    assert_eq!(share(&refused), inconclusive(Reason::Error));
    let mut broken = affected(20, 1.0, 60);
    broken.evidence.grades.insert((Source::Spans, Phase::Injection), asked(Grade::Broken));
    assert_eq!(share(&broken), inconclusive(Reason::PipelineGap));
}

/// Scenario: services are limited and what lies off target is only reported; the
/// document says that there is no effect check, and no target shows anything.
/// Guarantees: the limit is judged all the same; such a run is invalid.
#[test]
fn limits_are_judged_and_under_reach_is_invalid() {
    let off = [SEEN[0], SEEN[1], ("cart", 40.0)];
    assert_eq!(found(&touched("{max: {services: 2}}", &off, 60)), (Verdict::Deviated, None));
    assert_eq!(found(&touched("{max: {services: 3}}", &off, 60)), (Verdict::Held, None));
    let mut unseen = touched(DEVIATE, &[], 60);
    unseen.experiment.effect_check = Some(EffectCheck::None);
    assert_eq!(found(&unseen), (Verdict::Invalid, Some(Reason::NoEffect)));
}

/// Scenario: the target is one endpoint of a service, of which this or another one
/// stands out, over enough fault-free time or too little, or could not be measured; the
/// target is a resource that nothing has which was sent.
/// Guarantees: what is aimed at is inside, another endpoint of its service is off target
/// unless that is only reported, and what cannot be told is no pass (J2).
#[test]
fn inv_j2_other_endpoints_than_the_target_are_off_target() {
    let at = |operation: &str, declared: &str, pieces: usize| {
        let mut run = touched(declared, &SEEN, 60);
        let endpoint = Endpoint {
            service: "payment".into(),
            operation: operation.into(),
            user_visible: false,
            strength: 9.0,
            stands_out: true,
            onset: None,
            detail: String::new(),
        };
        let span = |at: usize| Span { from: at as i64 * 60 * SECOND, buckets: 9 };
        let calm = |at| Pseudo { span: span(at), signs: Vec::new() };
        let noise = Noise::of(&(0..pieces).map(calm).collect::<Vec<_>>());
        let extent = Extent { endpoints: vec![endpoint], noise, ..Extent::default() };
        run.evidence.extent = Some(asked(extent));
        aim(&mut run).endpoints = vec!["POST /charge".into()];
        run
    };
    assert_eq!(found(&at("POST /charge", DEVIATE, 60)), (Verdict::Held, None));
    assert_eq!(found(&at("GET /health", DEVIATE, 60)), (Verdict::Deviated, None));
    assert_eq!(found(&at("GET /health", "{max: {services: 3}}", 60)), (Verdict::Held, None));
    assert_eq!(found(&at("POST /charge", DEVIATE, 10)), inconclusive(Reason::Uncalibrated));
    let mut unmeasured = at("POST /charge", DEVIATE, 60);
    unmeasured.evidence.extent.as_mut().unwrap().answer = Err(Gap::Error("no".into()));
    assert_eq!(found(&unmeasured), inconclusive(Reason::Error));
    let mut nobody = touched(DEVIATE, &SEEN, 60);
    *aim(&mut nobody) = Target::default();
    assert_eq!(found(&nobody), inconclusive(Reason::NoData));
}

fn aim(run: &mut Run) -> &mut Target {
    &mut run.evidence.radius.as_mut().unwrap().answer.as_mut().unwrap().aim
}

/// Scenario: the target shows nothing; too little fault-free time is known; the
/// radius could not be measured or was not asked for; spans are behind or broken;
/// a service off target falls silent.
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
