use super::lint::{Traffic, lint};
use super::probe::{Effect, Mode, Severity};
use super::provider::{Edge, Family, Indicator, Measure, Outcome, Provider, Subject};
use super::scope::{Baseline, ControlGroup};
use super::tolerance::{Limits, Tolerance};
use super::units::{Percent, Period, Quantity};
use super::*;

const TWELVE: &str = include_str!("../../../configs/experiments/twelve-lines.yaml");
const FULL: &str = include_str!("../../../configs/experiments/full.yaml");

fn parse(text: &str) -> Result<Experiment, String> {
    Experiment::parse(text, &Allowed::new()).map_err(|invalid| invalid.to_string())
}

/// The twelve lines with one of them changed.
fn changed(from: &str, to: &str) -> Result<Experiment, String> {
    assert!(TWELVE.contains(from), "{from}");
    parse(&TWELVE.replace(from, to))
}

fn with_probe(probe: &str) -> Result<Experiment, String> {
    changed(
        "    - {service: checkout, indicator: p95, max-increase: 20%}",
        &format!("    - {probe}"),
    )
}

/// Scenario: the twelve-line example.
/// Guarantees: everything left out has the default of the paper.
#[test]
fn twelve_lines_are_enough() {
    let twelve = parse(TWELVE).unwrap();
    assert!(TWELVE.trim().lines().count() <= 12);
    let [errors, latency] = &twelve.steady_state_hypothesis.probes[..] else { panic!() };
    assert_eq!(errors.name, "checkout-error_ratio");
    assert_eq!((errors.mode, errors.severity), (Mode::OnChaos, Severity::Critical));
    let checkout = |indicator| {
        Provider::Measure(Measure::new(Family::Red, indicator, Subject::service("checkout")))
    };
    assert_eq!(errors.provider, checkout(Indicator::ErrorRatio));
    assert_eq!(errors.tolerance.limits(), Some(Limits { low: None, high: Some(0.01) }));
    let Tolerance::Relative(relative) = &latency.tolerance else { panic!() };
    assert_eq!(relative.max_increase, Some(Percent(0.2)));
    assert_eq!(relative.least, Quantity::millis(20.0));
    assert_eq!(relative.around(200.0), Limits { low: None, high: Some(240.0) });
    assert_eq!(relative.around(50.0), Limits { low: None, high: Some(70.0) });
    let window = &twelve.window;
    assert_eq!(window.baseline, Baseline::Before(Period::secs(600)));
    assert_eq!((window.settle, window.recovery), (Period::secs(15), Period::secs(300)));
    assert_eq!((window.late, window.overlap), (Period::secs(60), scope::Overlap::Refuse));
    let Watch::Threshold(guard) = &twelve.guard[0].watch else { panic!() };
    assert_eq!((guard.lasting, guard.min_samples), (Period::secs(5), 20));
    assert_eq!(twelve.guard[0].grace, Period::secs(30));
    assert_eq!(twelve.guard[1].watch, Watch::TelemetryHealth);
    let recovery = twelve.expect.recovery.unwrap();
    assert_eq!((recovery.within, recovery.stay), (Period::secs(120), Period::secs(60)));
    assert_eq!(lint(&twelve, &Traffic::new()).errors, [""; 0]);
}

/// Scenario: both examples are completed, printed and read again.
/// Guarantees: what `lint` prints is the same experiment and the same version.
#[test]
fn the_completed_document_reads_back() {
    for text in [TWELVE, FULL] {
        let once = parse(text).unwrap();
        let printed = once.to_yaml().unwrap();
        let again = parse(&printed).unwrap_or_else(|error| panic!("{error}\n{printed}"));
        assert_eq!(once, again, "{printed}");
        assert_eq!(once.version(), again.version());
    }
    let other = changed("max: 0.01", "max: 0.02").unwrap();
    assert_ne!(other.version(), parse(TWELVE).unwrap().version());
}

/// Scenario: the example that says everything.
/// Guarantees: the whole vocabulary is read, and `${ns}` is replaced.
#[test]
fn the_whole_vocabulary_is_read() {
    let full = parse(FULL).unwrap();
    assert_eq!(full.target.resource["k8s.namespace.name"], "shop");
    assert_eq!(full.fault.as_ref().unwrap().reference.as_ref().unwrap()["namespace"], "shop");
    assert_eq!(full.blast_radius.off_target, scope::OffTarget::Deviate);
    assert_eq!(full.blast_radius.max.affected_traces, Some(Percent(0.2)));
    let Some(EffectCheck::Any { any }) = &full.effect_check else { panic!() };
    assert!(matches!(&any[0], Effect::Moved { by, .. } if by.limit == Quantity::millis(300.0)));
    assert!(matches!(&any[1], Effect::Reported { event } if event == "Applied"));
    let probes = &full.steady_state_hypothesis.probes;
    assert_eq!(probes.len(), 5);
    assert!(matches!(&probes[4].provider, Provider::Sql { result: Outcome::Rows, query }
        if query.contains("{window}")));
    assert_eq!(probes[1].tolerance.limits(), Some(Limits { low: None, high: Some(0.01) }));
    assert_eq!(full.expect.alerts.len(), 2);
    assert_eq!(full.report.formats.len(), 4);
    let lint = lint(&full, &Traffic::new());
    assert_eq!(lint.errors, [""; 0]);
    assert!(lint.notes.iter().any(|note| note.contains("guards stop a run")), "{lint:?}");
}

