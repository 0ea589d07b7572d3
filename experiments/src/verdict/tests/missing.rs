use super::shop::{DOCUMENT, Harm, PHASES, Run, SECOND, Shop, asked, document, run};
use crate::completeness::Grade;
use crate::indicator::series::{Bucket, Series};
use crate::statistics::random::Random;
use crate::verdict::evidence::{Gap, Measured, Observed, Source};
use crate::verdict::{Finding, Reason, Verdict, judge};
use crate::window::Phase;

fn measured(run: &mut Run, probe: usize) -> &mut Measured {
    match &mut run.evidence.probes[probe] {
        Observed::Measure(measured) => measured,
        Observed::Sites | Observed::Sql(_) => panic!("no measure"),
    }
}

fn series(run: &mut Run, probe: usize, phase: Phase) -> &mut Series {
    measured(run, probe).phases.get_mut(&phase).unwrap().answer.as_mut().unwrap()
}

fn clear(series: &mut Series) {
    series.buckets.iter_mut().for_each(|bucket| *bucket = Default::default());
}

/// The first finding of the first probe, and the run's verdict with it.
fn found(run: &Run) -> (Verdict, Option<Reason>) {
    let judgement = judge(&run.experiment, &run.window, &run.evidence);
    let Finding { ruling, .. } = &judgement.findings[0];
    assert!(judgement.ruling.verdict >= ruling.verdict, "{judgement:#?}");
    (ruling.verdict, ruling.reason)
}

fn inconclusive(reason: Reason) -> (Verdict, Option<Reason>) {
    (Verdict::Inconclusive, Some(reason))
}

fn healthy() -> Run {
    run(DOCUMENT, 3, Harm::default())
}

fn flow_of(run: &mut Run, source: Source) -> &mut crate::verdict::evidence::Flow {
    run.evidence.flows.get_mut(&source).unwrap().answer.as_mut().unwrap()
}

/// Scenario: checkout's requests vanish with the fault while others flow.
/// Guarantees: J2: deviated, for silence.
#[test]
fn inv_j2_vanished_traffic_is_an_outage() {
    let silence = (Verdict::Deviated, Some(Reason::Silence));
    let mut whole = healthy();
    clear(series(&mut whole, 0, Phase::Injection));
    assert_eq!(found(&whole), silence);
    let mut nearly = healthy();
    let left = &mut series(&mut nearly, 0, Phase::Injection).buckets;
    left.iter_mut().for_each(|bucket| (bucket.n, bucket.hits) = ((bucket.n / 20.0).floor(), 0.0));
    assert_eq!(found(&nearly), silence);
    let mut hole = healthy();
    series(&mut hole, 0, Phase::Injection).buckets[20..30].fill(Default::default());
    assert_eq!(found(&hole), silence);
}

/// Scenario: everybody falls silent; the source ends before the phase does; its
/// flow cannot be asked for; an answer is cut.
/// Guarantees: J2: inconclusive for a pipeline that cannot see.
#[test]
fn inv_j2_a_blind_pipeline_is_a_gap() {
    let mut all = healthy();
    clear(series(&mut all, 0, Phase::Injection));
    for counts in flow_of(&mut all, Source::Spans).services.values_mut() {
        counts.get_mut(&Phase::Injection).unwrap().fill(0);
    }
    assert_eq!(found(&all), inconclusive(Reason::PipelineGap));
    let mut behind = healthy();
    let early = behind.evidence.phases.injection.from + 60 * SECOND;
    flow_of(&mut behind, Source::Spans).watermark = Some(early);
    assert_eq!(found(&behind), inconclusive(Reason::PipelineGap));
    clear(series(&mut behind, 0, Phase::Injection));
    assert_eq!(found(&behind), inconclusive(Reason::PipelineGap));
    let mut unasked = healthy();
    unasked.evidence.flows.clear();
    assert_eq!(found(&unasked), inconclusive(Reason::PipelineGap));
    let mut cut = healthy();
    let answer = Err(Gap::Incomplete("a node is not answered for".into()));
    measured(&mut cut, 0).phases.get_mut(&Phase::Injection).unwrap().answer = answer;
    assert_eq!(found(&cut), inconclusive(Reason::PipelineGap));
}

/// Scenario: the source has passed the end, but not what may come late.
/// Guarantees: J2: what would hold is late, and what deviated stays so.
#[test]
fn inv_j2_late_rows_may_come() {
    let late = |mut run: Run| {
        let end = run.evidence.phases.end();
        flow_of(&mut run, Source::Spans).watermark = Some(end + 10 * SECOND);
        found(&run)
    };
    assert_eq!(late(healthy()), inconclusive(Reason::Late));
    let harmed = run(DOCUMENT, 3, Harm { errors: 0.2, delay_ms: 0.0 });
    assert_eq!(late(harmed), (Verdict::Deviated, None));
}

