//! The example files of the OTLP specification, read field by field (J14).

use std::path::PathBuf;
use std::process::Command;

use schema::Signal;
use serde_json::{Value as Json, json};

use crate::decode_support::{json as decode_json, rows};

/// The examples lie in the crate that carries the protocol; cargo knows where.
fn example(name: &str) -> String {
    // Of other platforms' dependencies nothing need be on this machine.
    let platform = "host-tuple";
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--format-version", "1", "--filter-platform", platform])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo answers");
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Json = serde_json::from_slice(&metadata.stdout).expect("metadata is JSON");
    let packages = metadata["packages"].as_array().expect("there are packages");
    let package = packages.iter().find(|package| package["name"] == "opentelemetry-proto");
    let manifest =
        package.expect("it is a dependency")["manifest_path"].as_str().expect("it has a path");
    let folder = PathBuf::from(manifest).with_file_name("src/proto/opentelemetry-proto/examples");
    std::fs::read_to_string(folder.join(name)).expect("the example exists")
}

#[track_caller]
fn assert_fields(row: &Json, expected: Json) {
    for (column, value) in expected.as_object().expect("fields") {
        assert_eq!(&row[column], value, "{column}");
    }
}

/// Scenario: `trace.json` with its upper-case ids.
/// Guarantees: J14, every field is read exactly.
#[test]
fn otlp_j14_trace_example() {
    let rows = rows(&decode_json(Signal::Traces, &example("trace.json")).unwrap());
    assert_eq!(rows.len(), 1);
    assert_fields(
        &rows[0],
        json!({
            "service_name": "my.service", "resource_attributes": {}, "scope_name": "my.library",
            "scope_version": "1.0.0",
            "scope_attributes": {"my.scope.attribute": "some scope attribute"},
            "trace_id": "5b8efff798038103d269b633813fc60c", "span_id": "eee19b7ec3c1b174",
            "parent_span_id": "eee19b7ec3c1b173", "name": "I'm a server span",
            "time_unix_nano": 1_544_712_660_000_000_000i64, "time": "2018-12-13T14:51:00Z",
            "duration_ns": 1_000_000_000, "kind": "SERVER",
            "attributes": {"my.span.attr": "some value"}, "attribute_types": null,
            "status_code": "UNSET", "is_error": false,
        }),
    );
}

/// Scenario: `logs.json` with attributes of every type, `events.json` with a
/// structured body.
/// Guarantees: J14, every field is read exactly.
#[test]
fn otlp_j14_log_and_event_examples() {
    let logs = rows(&decode_json(Signal::Logs, &example("logs.json")).unwrap());
    assert_eq!(logs.len(), 1);
    assert_fields(
        &logs[0],
        json!({
            "service_name": "my.service", "time_unix_nano": 1_544_712_660_300_000_000i64,
            "observed_time_unix_nano": 1_544_712_660_300_000_000i64, "severity_number": 10,
            "severity_text": "Information", "severity": "INFO",
            "trace_id": "5b8efff798038103d269b633813fc60c", "span_id": "eee19b7ec3c1b174",
            "body": "Example log record", "body_type": "s",
            "attributes": {
                "array.attribute": "[\"many\",\"values\"]", "boolean.attribute": "true",
                "double.attribute": "637.704", "int.attribute": "10",
                "map.attribute": "{\"some.map.key\":\"some value\"}",
                "string.attribute": "some string",
            },
            "attribute_types": "jbdijs",
        }),
    );
    let events = rows(&decode_json(Signal::Logs, &example("events.json")).unwrap());
    assert_eq!(events.len(), 1);
    assert_fields(
        &events[0],
        json!({
            "event_name": "browser.page_view", "severity_number": 9,
            "severity_text": "test severity text",
            "attributes": {"event.attribute": "some event attribute"}, "body_type": "j",
            "body": "{\"referrer\":\"https://wwww.google.com\",\"title\":\"Free Online GUID Generator\",\
                     \"type\":0,\"url\":\"https://www.guidgenerator.com/online-guid-generator.aspx\"}",
        }),
    );
}

/// Scenario: `metrics.json` with four kinds of data.
/// Guarantees: J14, every field is read exactly.
#[test]
fn otlp_j14_metrics_example() {
    let rows = rows(&decode_json(Signal::Metrics, &example("metrics.json")).unwrap());
    assert_eq!(rows.len(), 4);
    let time = 1_544_712_660_300_000_000i64;
    for row in &rows {
        assert_fields(
            row,
            json!({"unit": "1", "time_unix_nano": time, "scope_name": "my.library"}),
        );
    }
    assert_fields(
        &rows[0],
        json!({
            "metric_name": "my.counter", "description": "I am a Counter", "metric_kind": "SUM",
            "temporality": "DELTA", "is_monotonic": true, "value": 5.0, "value_int": null,
            "start_time_unix_nano": time, "attributes": {"my.counter.attr": "some value"},
        }),
    );
    assert_fields(
        &rows[1],
        json!({
            "metric_name": "my.gauge", "metric_kind": "GAUGE", "value": 10.0, "temporality": null,
            "start_time_unix_nano": 0,
        }),
    );
    assert_fields(
        &rows[2],
        json!({
            "metric_name": "my.histogram", "metric_kind": "HISTOGRAM", "count": 2, "sum": 2.0,
            "bucket_counts": [1, 1], "explicit_bounds": [1.0], "min": 0.0, "max": 2.0,
        }),
    );
    assert_fields(
        &rows[3],
        json!({
            "metric_name": "my.exponential.histogram", "metric_kind": "EXPONENTIAL_HISTOGRAM",
            "count": 3, "sum": 10.0, "scale": 0, "zero_count": 1, "positive_offset": 1,
            "positive_counts": [0, 2], "negative_counts": null, "min": 0.0, "max": 5.0,
            "zero_threshold": 0.0,
        }),
    );
}
