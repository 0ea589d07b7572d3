//! Spans to rows (B.4, D1, D2, D3, D9, D12).

use arrow::array::{Array, AsArray};
use collector::decode::{Reason, Warning};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use schema::Signal;
use serde_json::json;

use crate::decode_support::*;

/// A span with something in every field.
fn full() -> Span {
    Span {
        parent_span_id: vec![0xef; 8],
        trace_state: "a=b".into(),
        flags: 0x0000_0301,
        kind: 2,
        attributes: vec![
            text("zulu", "last"),
            int("http.response.status_code", 200),
            text("http.route", "/cart/{id}"),
            attribute("alpha", Value::DoubleValue(1.0)),
        ],
        dropped_attributes_count: 3,
        events: vec![Event {
            time_unix_nano: NOW as u64 + 7,
            name: "exception".into(),
            attributes: vec![text("exception.type", "Oops")],
            dropped_attributes_count: 1,
        }],
        dropped_events_count: 4,
        links: vec![Link {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            trace_state: "c=d".into(),
            attributes: vec![int("n", 9)],
            dropped_attributes_count: 2,
            flags: 1,
        }],
        dropped_links_count: 5,
        status: Some(Status { message: "timeout".into(), code: 2 }),
        ..span()
    }
}

/// Scenario: a span with something in every field, its scope and resource too.
/// Guarantees: D12, all of it is in the row.
#[test]
fn otlp_d12_a_span_keeps_everything() {
    let mut request = traces(vec![full()]);
    let resource_spans = &mut request.resource_spans[0];
    resource_spans.schema_url = "https://resource".into();
    let resource = resource_spans.resource.as_mut().unwrap();
    resource.attributes.extend([text("host.name", "h1"), int("process.pid", 42)]);
    resource.attributes.push(text("deployment.environment", "prod"));
    resource.dropped_attributes_count = 6;
    resource_spans.scope_spans[0].schema_url = "https://scope".into();
    let scope = resource_spans.scope_spans[0].scope.as_mut().unwrap();
    scope.attributes = vec![text("team", "web")];
    scope.dropped_attributes_count = 7;
    let decoded = protobuf(Signal::Traces, &request);
    assert_eq!(decoded.warnings, Default::default());
    let row = row(&decoded);
    let expected = json!({
        "time": "2026-11-23T00:00:00Z",
        "time_unix_nano": NOW,
        "ingest_time": "2026-11-23T00:00:00Z",
        "node_id": "node-1",
        "service_name": "shop",
        "service_namespace": null,
        "deployment_environment": "prod",
        "host.name": "h1",
        "resource_attributes": {"deployment.environment": "prod", "process.pid": "42"},
        "resource_attribute_types": "si",
        "resource_schema_url": "https://resource",
        "resource_dropped_attributes_count": 6,
        "scope_name": "lib",
        "scope_version": "1.2",
        "scope_attributes": {"team": "web"},
        "scope_schema_url": "https://scope",
        "scope_dropped_attributes_count": 7,
        "attributes": {"alpha": "1.0", "zulu": "last"},
        "attribute_types": "ds",
        "http.response.status_code": 200,
        "http.route": "/cart/{id}",
        "http.request.method": null,
        "trace_id": "ab".repeat(16),
        "span_id": "cd".repeat(8),
        "parent_span_id": "ef".repeat(8),
        "trace_state": "a=b",
        "flags": 0x301,
        "name": "GET /",
        "kind": "SERVER",
        "duration_ns": 1_000_000,
        "status_code": "ERROR",
        "status_message": "timeout",
        "is_error": true,
        "events": [{
            "time_unix_nano": NOW + 7,
            "name": "exception",
            "attributes": {"exception.type": "Oops"},
            "dropped_attributes_count": 1,
        }],
        "links": [{
            "trace_id": "01".repeat(16),
            "span_id": "02".repeat(8),
            "trace_state": "c=d",
            "attributes": {"n": "9"},
            "flags": 1,
            "dropped_attributes_count": 2,
        }],
        "dropped_attributes_count": 3,
        "dropped_events_count": 4,
        "dropped_links_count": 5,
        "date": "2026-11-23",
    });
    for (column, value) in expected.as_object().unwrap() {
        assert_eq!(&row[column], value, "{column}");
    }
}

/// Scenario: the least that is a span.
/// Guarantees: what was not given is NULL, zero or empty, as documented.
#[test]
fn a_bare_span_has_nulls() {
    let decoded = protobuf(Signal::Traces, &traces(vec![span()]));
    let row = row(&decoded);
    let nulls = ["parent_span_id", "trace_state", "status_message", "attribute_types"];
    for column in nulls.into_iter().chain(["resource_schema_url", "scope_schema_url", "http.route"])
    {
        assert_eq!(row[column], json!(null), "{column}");
    }
    assert_eq!(row["attributes"], json!({}));
    assert_eq!((&row["events"], &row["links"]), (&json!([]), &json!([])));
    assert_eq!((&row["kind"], &row["status_code"]), (&json!("UNSPECIFIED"), &json!("UNSET")));
    assert_eq!((&row["flags"], &row["is_error"]), (&json!(0), &json!(false)));
}