/// Scenario: spans of the injection are torn, broken, graded by nobody, and of a
/// grade that could not be asked for; an error ratio far outside with broken spans.
/// Guarantees: J2: what is broken or not known caps what would hold; what deviated
/// stays so.
#[test]
fn inv_j2_a_broken_source_caps_what_depends_on_it() {
    let graded = |mut run: Run, grade: Option<Result<Grade, Gap>>| {
        let key = (Source::Spans, Phase::Injection);
        match grade {
            Some(answer) => run.evidence.grades.get_mut(&key).unwrap().answer = answer,
            None => drop(run.evidence.grades.remove(&key)),
        }
        found(&run)
    };
    assert_eq!(graded(healthy(), Some(Ok(Grade::Torn))), (Verdict::Held, None));
    let broken = || Some(Ok(Grade::Broken));
    assert_eq!(graded(healthy(), broken()), inconclusive(Reason::PipelineGap));
    assert_eq!(graded(healthy(), None), inconclusive(Reason::PipelineGap));
    let refused = Some(Err(Gap::Error("no".into())));
    assert_eq!(graded(healthy(), refused), inconclusive(Reason::Error));
    let harmed = run(DOCUMENT, 3, Harm { errors: 0.2, delay_ms: 0.0 });
    assert_eq!(graded(harmed, broken()), (Verdict::Deviated, None));
}

/// Scenario: metrics of the injection are broken, and graded by nobody; spans are
/// whole.
/// Guarantees: J2: what is told by metrics is capped, and what spans tell is not.
#[test]
fn inv_j2_broken_metrics_cap_what_they_tell() {
    let probe = "    - {indicator: resource.cpu, service: checkout, max: 0.9}\n    - {service: checkout, indicator: error_ratio";
    let text = DOCUMENT.replace("    - {service: checkout, indicator: error_ratio", probe);
    let good = run(&text, 3, Harm::default());
    let key = (Source::Metrics, Phase::Injection);
    let mut broken = good.clone();
    broken.evidence.grades.get_mut(&key).unwrap().answer = Ok(Grade::Broken);
    let mut unasked = good.clone();
    unasked.evidence.grades.remove(&key);
    assert_eq!(found(&good), (Verdict::Held, None));
    for run in [broken, unasked] {
        assert_eq!(found(&run), inconclusive(Reason::PipelineGap));
        let judgement = judge(&run.experiment, &run.window, &run.evidence);
        assert_eq!(judgement.findings[2].ruling.verdict, Verdict::Held, "{judgement:#?}");
    }
}

/// Scenario: a subject that may be scaled to zero was idle before and is idle now.
/// Guarantees: J2: inconclusive, idle; without the permission it is no data.
#[test]
fn inv_j2_an_idle_subject_shows_nothing() {
    let idle = |document: &str| {
        let mut run = run(document, 3, Harm::default());
        for phase in PHASES {
            clear(series(&mut run, 0, phase));
        }
        found(&run)
    };
    let allowed = DOCUMENT.replace("max: 0.01}", "max: 0.01, scale-to-zero: true}");
    assert_eq!(idle(&allowed), inconclusive(Reason::Idle));
    assert_eq!(idle(DOCUMENT), inconclusive(Reason::NoData));
    let mut stopped = run(&allowed, 3, Harm::default());
    clear(series(&mut stopped, 0, Phase::Injection));
    assert_eq!(found(&stopped), (Verdict::Deviated, Some(Reason::Silence)));
}

/// Scenario: a few requests without an error.
/// Guarantees: J2: too few, with the move that could have been shown.
#[test]
fn inv_j2_few_samples_show_little() {
    let mut run = healthy();
    for phase in PHASES {
        for bucket in &mut series(&mut run, 0, phase).buckets {
            (bucket.n, bucket.hits) = (1.0, 0.0);
        }
    }
    assert_eq!(found(&run), inconclusive(Reason::TooFew));
    let judgement = judge(&run.experiment, &run.window, &run.evidence);
    assert!(judgement.findings[0].ruling.detail.contains("could be shown"), "{judgement:#?}");
    assert!(judgement.findings[0].numbers.as_ref().unwrap().mde > 0.01);
}

