use serde_json::json;

use super::seen::Seen;
use super::statement::{Transition, read};
use super::*;
use crate::indicator::Table;
use crate::verdict::evidence::Gap;

/// 2026-11-20T10:00:00Z.
const TEN: i64 = 1_795_168_800 * SECOND;
const SECOND: i64 = 1_000_000_000;
const RECEIVED: i64 = TEN + 600 * SECOND;

fn alertmanager(alerts: Value) -> Result<Delivery, String> {
    let body = json!({"version": "4", "status": "firing", "receiver": "cloudsail", "groupKey": "{}",
        "externalURL": "http://am", "alerts": alerts});
    alertmanager::read(body.to_string().as_bytes(), RECEIVED)
}

fn told(delivery: &Delivery) -> Vec<(&str, &str, i64)> {
    let told = |event: &AlertEvent| (event.state.name(), (event.at - TEN) / SECOND);
    let each = delivery.events.iter().map(|event| {
        let (state, at) = told(event);
        (event.rule.as_str(), state, at)
    });
    each.collect()
}

/// Scenario: Alertmanager's webhook as its documentation shows it: one alert
/// that fires, in Go's time with an offset, and one that is over.
/// Guarantees: transitions by the sender's time and fingerprint; one that is
/// over tells its beginning too.
#[test]
fn alertmanager_version_4_is_read() {
    let delivery = alertmanager(json!([
        {"status": "firing", "labels": {"alertname": "Slow", "service": "pay"}, "annotations": {},
         "startsAt": "2026-11-20T11:00:30.5+01:00", "endsAt": "0001-01-01T00:00:00Z",
         "generatorURL": "", "fingerprint": "a1"},
        {"status": "resolved", "labels": {"alertname": "Burn"}, "startsAt": "2026-11-20T09:59:00Z",
         "endsAt": "2026-11-20T10:05:00Z", "fingerprint": "b2"},
    ]))
    .unwrap();
    assert_eq!(
        told(&delivery),
        [("Slow", "firing", 30), ("Burn", "firing", -60), ("Burn", "resolved", 300)]
    );
    assert_eq!(delivery.events[0].at, TEN + 30_500_000_000);
    assert_eq!(delivery.events[0].labels["service"], "pay");
    assert_eq!(delivery.events[2].fingerprint, "b2");
    assert!(delivery.refused.is_empty());
}

/// Scenario: Grafana's webhook, an alert of a rule without data, and the legacy
/// channel in each of its states.
/// Guarantees: a rule without data is told as such under its own name, not as
/// an alert; what is paused or pending is no transition.
#[test]
fn grafana_is_read() {
    let body = json!({"receiver": "c", "status": "firing", "orgId": 1, "version": "1", "alerts": [
        {"status": "firing", "labels": {"alertname": "Slow"}, "startsAt": "2026-11-20T10:00:01Z",
         "fingerprint": "f", "values": {"B": 22}},
        {"status": "firing", "labels": {"alertname": "DatasourceNoData", "rulename": "Burn"},
         "startsAt": "2026-11-20T10:00:02Z"},
    ]});
    let delivery = grafana::read(body.to_string().as_bytes(), RECEIVED).unwrap();
    assert_eq!(told(&delivery), [("Slow", "firing", 1), ("Burn", "no_data", 2)]);
    assert_eq!(delivery.events[1].fingerprint.len(), 16, "a fingerprint of our own");
    let legacy = |state: &str| {
        let body = json!({"ruleName": "Slow", "ruleId": 3, "state": state}).to_string();
        grafana::read(body.as_bytes(), RECEIVED)
    };
    for (state, known) in [("alerting", "firing"), ("ok", "resolved"), ("no_data", "no_data")] {
        assert_eq!(told(&legacy(state).unwrap()), [("Slow", known, 600)]);
    }
    assert_eq!(legacy("paused").unwrap(), Delivery::default());
    assert!(legacy("odd").unwrap_err().contains("alerting and ok"));
}

