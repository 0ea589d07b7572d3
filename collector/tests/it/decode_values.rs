//! Attributes: their forms, duplicates, limits, conflicts and hostile shapes
//! (B.4, D7, D8, D10, D11), promotions.

use collector::decode::{self, Context, Encoding, Limits, Reason, Warning};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message;
use schema::{Catalog, ColumnType, ErrorKind, Promotion, Scope, Signal};
use serde_json::{Value as Json, json};

use crate::decode_support::*;

fn of(attributes: Vec<KeyValue>) -> Json {
    row(&protobuf(Signal::Traces, &traces(vec![Span { attributes, ..span() }])))
}

/// Scenario: values of every type, and none, under unsorted keys.
/// Guarantees: keys are sorted, texts and letters as documented.
#[test]
fn attributes_of_every_type_have_text_and_letter() {
    let array =
        ArrayValue { values: vec![AnyValue { value: Some(Value::StringValue("x".into())) }] };
    let row = of(vec![
        attribute("y", Value::BytesValue(vec![1, 2, 3])),
        attribute("s", Value::StringValue("text".into())),
        attribute("j", Value::ArrayValue(array)),
        int("i", -1),
        attribute("d", Value::DoubleValue(1e21)),
        attribute("b", Value::BoolValue(true)),
        KeyValue { key: "e".into(), ..KeyValue::default() },
        KeyValue { key: "f".into(), value: Some(AnyValue::default()), ..KeyValue::default() },
    ]);
    let expected = json!({
        "b": "true", "d": "1e21", "e": null, "f": null, "i": "-1", "j": "[\"x\"]", "s": "text",
        "y": "AQID",
    });
    assert_eq!(row["attributes"], expected);
    assert_eq!(row["attribute_types"], "bdssijsy");
}

/// Scenario: promoted keys with values that fit their column and that do not.
/// Guarantees: what fits is in the column and not in the map; the rest stays
/// in the map with its letter, and the column is NULL.
#[test]
fn promoted_values_move_to_their_column_if_they_fit() {
    let row = of(vec![
        int("http.response.status_code", 404),
        text("server.port", "http"),
        int("http.route", 5),
        text("url.path", "/a"),
    ]);
    assert_eq!(row["http.response.status_code"], 404);
    assert_eq!((&row["server.port"], &row["http.route"]), (&json!(null), &json!(null)));
    assert_eq!(row["url.path"], "/a");
    assert_eq!(row["attributes"], json!({"http.route": "5", "server.port": "http"}));
    assert_eq!(row["attribute_types"], "is");
}

/// Scenario: resources name their environment by the new key, the old, both.
/// Guarantees: the new key wins; the old one fills in and stays in the map.
#[test]
fn the_old_environment_key_fills_in() {
    let environment = |attributes: Vec<KeyValue>| {
        let mut request = traces(vec![span()]);
        request.resource_spans[0].resource = Some(Resource { attributes, ..Resource::default() });
        let row = row(&protobuf(Signal::Traces, &request));
        (row["deployment_environment"].clone(), row["resource_attributes"].clone())
    };
    let old = text("deployment.environment", "old");
    let new = text("deployment.environment.name", "new");
    let kept = json!({"deployment.environment": "old"});
    assert_eq!(environment(vec![new.clone()]), (json!("new"), json!({})));
    assert_eq!(environment(vec![old.clone()]), (json!("old"), kept.clone()));
    assert_eq!(environment(vec![new, old]), (json!("new"), kept));
}

/// Scenario: the configuration promotes keys of all three scopes and types.
/// Guarantees: each has its column, in the schema's place, with its type.
#[test]
fn configured_promotions_fill_their_columns() {
    let promote =
        |scope, key: &str, kind| Promotion { scope, key: key.into(), kind, column: key.into() };
    let catalog = Catalog::new(&[
        promote(Scope::Record, "app.ratio", ColumnType::Double),
        promote(Scope::Record, "app.beta", ColumnType::Bool),
        promote(Scope::Scope, "team", ColumnType::Text),
        promote(Scope::Resource, "process.pid", ColumnType::Int),
    ]);
    let attributes = vec![
        attribute("app.ratio", Value::DoubleValue(0.5)),
        attribute("app.beta", Value::BoolValue(true)),
    ];
    let mut request = traces(vec![span(), Span { attributes, ..span() }, span()]);
    request.resource_spans[0].resource.as_mut().unwrap().attributes.push(int("process.pid", 7));
    let scope = request.resource_spans[0].scope_spans[0].scope.as_mut().unwrap();
    scope.attributes = vec![text("team", "web"), text("other", "x")];
    let (table, limits) = (catalog.of(Signal::Traces), Limits::default());
    let cx = Context { node_id: "n", ingest_unix_nano: NOW, table, limits: &limits };
    let body = request.encode_to_vec();
    let decoded = decode::decode(Signal::Traces, Encoding::Protobuf, &body, &cx).unwrap();
    assert_eq!(decoded.rows.as_ref().unwrap().layout(), &table.layout);
    let rows = rows(&decoded);
    assert_eq!((&rows[0]["app.ratio"], &rows[2]["app.beta"]), (&json!(null), &json!(null)));
    assert_eq!((&rows[1]["app.ratio"], &rows[1]["app.beta"]), (&json!(0.5), &json!(true)));
    for row in &rows {
        assert_eq!((&row["team"], &row["process.pid"]), (&json!("web"), &json!(7)));
        assert_eq!(row["scope_attributes"], json!({"other": "x"}));
    }
}

