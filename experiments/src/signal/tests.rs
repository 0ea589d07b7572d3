//! Signals in rows, and which run each tells of.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::json::ReaderBuilder;
use schema::{Budget, Catalog, Door, Promotion, Rows, Scope, Tenant};
use serde_json::{Value, json};

use super::*;
use crate::document::{Allowed, Experiment};
use crate::run::{Confidence, Opening, Run};

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_795_168_800 * SECOND;

pub fn batch(catalog: &Catalog, table: &str, rows: &[Value]) -> Batch {
    let table = catalog.get(table).unwrap().clone();
    // Times as numbers: to read them as text takes a data base of zones.
    let plain = table.schema.fields().iter().map(|field| match field.data_type() {
        DataType::Timestamp(..) => Field::new(field.name(), DataType::Int64, true),
        _ => field.as_ref().clone(),
    });
    let plain = Arc::new(Schema::new(plain.collect::<Vec<_>>()));
    let mut decoder = ReaderBuilder::new(plain).build_decoder().unwrap();
    decoder.serialize(rows).unwrap();
    let read: RecordBatch = decoder.flush().unwrap().unwrap();
    let columns = read.columns().iter().zip(table.schema.fields());
    let columns = columns.map(|(column, field)| cast(column, field.data_type()).unwrap());
    let batch = RecordBatch::try_new(table.schema.clone(), columns.collect()).unwrap();
    let rows = Rows::plain(&table.layout, &batch).unwrap();
    let reservation = Budget::new(1 << 30).try_reserve(rows.bytes()).unwrap();
    Batch { tenant: Tenant::default(), table, door: Door::OtlpHttp, rows, reservation }
}

fn told(table: &str, rows: &[Value]) -> Vec<Event> {
    events(&batch(&Catalog::default(), table, rows))
}

fn log(seconds: i64, fields: Value) -> Value {
    let at = START + seconds * SECOND;
    let mut row =
        json!({"time_unix_nano": at, "ingest_time": at / 1_000, "service_name": "injector"});
    row.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    row
}

fn short(events: &[Event]) -> Vec<(Kind, i64, Option<&str>)> {
    let seconds = |event: &Event| (event.at - START) / SECOND;
    events.iter().map(|e| (e.kind, seconds(e), e.run.as_ref().map(|id| id.as_str()))).collect()
}

/// Scenario: the four events of a run among ordinary records, one of them named as
/// older SDKs do, sent out of order and twice.
/// Guarantees: each is told with its attributes, in the order of time, and has the
/// same identity when it comes again.
#[test]
fn events_tell_of_a_run() {
    let said = json!({"chaos.run.id": "r-1", "chaos.experiment.name": "pay", "chaos.fault.type": "network_delay",
        "chaos.injector": "tc", "chaos.target.service": "payment", "k8s.pod.name": "pay-1"});
    let event =
        |at, name: &str| log(at, json!({"event_name": name, "attributes": said, "body": "now"}));
    let mut older = said.clone();
    older["event.name"] = "chaos.run.ended".into();
    let rows = [
        event(9, "chaos.fault.recovered"),
        event(0, "chaos.run.started"),
        log(1, json!({"body": "chaos is a word", "attributes": {"k": "chaos.run.started"}})),
        event(3, "chaos.fault.injected"),
        log(12, json!({"attributes": older})),
        log(
            4,
            json!({"event_name": "device.app.lifecycle", "attributes": {"chaos.run.id": "r-1"}}),
        ),
    ];
    let events = told("logs", &rows);
    let run = Some("r-1");
    assert_eq!(
        short(&events),
        [
            (Kind::Start, 0, run),
            (Kind::Inject, 3, run),
            (Kind::Recover, 9, run),
            (Kind::End, 12, run)
        ]
    );
    let inject = &events[1];
    assert_eq!(inject.experiment.as_deref(), Some("pay"));
    assert_eq!(inject.told.fault.as_deref(), Some("network_delay"));
    assert_eq!(inject.told.injector.as_deref(), Some("tc"));
    assert_eq!(inject.told.target["service"], "payment");
    assert_eq!(inject.told.target["k8s.pod.name"], "pay-1");
    assert_eq!(
        inject.raw_ref,
        format!("logs WHERE time_unix_nano = {} AND service_name = 'injector'", START + 3 * SECOND)
    );
    assert_eq!(told("logs", &rows), events);
    assert!(events.windows(2).all(|pair| pair[0].id != pair[1].id));
}