/// Scenario: trace, span and parent ids that are absent, zero, short or long.
/// Guarantees: D1, a span without valid ids is rejected and only that span; a
/// parent that is absent or zero is NULL, of a wrong length rejects.
#[test]
fn otlp_d1_spans_need_valid_ids() {
    for bad in [vec![], vec![0; 16], vec![1; 15], vec![1; 17], vec![1; 8]] {
        let bad = Span { trace_id: bad, ..span() };
        let decoded = protobuf(Signal::Traces, &traces(vec![bad, span()]));
        assert_eq!((decoded.accepted, decoded.rejected.get(Reason::InvalidId)), (1, 1));
    }
    for bad in [vec![], vec![0; 8], vec![1; 7], vec![1; 9], vec![1; 16]] {
        let bad = Span { span_id: bad, ..span() };
        assert_rejected(&protobuf(Signal::Traces, &traces(vec![bad])), Reason::InvalidId);
    }
    for (parent, expected) in [
        (vec![], json!(null)),
        (vec![0; 8], json!(null)),
        (vec![0x0A; 8], json!("0a0a0a0a0a0a0a0a")),
    ] {
        let decoded =
            protobuf(Signal::Traces, &traces(vec![Span { parent_span_id: parent, ..span() }]));
        assert_eq!(row(&decoded)["parent_span_id"], expected);
    }
    let bad = Span { parent_span_id: vec![1; 4], ..span() };
    assert_rejected(&protobuf(Signal::Traces, &traces(vec![bad])), Reason::InvalidId);
}

/// Scenario: a link with ids that are none.
/// Guarantees: D1, the link stays, its ids are NULL, and it is counted.
#[test]
fn otlp_d1_links_keep_their_place_without_ids() {
    let link = Link { trace_id: vec![1; 3], span_id: vec![], ..Link::default() };
    let decoded = protobuf(Signal::Traces, &traces(vec![Span { links: vec![link], ..span() }]));
    let link = &row(&decoded)["links"][0];
    assert_eq!((&link["trace_id"], &link["span_id"]), (&json!(null), &json!(null)));
    assert_eq!(decoded.warnings.get(Warning::InvalidId), 1);
}

/// Scenario: spans without a start, and with an end before the start.
/// Guarantees: D2, they are accepted, flagged, and tell what was sent.
#[test]
fn otlp_d2_odd_span_times_are_accepted_and_flagged() {
    let spans = vec![
        Span { start_time_unix_nano: 0, end_time_unix_nano: 0, ..span() },
        Span { end_time_unix_nano: NOW as u64 - 10, ..span() },
        Span { end_time_unix_nano: 0, ..span() },
    ];
    let decoded = protobuf(Signal::Traces, &traces(spans));
    let rows = rows(&decoded);
    assert_eq!(rows[0]["time_unix_nano"], 0);
    assert_eq!(rows[0]["time"], "1970-01-01T00:00:00Z");
    assert_eq!(rows[0]["date"], "2026-11-23", "an absurd clock makes no partition");
    assert_eq!(rows[1]["duration_ns"], -10);
    assert_eq!(rows[2]["duration_ns"], -NOW);
    assert_eq!(decoded.warnings.get(Warning::MissingTime), 1);
    assert_eq!(decoded.warnings.get(Warning::EndBeforeStart), 2);
}

/// Scenario: span and event times around 2^63, and days off the arrival.
/// Guarantees: D3, nothing wraps to the past; the last day that fits is kept.
#[test]
fn otlp_d3_times_past_2262_are_rejected() {
    let past = i64::MAX as u64 + 1;
    let event = Event { time_unix_nano: past, ..Event::default() };
    for bad in [
        Span { start_time_unix_nano: past, end_time_unix_nano: u64::MAX, ..span() },
        Span { end_time_unix_nano: u64::MAX, ..span() },
        Span { events: vec![event], ..span() },
    ] {
        assert_rejected(&protobuf(Signal::Traces, &traces(vec![bad])), Reason::OutOfRange);
    }
    let edge = Span { start_time_unix_nano: past - 1, end_time_unix_nano: past - 1, ..span() };
    let row = row(&protobuf(Signal::Traces, &traces(vec![edge])));
    assert_eq!(row["time_unix_nano"], i64::MAX);
    assert_eq!(row["time"], "2262-04-11T23:47:16.854775Z");
    assert_eq!(row["date"], "2026-11-23");
}

/// Scenario: reserved flag bits and enum numbers of the future.
/// Guarantees: D9, all stored as they came.
#[test]
fn otlp_d9_unknown_numbers_are_stored() {
    let odd = Span {
        flags: u32::MAX,
        kind: -3,
        status: Some(Status { code: 9, ..Status::default() }),
        ..span()
    };
    let row = row(&protobuf(Signal::Traces, &traces(vec![odd])));
    assert_eq!(row["flags"], u32::MAX);
    assert_eq!((&row["kind"], &row["status_code"]), (&json!("-3"), &json!("9")));
}

/// Scenario: many spans of one resource.
/// Guarantees: B1, a batch holds no spare capacity to speak of, so what it is
/// charged is what it takes.
#[test]
fn batches_hold_no_slack() {
    let spans = (0..1000u64).map(|n| Span { span_id: (n + 1).to_be_bytes().into(), ..full() });
    let decoded = protobuf(Signal::Traces, &traces(spans.collect()));
    let batch = decoded.rows.unwrap();
    let held = batch.bytes() as usize;
    let columns = batch.own().iter().flatten().chain(batch.origins().columns());
    let used: usize = columns.map(|c| c.to_data().get_slice_memory_size().unwrap()).sum();
    assert!(held < used + used / 4, "{held} bytes are held for {used} used");
    let ids = batch.column("span_id").unwrap();
    let ids = ids.as_string::<i32>();
    assert_eq!((ids.value(0), ids.len()), ("0000000000000001", 1000));
}