/// Scenario: keys given several times, an empty key, in every scope.
/// Guarantees: D7, the last wins, the others are counted, the empty key stays.
#[test]
fn otlp_d7_duplicate_keys_end_with_the_last() {
    let twice = vec![
        text("k", "first"),
        text("", "empty"),
        int("k", 2),
        text("http.route", "/a"),
        text("http.route", "/b"),
    ];
    let mut request = traces(vec![Span { attributes: twice, ..span() }]);
    request.resource_spans[0]
        .resource
        .as_mut()
        .unwrap()
        .attributes
        .push(text("service.name", "last"));
    let decoded = protobuf(Signal::Traces, &request);
    let row = row(&decoded);
    assert_eq!(row["attributes"], json!({"": "empty", "k": "2"}));
    assert_eq!((&row["http.route"], &row["service_name"]), (&json!("/b"), &json!("last")));
    assert_eq!(decoded.warnings.get(Warning::DuplicateKey), 3);
}

/// Scenario: more attributes than allowed, in a span and in an event, promoted
/// ones among them.
/// Guarantees: D8, what is left out is counted in the row and remarked;
/// promoted keys are kept.
#[test]
fn otlp_d8_attributes_past_the_limit_are_counted() {
    let limits = Limits { max_attributes: 4, ..Limits::default() };
    let mut attributes: Vec<_> = (0..9).map(|n| int(&format!("key.{n}"), n)).collect();
    attributes.push(text("url.path", "/kept"));
    let events = vec![Event { attributes: attributes.clone(), ..Event::default() }];
    let span = Span { attributes, events, dropped_attributes_count: 10, ..span() };
    let body = traces(vec![span]).encode_to_vec();
    let decoded = decode_with(Signal::Traces, Encoding::Protobuf, &body, &limits).unwrap();
    let row = row(&decoded);
    assert_eq!(row["attributes"], json!({"key.0": "0", "key.1": "1", "key.2": "2", "key.3": "3"}));
    assert_eq!((&row["url.path"], &row["dropped_attributes_count"]), (&json!("/kept"), &json!(15)));
    assert_eq!(row["events"][0]["dropped_attributes_count"], 6);
    assert_eq!(decoded.warnings.get(Warning::DroppedAttribute), 11);
    assert!(decoded.message().unwrap().contains("11 attributes were dropped"));
}

/// Scenario: values past the limit: text, bytes, an array; a text whose limit
/// falls into a character.
/// Guarantees: D8, each is cut to valid text, counted and remarked.
#[test]
fn otlp_d8_long_values_are_cut() {
    let limits = Limits { max_value_bytes: 8, ..Limits::default() };
    let array =
        ArrayValue { values: vec![AnyValue { value: Some(Value::IntValue(1_000_000)) }; 3] };
    let attributes = vec![
        text("a", "1234567ü"),
        attribute("b", Value::BytesValue(vec![0; 100])),
        attribute("c", Value::ArrayValue(array)),
        text("d", "12345678"),
        text("url.path", "/23456789"),
    ];
    let body = traces(vec![Span { attributes, ..span() }]).encode_to_vec();
    let decoded = decode_with(Signal::Traces, Encoding::Protobuf, &body, &limits).unwrap();
    let row = row(&decoded);
    let expected = json!({"a": "1234567", "b": "AAAAAAAA", "c": "[1000000", "d": "12345678"});
    assert_eq!(row["attributes"], expected);
    assert_eq!((&row["attribute_types"], &row["url.path"]), (&json!("syss"), &json!("/2345678")));
    assert_eq!(row["dropped_attributes_count"], 4);
    assert_eq!(decoded.warnings.get(Warning::CutValue), 4);
}