/// Scenario: a batch of logs and one of spans without a signal, and records whose
/// keys have configured columns.
/// Guarantees: nothing is told of the first, and the column is read like the map.
#[test]
fn promoted_keys_are_read_too() {
    let plain = [log(0, json!({"body": "x", "attributes": {"http.method": "GET"}}))];
    assert!(told("logs", &plain).is_empty());
    let plain = [log(0, json!({"name": "x", "attributes": {"http.route": "/"}}))];
    assert!(told("spans", &plain).is_empty());
    let extra = ["chaos.run.id", "k8s.event.reason"].map(|key| Promotion {
        scope: Scope::Record,
        key: key.into(),
        kind: schema::ColumnType::Text,
        column: key.into(),
    });
    let catalog = Catalog::new(&extra);
    let row = log(0, json!({"event_name": "chaos.fault.injected", "chaos.run.id": "r-2"}));
    assert_eq!(short(&events(&batch(&catalog, "logs", &[row]))), [(Kind::Inject, 0, Some("r-2"))]);
    let row = log(
        0,
        json!({"k8s.event.reason": "Applied", "attributes": {"k8s.networkchaos.name": "n"}}),
    );
    assert_eq!(short(&events(&batch(&catalog, "logs", &[row]))), [(Kind::Inject, 0, None)]);
}

/// Scenario: an injector's span, Litmus' spans, and requests that carry a run's id
/// as baggage.
/// Guarantees: the first two are windows from start to end; a request opens the run
/// once and never ends it.
#[test]
fn spans_are_windows_unless_they_are_requests() {
    let span = |at, fields: Value| {
        let mut row = log(
            at,
            json!({"duration_ns": 5 * SECOND, "trace_id": "ab", "kind": "INTERNAL", "name": "s"}),
        );
        row.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        row
    };
    let fault = json!({"chaos.run.id": "r-3", "chaos.fault.type": "cpu"});
    let run = Some("r-3");
    let events = told("spans", &[span(1, json!({"attributes": fault, "parent_span_id": "cd"}))]);
    assert_eq!(short(&events), [(Kind::Inject, 1, run), (Kind::Recover, 6, run)]);
    let request = |at| span(at, json!({"attributes": {"chaos.run.id": "r-3"}, "kind": "SERVER"}));
    let events = told("spans", &[request(1), request(2)]);
    assert_eq!(short(&events), [(Kind::Start, 1, run), (Kind::Start, 2, run)]);
    assert_eq!(events[0].id, events[1].id);
    let litmus =
        |at, name: &str| span(at, json!({"service_name": "chaos_experiment_job", "name": name}));
    let events = told(
        "spans",
        &[litmus(0, "ExecuteExperiment"), litmus(2, "InjectPodDeleteFaultInSerialMode")],
    );
    let run = Some("ab");
    assert_eq!(
        short(&events),
        [(Kind::Start, 0, run), (Kind::Inject, 2, run), (Kind::Recover, 7, run)]
    );
    assert_eq!(events[0].told.injector.as_deref(), Some("litmus"));
}