/// Scenario: an indicator repeats one bucket; all its durations are equal.
/// Guarantees: J2: a dead signal, not a healthy one.
#[test]
fn inv_j2_a_frozen_series_is_dead() {
    let mut repeated = healthy();
    let buckets = &mut series(&mut repeated, 0, Phase::Injection).buckets;
    let first = buckets[0].clone();
    buckets.fill(first);
    assert_eq!(found(&repeated), inconclusive(Reason::DeadSignal));
    let mut equal = healthy();
    for bucket in &mut series(&mut equal, 1, Phase::Injection).buckets {
        bucket.cells = vec![(60.0, bucket.n)];
    }
    let judgement = judge(&equal.experiment, &equal.window, &equal.evidence);
    assert_eq!(judgement.findings[2].ruling.reason, Some(Reason::DeadSignal));
}

/// Scenario: an even load gives one count in every bucket; before, most
/// neighbours were alike, or a third of them, as happens with few requests.
/// Guarantees: J2: only what stood as still before is no frozen signal.
#[test]
fn inv_j2_an_even_load_is_not_frozen() {
    let mut even = healthy();
    let buckets = &mut series(&mut even, 0, Phase::Injection).buckets;
    let first = buckets[0].clone();
    buckets.fill(first.clone());
    let before = &mut series(&mut even, 0, Phase::Baseline).buckets;
    before.fill(first.clone());
    for (at, bucket) in before.iter_mut().enumerate().filter(|(at, _)| at % 6 == 0) {
        bucket.n += 1.0 + (at % 2) as f64;
    }
    assert_eq!(found(&even), (Verdict::Held, None));
    // Two of each three neighbours differ.
    for (at, bucket) in series(&mut even, 0, Phase::Baseline).buckets.iter_mut().enumerate() {
        bucket.n = first.n + f64::from(u8::from(at % 3 == 0));
    }
    assert_eq!(found(&even), inconclusive(Reason::DeadSignal));
}

/// Scenario: a query fails, a gauge is NaN, spans are sampled.
/// Guarantees: J2: error, error, biased.
#[test]
fn inv_j2_unsound_values_are_errors() {
    let mut failed = healthy();
    let answer = Err(Gap::Error("no column x".into()));
    measured(&mut failed, 0).phases.get_mut(&Phase::Injection).unwrap().answer = answer.clone();
    assert_eq!(found(&failed), inconclusive(Reason::Error));
    let mut before = healthy();
    measured(&mut before, 0).phases.get_mut(&Phase::Baseline).unwrap().answer = answer;
    assert_eq!(found(&before), inconclusive(Reason::Error));
    let gauge = "    - {indicator: resource.cpu, service: checkout, max: 0.9}\n    - {service: checkout, indicator: error_ratio";
    let gauge = DOCUMENT.replace("    - {service: checkout, indicator: error_ratio", gauge);
    for bad in [f64::NAN, f64::INFINITY] {
        let mut unsound = run(&gauge, 3, Harm::default());
        assert_eq!(found(&unsound), (Verdict::Held, None));
        series(&mut unsound, 0, Phase::Injection).buckets[5].value = Some(bad);
        assert_eq!(found(&unsound), inconclusive(Reason::Error));
    }
    let mut sampled = healthy();
    series(&mut sampled, 0, Phase::Injection).sampled = 1;
    assert_eq!(found(&sampled), inconclusive(Reason::Biased));
}

/// Scenario: a query for violations finds no row: unsaid, said, said over an
/// interval that was empty, and one that was not seen whole.
/// Guarantees: J2: only no rows that were said to mean no violation, in an
/// interval that was looked at, hold.
#[test]
fn inv_j2_no_rows_hold_only_when_said_and_scanned() {
    let query = |more: &str| {
        let probe = format!(
            "    - {{name: q, provider: {{type: sql, query: SELECT 1, result: rows}}, tolerance: 0{more}}}\n    - {{service: checkout, indicator: error_ratio"
        );
        run(
            &DOCUMENT.replace("    - {service: checkout, indicator: error_ratio", &probe),
            3,
            Harm::default(),
        )
    };
    assert_eq!(found(&query("")), inconclusive(Reason::NoData));
    let mut said = query(", no-data: held-if-zero-rows");
    assert_eq!(found(&said), (Verdict::Held, None));
    let answers = |run: &mut Run| match &mut run.evidence.probes[0] {
        Observed::Sql(answers) => std::mem::take(answers),
        Observed::Measure(_) | Observed::Sites => panic!("no query"),
    };
    let good = answers(&mut said);
    assert_eq!(found(&said), inconclusive(Reason::Error));
    let mut unscanned = good.clone();
    unscanned[0].scanned = 0;
    said.evidence.probes[0] = Observed::Sql(unscanned);
    assert_eq!(found(&said), inconclusive(Reason::NoData));
    let mut violated = good.clone();
    violated[0].value = asked(3.into());
    said.evidence.probes[0] = Observed::Sql(violated);
    assert_eq!(found(&said), (Verdict::Deviated, None));
    said.evidence.probes[0] = Observed::Sql(good);
    let early = said.evidence.phases.injection.from;
    flow_of(&mut said, Source::Spans).watermark = Some(early);
    assert_eq!(found(&said), inconclusive(Reason::PipelineGap));
}