/// Scenario: what is not what it should be: other JSON, another version, no
/// name, no time, a time to come, a status nobody knows, too many.
/// Guarantees: each is refused in words and nothing else with it; nothing panics.
#[test]
fn what_is_not_understood_is_refused() {
    for body in ["", "[]", "{}", "{\"version\":\"4\"}", "{\"alerts\":1}", "\u{0}"] {
        assert!(alertmanager::read(body.as_bytes(), RECEIVED).is_err(), "{body}");
        assert!(grafana::read(body.as_bytes(), RECEIVED).is_err(), "{body}");
    }
    let other = r#"{"version":"3","alerts":[]}"#;
    assert!(alertmanager::read(other.as_bytes(), RECEIVED).unwrap_err().contains("4 is known"));
    let good = json!({"status": "firing", "labels": {"alertname": "A"}, "startsAt": "2026-11-20T10:00:00Z"});
    let with = |key: &str, value: Value| {
        let mut bad = good.clone();
        bad[key] = value;
        alertmanager(json!([good, bad])).unwrap()
    };
    for (key, value, why) in [
        ("labels", json!({}), "no label alertname"),
        ("labels", json!([]), "no alert"),
        ("status", json!("odd"), "firing and resolved"),
        ("status", json!("resolved"), "no endsAt"),
        ("startsAt", json!("2026-11-20T13:00:00Z"), "in the future"),
        ("startsAt", json!("1960-11-20T13:00:00Z"), "no time"),
        ("startsAt", json!("yesterday"), "no time"),
        ("startsAt", json!("2026-11-20T10:00:00+é:00"), "no time"),
        ("startsAt", json!("2026-11-20T10:00:00+99:00"), "no time"),
        ("startsAt", json!("+0:00"), "no time"),
        ("startsAt", json!(""), "no startsAt"),
    ] {
        let delivery = with(key, value);
        assert_eq!(delivery.events.len(), 1, "{why}");
        assert!(delivery.refused[0].contains(why), "{:?}: {why}", delivery.refused);
    }
    let many = alertmanager(Value::from(vec![good; MOST_ALERTS + 1]));
    assert!(many.unwrap_err().contains("max_alerts"));
    let cut = json!({"version": "4", "truncatedAlerts": 7, "alerts": []}).to_string();
    let delivery = alertmanager::read(cut.as_bytes(), RECEIVED).unwrap();
    assert!(delivery.refused[0].contains("7 more"));
}

/// Scenario: an alert with very many and very long labels.
/// Guarantees: what is kept of it is bounded, and stays text.
#[test]
fn labels_are_bounded() {
    let mut labels: BTreeMap<String, Value> =
        (0..10_000).map(|n| (format!("l{n}"), json!("é".repeat(5_000)))).collect();
    labels.insert("alertname".into(), json!("A"));
    let alerts =
        json!([{"status": "firing", "labels": labels, "startsAt": "2026-11-20T10:00:00Z"}]);
    let delivery = alertmanager(alerts).unwrap();
    let kept = &delivery.events[0].labels;
    assert_eq!(kept.len(), MOST_LABELS);
    assert!(kept.values().all(|value| value.chars().count() <= LONGEST_LABEL));
}

/// Scenario: log events of transitions, and records that are none.
/// Guarantees: both transitions of an alert have one fingerprint; pending and
/// other events are nothing.
#[test]
fn log_events_are_read() {
    let read = |name: &str, attributes: &[(&str, &str)]| {
        otlp::read(Some(name), attributes.iter().copied(), TEN)
    };
    let alert = |state| [("alert.rule", "Slow"), ("alert.state", state), ("service", "pay")];
    let fired = read("alert.transition", &alert("Alerting")).unwrap();
    let over = read("alert.transition", &alert("Normal")).unwrap();
    assert_eq!((fired.rule.as_str(), fired.state, fired.at), ("Slow", State::Firing, TEN));
    assert_eq!((over.state, &over.fingerprint), (State::Resolved, &fired.fingerprint));
    let named = read("alert.firing", &[("alertname", "A"), ("alert.fingerprint", "f")]).unwrap();
    assert_eq!((named.state, named.fingerprint.as_str()), (State::Firing, "f"));
    assert!(read("alert.transition", &alert("pending")).is_none());
    assert!(read("alert.firing", &[]).is_none());
    assert!(read("order.placed", &alert("firing")).is_none());
    assert!(otlp::read(None, alert("firing").into_iter(), TEN).is_none());
}

