//! Log records to rows (B.4, D1, D2, D3, D9, D12).

use collector::decode::{Reason, Warning};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use schema::Signal;
use serde_json::json;

use crate::decode_support::*;

/// Scenario: a record with something in every field.
/// Guarantees: D12, all of it is in the row.
#[test]
fn otlp_d12_a_log_record_keeps_everything() {
    let record = LogRecord {
        severity_number: 18,
        severity_text: "ERR2".into(),
        attributes: vec![text("exception.type", "Oops"), attribute("ok", Value::BoolValue(true))],
        dropped_attributes_count: 2,
        flags: 1,
        trace_id: vec![0xab; 16],
        span_id: vec![0xcd; 8],
        event_name: "device.crash".into(),
        ..log()
    };
    let row = row(&protobuf(Signal::Logs, &logs(vec![record])));
    let expected = json!({
        "time_unix_nano": NOW,
        "observed_time_unix_nano": NOW + 5,
        "service_name": "shop",
        "scope_name": "lib",
        "trace_id": "ab".repeat(16),
        "span_id": "cd".repeat(8),
        "flags": 1,
        "severity_number": 18,
        "severity_text": "ERR2",
        "severity": "ERROR",
        "event_name": "device.crash",
        "body": "hello",
        "body_type": "s",
        "exception.type": "Oops",
        "attributes": {"ok": "true"},
        "attribute_types": "b",
        "dropped_attributes_count": 2,
        "date": "2026-11-23",
    });
    for (column, value) in expected.as_object().unwrap() {
        assert_eq!(&row[column], value, "{column}");
    }
}

/// Scenario: bodies of every kind, and none.
/// Guarantees: text as it is, structures as JSON text, each with its letter.
#[test]
fn bodies_of_every_kind_are_kept() {
    let array = ArrayValue {
        values: vec![AnyValue { value: Some(Value::IntValue(i64::MIN)) }, AnyValue { value: None }],
    };
    let map = KeyValueList { values: vec![text("b", "2"), text("a", "1")] };
    for (body, expected, letter) in [
        (Value::StringValue(String::new()), "", "s"),
        (Value::BoolValue(false), "false", "b"),
        (Value::IntValue(-5), "-5", "i"),
        (Value::DoubleValue(f64::NAN), "NaN", "d"),
        (Value::BytesValue(vec![0xff, 0xfe]), "//4=", "y"),
        (Value::ArrayValue(array), "[-9223372036854775808,null]", "j"),
        (Value::KvlistValue(map), r#"{"a":"1","b":"2"}"#, "j"),
    ] {
        let record = LogRecord { body: any(body), ..log() };
        let row = row(&protobuf(Signal::Logs, &logs(vec![record])));
        assert_eq!((&row["body"], &row["body_type"]), (&json!(expected), &json!(letter)));
    }
    for body in [None, Some(AnyValue { value: None })] {
        let row = row(&protobuf(Signal::Logs, &logs(vec![LogRecord { body, ..log() }])));
        assert_eq!((&row["body"], &row["body_type"]), (&json!(null), &json!(null)));
    }
}

/// Scenario: trace and span ids that are absent, zero, or of a wrong length.
/// Guarantees: D1, the record is kept without them; wrong ones are counted.
#[test]
fn otlp_d1_logs_with_bad_ids_have_none() {
    for (trace_id, span_id, warned) in [
        (vec![], vec![], 0),
        (vec![0; 16], vec![0; 8], 0),
        (vec![1; 15], vec![1; 9], 2),
        (vec![1; 8], vec![], 1),
    ] {
        let record = LogRecord { trace_id, span_id, ..log() };
        let decoded = protobuf(Signal::Logs, &logs(vec![record]));
        let row = row(&decoded);
        assert_eq!((&row["trace_id"], &row["span_id"]), (&json!(null), &json!(null)));
        assert_eq!(decoded.warnings.get(Warning::InvalidId), warned);
    }
}

/// Scenario: records without a time, without both times.
/// Guarantees: D2, the observed time stands in; the arrival never does, it has
/// its own column.
#[test]
fn otlp_d2_logs_without_time_use_the_observed_one() {
    let observed = NOW as u64 - 1_000;
    let records = vec![
        LogRecord { time_unix_nano: 0, observed_time_unix_nano: observed, ..log() },
        LogRecord { time_unix_nano: 0, observed_time_unix_nano: 0, ..log() },
    ];
    let rows = rows(&protobuf(Signal::Logs, &logs(records)));
    assert_eq!(rows[0]["time_unix_nano"], observed);
    assert_eq!(rows[0]["observed_time_unix_nano"], observed);
    assert_eq!(
        (&rows[1]["time_unix_nano"], &rows[1]["observed_time_unix_nano"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(rows[1]["ingest_time"], "2026-11-23T00:00:00Z");
    assert_eq!(rows[1]["date"], "2026-11-23");
}

/// Scenario: times past 2^63 in either field.
/// Guarantees: D3, rejected and never wrapped.
#[test]
fn otlp_d3_log_times_past_2262_are_rejected() {
    for bad in [
        LogRecord { time_unix_nano: u64::MAX, ..log() },
        LogRecord { observed_time_unix_nano: 1 << 63, ..log() },
    ] {
        assert_rejected(&protobuf(Signal::Logs, &logs(vec![bad])), Reason::OutOfRange);
    }
}

/// Scenario: a severity number nobody knows.
/// Guarantees: D9, stored as it came; the level is then told by the text.
#[test]
fn otlp_d9_unknown_severities_are_stored() {
    let record = LogRecord { severity_number: 99, severity_text: "warning".into(), ..log() };
    let row = row(&protobuf(Signal::Logs, &logs(vec![record])));
    assert_eq!((&row["severity_number"], &row["severity"]), (&json!(99), &json!("WARN")));
}