/// Scenario: every built-in indicator that held, with the telemetry of its
/// injection deleted, frozen, made NaN, delayed past the judging, or with its
/// baseline removed.
/// Guarantees: J2: none of it is ever held.
#[test]
fn inv_j2_spoiled_telemetry_never_holds() {
    let indicators = [
        "{service: checkout, indicator: rate, min: 1}",
        "{service: checkout, indicator: errors, max: 1000000}",
        "{service: checkout, indicator: error_ratio, max: 0.1}",
        "{service: checkout, indicator: p95, max: 10s}",
        "{service: checkout, indicator: self.p50, max-increase: 900%}",
        "{edge: checkout->payment, indicator: calls, max: 1000000, min: 1}",
        "{edge: checkout->payment, indicator: gap_p50, max: 10s}",
        "{edge: checkout->payment, indicator: call_ratio, max: 1}",
        "{service: checkout, indicator: log.error_ratio, max: 0.1}",
        "{edge: checkout->payment, indicator: retry_ratio, max: 0.1}",
        "{edge: checkout->payment, indicator: timeout_ratio, max: 0.1}",
        "{service: checkout, indicator: resource.cpu, max: 5}",
        "{service: checkout, indicator: resource.throttling, max: 0.1}",
        "{service: checkout, indicator: trace.structure_divergence, max: 0.1}",
        "{service: checkout, indicator: slo.budget_burned, objective: 90%, max: 5}",
        "{service: checkout, indicator: trace.root_success, max: 1}",
        "{service: checkout, indicator: slo.burn_rate, objective: 90%, max: 5}",
        "{edge: checkout->payment, indicator: error_ratio, max: 0.1}",
        "{edge: checkout->payment, indicator: mask_ratio, max: 1}",
        "{service: checkout, indicator: log.trace_id_ratio, max: 1}",
        "{service: checkout, indicator: resource.memory, max: 5}",
        "{service: checkout, indicator: trace.complete_ratio, max: 1}",
    ];
    for indicator in indicators {
        let probes = "    - {service: checkout, indicator: error_ratio, max: 0.01}\n    - {service: checkout, indicator: p95, max-increase: 20%}\n";
        let text = DOCUMENT.replace(probes, &format!("    - {indicator}\n"));
        let text = text.replace("expect: {recovery: 120s}\n", "");
        assert!(document(&text).expect.recovery.is_none());
        let good = run(&text, 5, Harm::default());
        assert_eq!(found(&good), (Verdict::Held, None), "{indicator}");
        let spoiled = |name: &str, spoil: &dyn Fn(&mut Run)| {
            let mut run = good.clone();
            spoil(&mut run);
            let verdict = judge(&run.experiment, &run.window, &run.evidence).ruling;
            assert_ne!(verdict.verdict, Verdict::Held, "{indicator}, {name}: {verdict:?}");
        };
        spoiled("deleted", &|run| clear(series(run, 0, Phase::Injection)));
        spoiled("no baseline", &|run| clear(series(run, 0, Phase::Baseline)));
        spoiled("frozen", &|run| {
            let buckets = &mut series(run, 0, Phase::Injection).buckets;
            let first = buckets[0].clone();
            buckets.fill(first);
        });
        spoiled("emptied", &|run| {
            let asked = measured(run, 0).phases.get_mut(&Phase::Injection).unwrap();
            asked.answer = Ok(Series::default());
        });
        spoiled("cut", &|run| {
            let answer = Err(Gap::Incomplete("cut".into()));
            measured(run, 0).phases.get_mut(&Phase::Injection).unwrap().answer = answer;
        });
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            spoiled("no finite number", &|run| {
                for bucket in &mut series(run, 0, Phase::Injection).buckets {
                    (bucket.n, bucket.hits) = (bad, bad);
                    bucket.value = bucket.value.map(|_| bad);
                    bucket.cells.iter_mut().for_each(|cell| *cell = (bad, bad));
                }
            });
        }
        spoiled("graded by nobody", &|run| run.evidence.grades.clear());
        spoiled("NaN", &|run| {
            let answer = Err(Gap::Error("NaN is no number".into()));
            measured(run, 0).phases.get_mut(&Phase::Injection).unwrap().answer = answer;
        });
        spoiled("delayed", &|run| {
            let middle = run.evidence.phases.injection.from + 100 * SECOND;
            series(run, 0, Phase::Injection).buckets[20..].fill(Default::default());
            for source in [Source::Spans, Source::Logs, Source::Metrics] {
                flow_of(run, source).watermark = Some(middle);
            }
        });
        spoiled("delayed, others not", &|run| {
            series(run, 0, Phase::Injection).buckets[20..].fill(Default::default());
        });
    }
}