/// Scenario: a batch of logs with two transitions among ordinary records, one of
/// which speaks of alerts; the same words in spans.
/// Guarantees: the transitions are told, by the time of their records, and
/// nothing else is.
#[test]
fn a_batch_tells_its_transitions() {
    use crate::signal::tests::batch;
    let catalog = schema::Catalog::default();
    let at = |second: i64| TEN + second * SECOND;
    let log = |second: i64, name: Option<&str>, attributes: Value| {
        json!({"time_unix_nano": at(second), "ingest_time": at(second) / 1_000,
            "service_name": "ruler", "event_name": name, "attributes": attributes})
    };
    let rows = [
        log(1, None, json!({"alertname": "no event"})),
        log(2, Some("alert.transition"), json!({"alert.rule": "Slow", "alert.state": "firing"})),
        log(3, Some("order.placed"), json!({"alert.rule": "Slow", "alert.state": "firing"})),
        log(4, None, json!({"event.name": "alert.resolved", "alert.rule": "Slow"})),
    ];
    let told = otlp::events(&batch(&catalog, "logs", &rows));
    let short: Vec<(State, i64)> = told.iter().map(|event| (event.state, event.at)).collect();
    assert_eq!(short, [(State::Firing, at(2)), (State::Resolved, at(4))]);
    assert_eq!(told[0].fingerprint, told[1].fingerprint);
    let spans = [json!({"time_unix_nano": at(1), "attributes": {"alert.rule": "Slow"}})];
    assert!(otlp::events(&batch(&catalog, "spans", &spans)).is_empty());
}

/// Scenario: a transition told twice, one of another time, and very many others.
/// Guarantees: what was stored is known, and what is remembered is bounded.
#[test]
fn a_transition_is_known_again() {
    let event = |at: i64| AlertEvent {
        rule: "A".into(),
        fingerprint: "f".into(),
        state: State::Firing,
        at,
        labels: BTreeMap::new(),
    };
    let mut seen = Seen::default();
    assert!(!seen.knows("a", &event(1)) && !seen.knows("a", &event(1)));
    seen.remember("a", &event(1));
    seen.remember("a", &event(1));
    assert!(seen.knows("a", &event(1)) && !seen.knows("a", &event(2)));
    assert!(!seen.knows("b", &event(1)), "another tenant's");
    (2..20_000).for_each(|at| seen.remember("a", &event(at)));
    assert!(!seen.knows("a", &event(1)) && seen.knows("a", &event(19_999)));
}

/// Scenario: rows of transitions, and answers that are cut or no transitions.
/// Guarantees: in order of time; J2: anything else is a gap and no empty answer.
#[test]
fn inv_j2_transitions_are_read_or_missed() {
    let table = |rows: Vec<Vec<Value>>| Table { rows, ..Table::default() };
    let rows = vec![
        vec![json!("A"), json!("f"), json!("20000"), json!("resolved")],
        vec![json!("A"), json!("f"), json!(10_000), json!("firing")],
    ];
    let transition =
        |at, state| Transition { rule: "A".into(), fingerprint: "f".into(), at, state };
    let expected = [transition(10_000_000, State::Firing), transition(20_000_000, State::Resolved)];
    assert_eq!(read(&table(rows.clone())).unwrap(), expected);
    let cut = Table { truncated: true, ..table(rows.clone()) };
    assert!(matches!(read(&cut), Err(Gap::Incomplete(_))));
    let partial = Table { incomplete: vec!["a file".into()], ..table(rows) };
    assert!(matches!(read(&partial), Err(Gap::Incomplete(_))));
    for odd in [vec![json!("A")], vec![json!("A"), json!("f"), json!(1), json!("odd")]] {
        assert!(matches!(read(&table(vec![odd])), Err(Gap::Error(_))));
    }
}