/// Scenario: keys that do not exist, at every depth.
/// Guarantees: each is refused with its line and the key that was meant, and all of them at once.
#[test]
fn unknown_keys_are_refused_with_their_place() {
    for (from, to, place, said) in [
        ("title:", "titel:", "line 3", "did you mean title?"),
        ("max: 0.01", "maxx: 0.01", "line 8", "did you mean max?"),
        ("max-increase:", "max-incraese:", "line 9", "did you mean max-increase?"),
        ("when:", "whem:", "line 11", "did you mean when?"),
        ("recovery:", "recovry:", "line 12", "did you mean recovery?"),
        ("increase: \">", "inkrease: \">", "line 5", "did you mean increase?"),
        ("services:", "servces:", "line 4", "did you mean services?"),
    ] {
        let error = changed(from, to).unwrap_err();
        let told = error.lines().any(|line| line.starts_with(place) && line.contains(said));
        assert!(told, "{from}: {error}");
    }
    let both = TWELVE.replace("title:", "titel:").replace("expect:", "expects:");
    let error = parse(&both).unwrap_err();
    assert!(error.contains("titel") && error.contains("expects"), "{error}");
}

/// Scenario: tolerances as Chaos Toolkit and Litmus write them.
/// Guarantees: each form is read as what it means there.
#[test]
fn tolerances_of_others_are_understood() {
    let sql = |tolerance: &str, result: &str| {
        let probe = format!(
            "{{name: q, provider: {{type: sql, query: SELECT 1, result: {result}}}, {tolerance}}}"
        );
        let experiment = with_probe(&probe).unwrap_or_else(|error| panic!("{tolerance}: {error}"));
        experiment.steady_state_hypothesis.probes[1].tolerance.clone()
    };
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("tolerance: 0", &["0", "0.0"], &["1", "\"0\""]),
        ("tolerance: [200, 204]", &["200"], &["500"]),
        ("tolerance: {type: range, range: [0, 0.01]}", &["0.01"], &["0.011", "-1", "null"]),
        ("tolerance: {type: range, range: [null, 5]}", &["-9"], &["6"]),
        ("tolerance: \"> 3\"", &["4"], &["3"]),
        ("tolerance: {type: regex, pattern: \"^ok\"}", &["\"okay\""], &["\"no\"", "1"]),
        ("comparator: {type: float, criteria: \"<=\", value: \"0.01\"}", &["0.01"], &["0.02"]),
        ("comparator: {type: int, criteria: \"!=\", value: 3}", &["2"], &["3"]),
        ("comparator: {criteria: between, value: \"[1, 2]\"}", &["1.5"], &["3"]),
        ("comparator: {criteria: oneOf, value: \"[1, 2]\"}", &["2"], &["3"]),
        ("comparator: {type: string, criteria: equal, value: up}", &["\"up\""], &["\"down\""]),
        ("comparator: {type: string, criteria: contains, value: a.b}", &["\"xa.b\""], &["\"axb\""]),
        ("comparator: {type: string, criteria: matches, value: ^a.b$}", &["\"axb\""], &["\"b\""]),
    ];
    for (form, good, bad) in cases {
        let tolerance = sql(form, "scalar");
        let admits = |text: &str| tolerance.admits(&serde_json::from_str(text).unwrap());
        assert!(good.iter().all(|value| admits(value) == Some(true)), "{form}");
        assert!(bad.iter().all(|value| admits(value) != Some(true)), "{form}");
    }
    let path = "tolerance: {type: jsonpath, path: \"$[*].status\", expect: [up]}";
    let tolerance = sql(path, "table");
    assert_eq!(tolerance.admits(&serde_json::json!([{"status": "up"}])), Some(true));
    assert_eq!(tolerance.admits(&serde_json::json!([{"status": "down"}])), Some(false));
    assert_eq!(tolerance.admits(&serde_json::json!([])), Some(false));
}