/// Scenario: restarts, kills and replicas that stand still, that stop being told
/// in the middle of the fault, that are told three times in all, and never.
/// Guarantees: J2: standing still is health, and being told too little is not.
#[test]
fn inv_j2_counters_that_stand_still_are_seen_to() {
    let probes = "    - {service: checkout, indicator: error_ratio, max: 0.01}\n    - {service: checkout, indicator: p95, max-increase: 20%}\n";
    for indicator in [
        "{service: checkout, indicator: resource.restarts, max: 0}",
        "{service: checkout, indicator: resource.oom_kills, max: 0}",
        "{service: checkout, indicator: resource.replicas, min: 2}",
    ] {
        let text = DOCUMENT.replace(probes, &format!("    - {indicator}\n"));
        let text = text.replace("expect: {recovery: 120s}\n", "");
        let mut run = run(&text, 5, Harm::default());
        // Every 15 s, and three pods.
        for phase in PHASES {
            for (at, bucket) in series(&mut run, 0, phase).buckets.iter_mut().enumerate() {
                let told = at % 3 == 0;
                *bucket =
                    Bucket { n: f64::from(told), value: told.then_some(3.0), ..Bucket::default() };
            }
        }
        assert_eq!(found(&run), (Verdict::Held, None), "{indicator}");
        let mut stopped = run.clone();
        series(&mut stopped, 0, Phase::Injection).buckets[34..].fill(Bucket::default());
        assert_eq!(found(&stopped), inconclusive(Reason::NoData), "{indicator}");
        let mut few = run.clone();
        for phase in PHASES {
            series(&mut few, 0, phase).buckets[9..].fill(Bucket::default());
        }
        assert_eq!(found(&few).0, Verdict::Inconclusive, "{indicator}");
        clear(series(&mut run, 0, Phase::Injection));
        assert_eq!(found(&run), inconclusive(Reason::NoData), "{indicator}");
    }
}

/// Scenario: nothing was asked for of what the effect check names, or of a probe.
/// Guarantees: J2: inconclusive; what nobody asked for is never taken for seen.
#[test]
fn inv_j2_an_effect_nobody_asked_for_is_not_seen() {
    let mut run = healthy();
    run.evidence.effects.clear();
    let ruling = judge(&run.experiment, &run.window, &run.evidence).ruling;
    assert_eq!((ruling.verdict, ruling.reason), inconclusive(Reason::NoData));
    let mut run = healthy();
    run.evidence.probes.pop();
    let ruling = judge(&run.experiment, &run.window, &run.evidence).ruling;
    assert_eq!((ruling.verdict, ruling.reason), inconclusive(Reason::Error));
}

/// Scenario: the whole window lies where nothing was ever sent.
/// Guarantees: J2: invalid, the fault was not seen.
#[test]
fn inv_j2_a_window_beside_the_telemetry_is_invalid() {
    let mut shifted = healthy();
    for probe in 0..2 {
        for phase in PHASES {
            clear(series(&mut shifted, probe, phase));
        }
    }
    for phase in PHASES {
        let asked = shifted.evidence.effects[0].phases.get_mut(&phase).unwrap();
        clear(asked.answer.as_mut().unwrap());
    }
    for source in [Source::Spans, Source::Logs, Source::Metrics] {
        for counts in flow_of(&mut shifted, source).services.values_mut() {
            counts.values_mut().for_each(|counts| counts.fill(0));
        }
    }
    let ruling = judge(&shifted.experiment, &shifted.window, &shifted.evidence).ruling;
    assert_eq!((ruling.verdict, ruling.reason), (Verdict::Invalid, Some(Reason::NoEffect)));
}

/// Scenario: a series is drawn anew from its seed.
/// Guarantees: the generator repeats itself, so that what these tests say can be repeated.
#[test]
fn the_generator_is_seeded() {
    let text = document(DOCUMENT);
    let provider = &text.steady_state_hypothesis.probes[1].provider;
    let crate::document::provider::Provider::Measure(measure) = provider else { panic!() };
    let draw = || Shop { random: Random::new(1) }.series(measure, 5, Harm::default());
    assert_eq!(draw(), draw());
}