/// Scenario: a span, a resource, a metric's texts larger than a record may be.
/// Guarantees: D8, the items are rejected with a reason and their neighbours
/// stay.
#[test]
fn otlp_d8_large_records_are_rejected() {
    let large = "x".repeat(2 << 20);
    let bad = Span { name: large.clone(), ..span() };
    let decoded = protobuf(Signal::Traces, &traces(vec![bad, span()]));
    assert_eq!((decoded.accepted, decoded.rejected.get(Reason::TooLarge)), (1, 1));
    let mut request = traces(vec![span()]);
    request.resource_spans[0].resource.as_mut().unwrap().attributes.push(text("k", &large));
    request.resource_spans.extend(traces(vec![span()]).resource_spans);
    let decoded = protobuf(Signal::Traces, &request);
    assert_eq!((decoded.accepted, decoded.rejected.get(Reason::TooLarge)), (1, 1));
    let text = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"description":"{large}","gauge":
        {{"dataPoints":[{{"timeUnixNano":1,"asInt":1}}]}}}}]}}]}}]}}"#
    );
    assert_rejected(&json(Signal::Metrics, &text).unwrap(), Reason::TooLarge);
}

/// Scenario: one key with different types in records of one batch.
/// Guarantees: D10, all survive beside each other.
#[test]
fn otlp_d10_types_do_not_conflict() {
    let values = [Value::IntValue(1), Value::StringValue("1".into()), Value::BoolValue(true)];
    let spans = values.map(|value| Span { attributes: vec![attribute("k", value)], ..span() });
    let rows = rows(&protobuf(Signal::Traces, &traces(spans.to_vec())));
    let seen: Vec<_> =
        rows.iter().map(|row| (&row["attributes"]["k"], &row["attribute_types"])).collect();
    let (one, yes) = (json!("1"), json!("true"));
    assert_eq!(seen, [(&one, &json!("i")), (&one, &json!(null)), (&yes, &json!("b"))]);
}

/// Scenario: a promoted key of whole numbers comes as a number and as text, in
/// one request and in two, beside records that have it not.
/// Guarantees: F40: no record and no batch is dropped for it; each value is in
/// the column or, with its type, in the map.
#[test]
fn fault_f40_types_of_a_promoted_key_cost_no_row() {
    const KEY: &str = "http.response.status_code";
    let spans = [
        Span { attributes: vec![int(KEY, 404)], ..span() },
        Span { attributes: vec![text(KEY, "not found")], ..span() },
        span(),
    ];
    let check = |rows: &[Json]| {
        let found: Vec<_> = rows.iter().map(|row| (&row[KEY], &row["attributes"][KEY])).collect();
        let null = Json::Null;
        assert_eq!(found, [(&json!(404), &null), (&null, &json!("not found")), (&null, &null)]);
    };
    check(&rows(&protobuf(Signal::Traces, &traces(spans.to_vec()))));
    let apart = spans.map(|span| row(&protobuf(Signal::Traces, &traces(vec![span]))));
    check(&apart);
}

/// Scenario: a million empty resources; a resource for each of many spans; a
/// value of 10 MiB; keys that are paths, quotes, NUL and emoji.
/// Guarantees: D11, none of it crashes or is lost unsaid.
#[test]
fn otlp_d11_wide_and_odd_requests_are_harmless() {
    let empty = [0x0a, 0].repeat(1_000_000);
    let decoded = decode(Signal::Traces, Encoding::Protobuf, &empty).unwrap();
    assert!(decoded.rows.is_none() && decoded.rejected.count() == 0);

    let resource_spans: Vec<ResourceSpans> = (0..2000)
        .map(|n| {
            let mut one = traces(vec![span()]).resource_spans.remove(0);
            one.resource = service(&format!("service-{n}"));
            one
        })
        .collect();
    let decoded = protobuf(Signal::Traces, &ExportTraceServiceRequest { resource_spans });
    let rows = rows(&decoded);
    assert_eq!(rows.len(), 2000);
    assert_eq!(rows[1999]["service_name"], "service-1999");

    let huge = Span { attributes: vec![text("k", &"x".repeat(10 << 20))], ..span() };
    let decoded = protobuf(Signal::Traces, &traces(vec![huge, span()]));
    assert_eq!((decoded.accepted, decoded.rejected.get(Reason::TooLarge)), (1, 1));

    let odd = ["\0", "../../etc/passwd", "\"; DROP TABLE spans --", "😀", "a\nb", ""];
    let row = of(odd.iter().map(|key| text(key, key)).collect());
    for key in odd {
        assert_eq!(row["attributes"][key], key);
    }
}

/// Scenario: a small body whose rows would repeat a large resource for ever.
/// Guarantees: D11 and B1, the batch ends at its limit, and the sender learns
/// to send less at once.
#[test]
fn otlp_d11_rows_cannot_grow_without_bound() {
    let limits = Limits { max_batch_bytes: 1 << 20, ..Limits::default() };
    let mut request = traces(vec![span(); 200]);
    let resource = request.resource_spans[0].resource.as_mut().unwrap();
    resource.attributes.push(text("k", &"x".repeat(10_000)));
    let body = request.encode_to_vec();
    let error = decode_with(Signal::Traces, Encoding::Protobuf, &body, &limits).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().contains("send fewer items"), "{error}");
}