/// Scenario: documents that say what cannot be meant.
/// Guarantees: each is refused with its line and a remedy.
#[test]
fn nonsense_is_refused() {
    for (probe, said) in [
        ("{service: a, indicator: p95, max: 10}", "10 does not measure"),
        ("{service: a, indicator: p95, max: 10%}", "a length of time"),
        ("{service: a, indicator: error_ratio, max: 10ms}", "a ratio"),
        ("{service: a, indicator: error_ratoi, max: 1%}", "did you mean error_ratio?"),
        ("{service: a, indicator: trace.structure, max: 1}", "in this version"),
        ("{indicator: p95, max: 1s}", "has no service"),
        ("{service: a, indicator: p95}", "has no tolerance"),
        ("{edge: a-b, indicator: gap_p50, max: 1s}", "write caller->callee"),
        ("{service: a, indicator: rate, min: 5, max: 1}", "is empty"),
        ("{service: a, indicator: rate, tolerance: 5}", "never exactly"),
        ("{service: a, indicator: rate, min: 5, mode: onchaos}", "did you mean OnChaos?"),
        ("{service: a, indicator: slo.burn_rate, max: 2}", "has no objective"),
        ("{name: x, provider: {type: http, url: y}, tolerance: 200}", "nothing else is run"),
        ("{name: x, provider: {type: promql, query: up}, tolerance: 1}", "not available"),
        ("{name: x, provider: {type: sql}, tolerance: 1}", "has no query"),
        ("{service: a, indicator: p95, max: 1s, no-data: held-if-zero-rows}", "for sql"),
        ("{service: checkout, indicator: error_ratio, max: 1%}", "two probes are named"),
        ("[1]", "it must be a map"),
    ] {
        let error = with_probe(probe).unwrap_err();
        assert!(error.contains(said) && error.contains("line "), "{probe}: {error}");
    }
    for (from, to, said) in [
        ("chaos/v1", "chaos/v2", "this version knows chaos/v1"),
        ("recovery: 120s", "recovery: 120", "without a unit"),
        (">=300ms", "<=300ms", "write >= 300ms"),
        ("target: {services: [payment]}", "target: {}", "say what the fault is aimed at"),
        ("title: checkout", "title: ${no} checkout", "is not configured"),
        ("> 0.05", "0.05", "write a comparison"),
    ] {
        let error = changed(from, to).unwrap_err();
        assert!(error.contains(said), "{to}: {error}");
    }
    for broken in ["", "[]", "a: [", "a: 1\na: 2"] {
        assert!(parse(broken).is_err(), "{broken:?}");
    }
}

/// Scenario: a configuration with a number, a variable that is allowed, one
/// with a default and one that is not allowed.
/// Guarantees: values keep their type, and nothing comes from the environment unasked.
#[test]
fn configuration_is_substituted() {
    let text = |configuration: &str| {
        TWELVE
            .replace("kind:", &format!("configuration: {configuration}\nkind:"))
            .replace("max: 0.01", "max: \"${most}\"")
            .replace("title: ", "title: ${who} and ")
    };
    let environment = Allowed::from([("WHO".to_owned(), "Ada".to_owned())]);
    let good = text("{most: 0.02, who: {type: env, key: WHO}}");
    let experiment = Experiment::parse(&good, &environment).unwrap();
    assert_eq!(experiment.title, "Ada and checkout survives a slow payment");
    let limits = experiment.steady_state_hypothesis.probes[0].tolerance.limits();
    assert_eq!(limits, Some(Limits { low: None, high: Some(0.02) }));
    let default = text("{most: 0.02, who: {type: env, key: NONE, default: Bea}}");
    assert!(Experiment::parse(&default, &environment).unwrap().title.starts_with("Bea"));
    let error = parse(&good).unwrap_err();
    assert!(error.contains("variable WHO") && error.contains("--env WHO"), "{error}");
}

/// Scenario: documents that can be read and cannot work.
/// Guarantees: lint refuses each and says what to change.
#[test]
fn lint_refuses_what_cannot_work() {
    let refused = |from: &str, to: &str| lint(&changed(from, to).unwrap(), &Traffic::new()).errors;
    let informative = TWELVE.replace("max: 0.01}", "max: 0.01, severity: info}");
    let informative = informative.replace("20%}", "20%, severity: warning}");
    let errors = lint(&parse(&informative).unwrap(), &Traffic::new()).errors;
    assert!(errors[0].contains("no critical hypothesis"), "{errors:?}");
    let errors = refused("recovery: 120s", "recovery: 5s");
    assert!(errors[0].contains("cannot be measured"), "{errors:?}");
    let errors = refused("recovery: 120s", "recovery: 10m");
    assert!(errors[0].contains("window.recovery is 5m"), "{errors:?}");
    let errors = refused("{recovery: 120s}", "{alerts: [{rule: Slow, within: 20s}]}");
    assert!(errors[0].contains("alert Slow"), "{errors:?}");
    let check =
        "effect-check: {indicator: edge.gap_p50, edge: checkout->payment, increase: \">=300ms\"}\n";
    let errors = refused(check, "");
    assert!(errors[0].contains("no effect-check"), "{errors:?}");
    assert_eq!(refused(check, "effect-check: none\n"), [""; 0]);
    let traffic = Traffic::from([("frontend".to_owned(), 1.0)]);
    let errors = lint(&parse(TWELVE).unwrap(), &traffic).errors;
    assert!(errors[0].contains("10 samples") && errors[0].contains("cannot be told"), "{errors:?}");
}