/// Scenario: one Event of Chaos Mesh in each of the three generations of attributes,
/// Events of Argo's workflow, of a pod, and of a reason that marks nothing.
/// Guarantees: each generation tells the same object, pod and moment; others tell nothing.
#[test]
fn kubernetes_events_are_read_in_three_generations() {
    let body = "Successfully apply chaos for shop/pay-7f9c/app";
    let first = log(
        5,
        json!({"body": body, "attributes": {
        "k8s.event.reason": "Applied", "k8s.event.uid": "u-1", "k8s.networkchaos.name": "pay-delay",
        "k8s.namespace.name": "shop", "k8s.event.name": "pay-delay.17"}}),
    );
    let second = log(
        5,
        json!({"body": body,
        "resource_attributes": {"k8s.object.kind": "NetworkChaos", "k8s.object.name": "pay-delay", "k8s.object.uid": "o"},
        "attributes": {"k8s.event.reason": "Applied", "k8s.event.uid": "u-1", "k8s.namespace.name": "shop"}}),
    );
    let third = log(
        5,
        json!({"body": body, "k8s.namespace.name": "shop",
        "resource_attributes": {"k8s.object.kind": "NetworkChaos", "k8s.object.name": "pay-delay"},
        "attributes": {"k8s.event.reason": "Applied", "k8s.event.uid": "u-1"}}),
    );
    let told_by = |row: &Value| told("logs", std::slice::from_ref(row)).pop().unwrap();
    let event = told_by(&first);
    assert_eq!(event.told.object.as_deref(), Some("NetworkChaos/shop/pay-delay"));
    assert_eq!((event.kind, event.at), (Kind::Inject, START + 5 * SECOND));
    assert_eq!(event.told.target["k8s.pod.name"], "pay-7f9c");
    assert_eq!(event.told.fault.as_deref(), Some("network"));
    assert_eq!((told_by(&second), told_by(&third)), (event.clone(), event));
    let other = |kind: &str, reason: &str, group: &str| {
        log(
            6,
            json!({"resource_attributes": {"k8s.object.kind": kind, "k8s.object.name": "x", "k8s.object.api_version": group},
            "attributes": {"k8s.event.reason": reason}}),
        )
    };
    assert!(
        told(
            "logs",
            &[
                other("Workflow", "Applied", "argoproj.io/v1alpha1"),
                other("Pod", "Killing", "v1"),
                other("NetworkChaos", "FinalizerInited", "chaos-mesh.org/v1alpha1"),
            ]
        )
        .is_empty()
    );
    assert_eq!(
        told_by(&other("Schedule", "TimeUp", "chaos-mesh.org/v1alpha1")).kind,
        Kind::Recover
    );
}

/// Scenario: the `k8sobjects` receiver's records: an Event that is watched, one of the
/// newer API, a NetworkChaos before, during and after its fault, and a pod.
/// Guarantees: they tell the same object and moments as Events do, once each, and other
/// objects tell nothing.
#[test]
fn kubernetes_objects_are_read_whole() {
    let of = |at, resource: &str, body: Value| {
        let attributes = json!({"k8s.resource.name": resource});
        log(at, json!({"attributes": attributes, "body": body.to_string()}))
    };
    let about = json!({"kind": "NetworkChaos", "name": "pay-delay", "namespace": "shop", "apiVersion": "chaos-mesh.org/v1alpha1"});
    let watched = json!({"type": "ADDED", "object": {"kind": "Event", "metadata": {"uid": "u"}, "reason": "Applied",
        "involvedObject": about, "count": 2, "lastTimestamp": "2026-11-20T10:00:03Z",
        "message": "Successfully apply chaos for shop/pay-1/app"}});
    let newer = json!({"kind": "Event", "metadata": {"uid": "v"}, "reason": "TimeUp", "regarding": about,
        "eventTime": "2026-11-20T10:00:05.000000Z", "note": "Time up"});
    let fault = |injected: &str, recovered: &str| {
        json!({"type": "MODIFIED", "object": {
        "kind": "NetworkChaos", "apiVersion": "chaos-mesh.org/v1alpha1",
        "metadata": {"name": "pay-delay", "namespace": "shop", "uid": "o"},
        "status": {"conditions": [{"type": "AllInjected", "status": injected}, {"type": "AllRecovered", "status": recovered}],
            "experiment": {"containerRecords": [{"id": "shop/pay-1/app"}]}}}})
    };
    let events = told(
        "logs",
        &[
            of(4, "events", watched),
            of(6, "events", newer),
            of(1, "networkchaos", fault("False", "False")),
            of(4, "networkchaos", fault("True", "False")),
            of(5, "networkchaos", fault("True", "False")),
            of(7, "networkchaos", fault("False", "True")),
            of(8, "pods", json!({"kind": "Pod", "metadata": {"name": "x"}})),
            of(9, "events", json!("broken")),
        ],
    );
    let (inject, recover) = (Kind::Inject, Kind::Recover);
    let moments = [
        (inject, 3, None),
        (inject, 4, None),
        (inject, 5, None),
        (recover, 5, None),
        (recover, 7, None),
    ];
    assert_eq!(short(&events), moments);
    let object =
        |event: &Event| event.told.object.as_deref() == Some("NetworkChaos/shop/pay-delay");
    assert!(events.iter().all(object));
    assert_eq!((events[0].id.as_str(), events[1].id == events[2].id), ("k8s/u/2", true));
    assert_eq!(events[1].told.target["k8s.pod.name"], "pay-1");
}