/// Scenario: a baseline like that of a week ago, written well and badly, and one
/// that lies within the run.
/// Guarantees: it reads back as it was written; what is no time ago, or too short
/// ago, is refused with what to write.
#[test]
fn a_baseline_may_be_like_another_time() {
    let like = |said: &str| {
        changed("target:", &format!("window: {{baseline: {{like: {said}}}}}\ntarget:"))
    };
    let week = like("-7d").unwrap();
    assert_eq!(week.window.baseline, Baseline::Like(Period::secs(7 * 86_400)));
    assert_eq!(parse(&week.to_yaml().unwrap()).unwrap(), week);
    for bad in ["7d", "-7", "yesterday"] {
        assert!(like(bad).unwrap_err().contains("like is"), "{bad}");
    }
    let errors = lint(&like("-10m").unwrap(), &Traffic::new()).errors;
    assert!(errors[0].contains("write at least -1h5m"), "{errors:?}");
    assert_eq!(lint(&week, &Traffic::new()).errors, [""; 0]);
}

/// Scenario: control groups that name stand-ins for a service and for one end of
/// an edge; that name none, a target, or what no probe compares.
/// Guarantees: a stand-in is asked for the same; what could not be compared is
/// refused.
#[test]
fn a_control_stands_in_for_services() {
    let with = |control: &str| {
        changed("target:", &format!("control: {{services: {{{control}}}}}\ntarget:"))
    };
    let good = with("checkout: checkout-control").unwrap();
    assert_eq!(parse(&good.to_yaml().unwrap()).unwrap(), good);
    assert_eq!(lint(&good, &Traffic::new()).errors, [""; 0]);
    let group = ControlGroup { services: [("pay".to_owned(), "pay-control".to_owned())].into() };
    let of = |subject| {
        let measure = Measure::new(Family::Edge, Indicator::Calls, subject);
        group.of(&measure).map(|measure| measure.subject.to_string())
    };
    let edge = |from: &str, to: &str| Subject::Edge {
        edge: Edge { from: from.into(), to: to.into() },
        operation: None,
    };
    assert_eq!(of(edge("shop", "pay")).as_deref(), Some("shop->pay-control"));
    assert_eq!(of(edge("shop", "cart")), None);
    assert_eq!(of(Subject::service("pay")).as_deref(), Some("pay-control"));
    assert!(with("").unwrap_err().contains("stand-in"));
    assert!(with("checkout: checkout").unwrap_err().contains("name another service"));
    for (control, words) in
        [("checkout: payment", "is a target"), ("cart: cart-b", "no probe compares")]
    {
        let errors = lint(&with(control).unwrap(), &Traffic::new()).errors;
        assert!(errors.iter().any(|error| error.contains(words)), "{errors:?}");
    }
}

/// Scenario: targets of services, endpoints, edges and a resource, together; endpoints
/// of nobody.
/// Guarantees: a window's row says all of it, level 0 has who is called over an edge,
/// and endpoints without their service are refused with the remedy.
#[test]
fn a_target_is_more_than_services() {
    let aimed = "target: {services: [payment], endpoints: [\"POST /charge\", \"GET /rate\"], edges: [checkout->cart, checkout->payment], resource: {k8s.node.name: n1}}";
    let target = changed("target: {services: [payment]}", aimed).unwrap().target;
    let told = target.told();
    let told: Vec<(&str, &str)> = told.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let expected = [
        ("edge", "checkout->cart,checkout->payment"),
        ("endpoint", "POST /charge,GET /rate"),
        ("k8s.node.name", "n1"),
        ("service", "payment"),
    ];
    assert_eq!(told, expected);
    assert_eq!(target.level_0(), ["payment", "cart"]);
    let refused = changed("target: {services: [payment]}", "target: {endpoints: [a]}").unwrap_err();
    assert!(refused.contains("endpoints are of services; name these"), "{refused}");
}