/// Scenario: the Events of a Litmus engine, one of them counted up in place, and of
/// its result.
/// Guarantees: the phases are told in order, what is counted up is another event, and
/// what is sent again is not.
#[test]
fn litmus_is_followed_through_its_phases() {
    let engine = |at, reason: &str, uid: &str, count: i64| {
        log(
            at,
            json!({"resource_attributes": {"k8s.object.kind": "ChaosEngine", "k8s.object.name": "pay"},
            "attributes": {"k8s.event.reason": reason, "k8s.event.uid": uid, "k8s.event.count": count.to_string(), "k8s.namespace.name": "lit"}}),
        )
    };
    let result = log(
        9,
        json!({"resource_attributes": {"k8s.object.kind": "ChaosResult", "k8s.object.name": "pay-pod-delete"},
        "attributes": {"k8s.event.reason": "Pass", "k8s.event.uid": "r", "k8s.namespace.name": "lit"}}),
    );
    let events = told(
        "logs",
        &[
            engine(1, "PreChaosCheck", "a", 1),
            engine(2, "ChaosInject", "b", 1),
            engine(4, "ChaosInject", "b", 2),
            engine(6, "PostChaosCheck", "c", 1),
            engine(8, "Summary", "d", 1),
            result,
        ],
    );
    let kinds: Vec<Kind> = events.iter().map(|event| event.kind).collect();
    use Kind::{End, Inject, Recover, Start};
    assert_eq!(kinds, [Start, Inject, Inject, Recover, End, End]);
    assert_eq!((events[1].id.as_str(), events[2].id.as_str()), ("k8s/b/1", "k8s/b/2"));
    let run = Arc::new(observed(&events[0]));
    let about = |event: &Event| matching::about(event, [run.clone()].iter()).is_some();
    assert!(events.iter().all(about));
}

fn observed(event: &Event) -> Run {
    Run::open(Opening {
        id: RunId::new("r").unwrap(),
        tenant: Tenant::default(),
        name: event.name(),
        experiment: None,
        told: event.told.clone(),
        moment: event.moment(event.at),
        uncertainty_ms: 0,
        confidence: Confidence::Inferred,
        overlaps: Default::default(),
    })
}

/// Scenario: a declared run whose document names an injector's object; then events of
/// that object, of its experiment by name, of its target alone, of another target, of
/// an hour before, and of a run's id that is not this one's.
/// Guarantees: what speaks of this run is taken for it, and nothing else is.
#[test]
fn events_find_their_run() {
    let text = "apiVersion: chaos/v1\nkind: Experiment\ntitle: pay\nfault: {type: network, ref: {kind: NetworkChaos, namespace: shop, name: pay-delay}}\n\
        target: {services: [payment]}\nsteady-state-hypothesis:\n  probes:\n    - {service: a, indicator: error_ratio, max: 0.1}\n";
    let document = Arc::new(Experiment::parse(text, &Allowed::new()).unwrap());
    let blank = Event {
        id: "e".into(),
        kind: Kind::Inject,
        at: START,
        source: Source::Otlp,
        run: None,
        experiment: None,
        told: Told::default(),
        reason: None,
        message: None,
        raw_ref: String::new(),
    };
    let mut run = observed(&blank);
    (run.name, run.experiment) = ("pay".into(), Some(document));
    let run = Arc::new(run);
    let found = |event: Event| matching::about(&event, [run.clone()].iter()).is_some();
    let aimed = |service: &str| Told {
        target: [("service".to_owned(), service.to_owned())].into(),
        ..Told::default()
    };
    let object =
        |name: &str| Told { object: Some(format!("NetworkChaos/shop/{name}")), ..Told::default() };
    assert!(found(Event { told: object("pay-delay"), source: Source::K8s, ..blank.clone() }));
    assert!(!found(Event { told: object("other"), source: Source::K8s, ..blank.clone() }));
    let named = Event { experiment: Some("pay".into()), ..blank.clone() };
    assert!(found(named.clone()));
    assert!(found(Event { told: aimed("payment"), ..blank.clone() }));
    assert!(!found(Event { told: aimed("cart"), ..named.clone() }));
    assert!(!found(Event { at: START - 3_600 * SECOND, ..named.clone() }));
    assert!(!found(Event { run: Some(RunId::new("other").unwrap()), ..named }));
    assert!(!found(blank));
}
