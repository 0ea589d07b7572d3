//! The JSON mapping (B.3, J1 to J13).

use collector::decode::{Decoded, Encoding, Error, Limits, Reason, Warning};
use schema::{ErrorKind, Signal};
use serde_json::{Value as Json, json};

use crate::decode_support::*;

/// A request around one log record.
fn log_request(record: &str) -> String {
    format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{record}]}}]}}]}}"#)
}

fn log_of(record: &str) -> Result<Decoded, Error> {
    json(Signal::Logs, &log_request(record))
}

fn log_row(record: &str) -> Json {
    row(&log_of(record).unwrap_or_else(|error| panic!("{record}: {error}")))
}

fn span_of(fields: &str) -> Decoded {
    let span = format!(r#"{{"spanId":"0102030405060708",{fields}}}"#);
    let text = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}"#);
    json(Signal::Traces, &text).expect("the request is valid")
}

fn point_of(kind: &str, point: &str) -> Result<Decoded, Error> {
    let metric = format!(r#"{{"name":"m","{kind}":{{"dataPoints":[{point}]}}}}"#);
    let text = format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{metric}]}}]}}]}}"#);
    json(Signal::Metrics, &text)
}

#[track_caller]
fn assert_invalid(record: &str, cause: &str) {
    let error = log_of(record).expect_err(record);
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains(cause), "{record}: {error}");
}

/// Scenario: unknown names with values of every kind, at every level.
/// Guarantees: J1, they change nothing.
#[test]
fn otlp_j1_unknown_names_are_ignored() {
    let odd = r#""x":[{"a":[1,-2.5e3,null,true,"\u00fc"]},[],{}],"y":{"resource":1}"#;
    let value = format!(r#"{{"stringValue":"v",{odd}}}"#);
    let text = format!(
        r#"{{{odd},"resourceLogs":[{{{odd},"resource":{{{odd},"attributes":[{{{odd},"key":"k",
        "value":{value}}}]}},"scopeLogs":[{{{odd},"scope":{{{odd}}},"logRecords":[{{{odd},
        "body":{value},"timeUnixNano":"5"}}]}}]}}]}}"#
    );
    let row = row(&json(Signal::Logs, &text).unwrap());
    assert_eq!((&row["body"], &row["time_unix_nano"]), (&json!("v"), &json!(5)));
    assert_eq!(row["resource_attributes"], json!({"k": "v"}));
}

/// Scenario: protobuf's own names, with the switch off and on.
/// Guarantees: J2, ignored by default, read when the operator says so.
#[test]
fn otlp_j2_snake_case_is_for_those_who_ask() {
    let text = r#"{"resource_logs":[{"scope_logs":[{"log_records":[{"time_unix_nano":"7",
        "body":{"string_value":"x"},"attributes":[{"key":"k","value":{"int_value":1}}]}]}]}]}"#;
    assert!(json(Signal::Logs, text).unwrap().rows.is_none());
    let camel = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"time_unix_nano":"7"}]}]}]}"#;
    assert_eq!(row(&json(Signal::Logs, camel).unwrap())["time_unix_nano"], 0);

    let limits = Limits { json_snake_case: true, ..Limits::default() };
    let decoded = decode_with(Signal::Logs, Encoding::Json, text.as_bytes(), &limits).unwrap();
    let row = row(&decoded);
    assert_eq!((&row["time_unix_nano"], &row["body"]), (&json!(7), &json!("x")));
    assert_eq!(row["attributes"], json!({"k": "1"}));
    let twice = log_request(r#"{"timeUnixNano":"1","time_unix_nano":"2"}"#);
    decode_with(Signal::Logs, Encoding::Json, twice.as_bytes(), &limits).unwrap_err();
}

/// Scenario: ids in both cases, empty, of odd or wrong length, not hex.
/// Guarantees: J3, hex of any case; a bad one rejects a span, and leaves a log
/// without a trace.
#[test]
fn otlp_j3_ids_are_hex() {
    let row = row(&span_of(r#""traceId":"5B8EFFF798038103d269b633813fc60c""#));
    assert_eq!(row["trace_id"], "5b8efff798038103d269b633813fc60c");
    assert_eq!(row["span_id"], "0102030405060708");
    for bad in [
        "",
        "5b8efff7",
        "5b8efff798038103d269b633813fc60",
        "zz8efff798038103d269b633813fc60c",
        "W47/95gDgQPSabYzgT/GDA==",
        "00000000000000000000000000000000",
        "üüüüüüüüüüüüüüüü",
    ] {
        let decoded = span_of(&format!(r#""traceId":"{bad}""#));
        assert_rejected(&decoded, Reason::InvalidId);
        let row = log_row(&format!(r#"{{"traceId":"{bad}","spanId":"EEE19B7EC3C1B174"}}"#));
        assert_eq!(row["trace_id"], json!(null));
        assert_eq!(row["span_id"], "eee19b7ec3c1b174");
    }
    assert_invalid(r#"{"traceId":5}"#, "expected a string, found a number");
}

/// Scenario: bytes as standard and URL-safe base64, padded and not.
/// Guarantees: J4, all four are read; what is no base64 is an error.
#[test]
fn otlp_j4_bytes_are_base64_of_any_kind() {
    for form in ["+/+/AA==", "+/+/AA", "-_-_AA==", "-_-_AA"] {
        let row = log_row(&format!(r#"{{"body":{{"bytesValue":"{form}"}}}}"#));
        assert_eq!((&row["body"], &row["body_type"]), (&json!("+/+/AA=="), &json!("y")), "{form}");
    }
    for bad in ["+_+_AA==", "a", "a b=", "*"] {
        assert_invalid(&format!(r#"{{"body":{{"bytesValue":"{bad}"}}}}"#), "expected base64");
    }
}

/// Scenario: 64-bit integers as numbers, strings, with exponents and points.
/// Guarantees: J5, exact; fractions, negative unsigned and overflow are errors.
#[test]
fn otlp_j5_long_integers_come_in_many_forms() {
    for form in ["1000", "\"1000\"", "1e3", "1000.0", "\"1E3\"", "10.00e2", "100000e-2"] {
        assert_eq!(log_row(&format!(r#"{{"timeUnixNano":{form}}}"#))["time_unix_nano"], 1000);
        let row = log_row(&format!(r#"{{"body":{{"intValue":{form}}}}}"#));
        assert_eq!(row["body"], "1000", "{form}");
    }
    for bad in [
        "1.5",
        "\"1.5\"",
        "-1",
        "1e-1",
        "18446744073709551616",
        "1e99",
        "\"\"",
        "\" 1\"",
        "\"0x1\"",
        "true",
        "[]",
        "\"NaN\"",
    ] {
        assert_invalid(&format!(r#"{{"timeUnixNano":{bad}}}"#), "timeUnixNano");
    }
    for bad in ["9223372036854775808", "-9223372036854775809", "0.1"] {
        assert_invalid(&format!(r#"{{"body":{{"intValue":{bad}}}}}"#), "64-bit integer");
    }
}

/// Scenario: 32-bit integers as numbers and strings.
/// Guarantees: J6, both are read within their range.
#[test]
fn otlp_j6_short_integers_come_as_numbers_or_strings() {
    for form in ["3", "\"3\"", "3.0"] {
        let row = log_row(&format!(
            r#"{{"flags":{form},"droppedAttributesCount":{form},"severityNumber":{form}}}"#
        ));
        assert_eq!((&row["flags"], &row["dropped_attributes_count"]), (&json!(3), &json!(3)));
        assert_eq!(row["severity_number"], 3);
    }
    for bad in ["4294967296", "-1", "\"x\"", "0.5"] {
        assert_invalid(&format!(r#"{{"flags":{bad}}}"#), "flags");
    }
    let point = r#"{"timeUnixNano":1,"scale":"-5","positive":{"offset":-7,"bucketCounts":["1"]}}"#;
    let row = row(&point_of("exponentialHistogram", point).unwrap());
    assert_eq!((&row["scale"], &row["positive_offset"]), (&json!(-5), &json!(-7)));
}

/// Scenario: doubles as numbers, integers, strings and names.
/// Guarantees: J7, all are read; bare NaN and what is past the largest are not.
#[test]
fn otlp_j7_doubles_come_in_many_forms() {
    for (form, text) in [
        ("5", "5.0"),
        ("-0.5", "-0.5"),
        ("\"2.5e1\"", "25.0"),
        ("1e308", "1e308"),
        ("\"NaN\"", "NaN"),
        ("\"Infinity\"", "inf"),
        ("\"-Infinity\"", "-inf"),
        ("1e-999", "0.0"),
    ] {
        let row = log_row(&format!(r#"{{"body":{{"doubleValue":{form}}}}}"#));
        assert_eq!((&row["body"], &row["body_type"]), (&json!(text), &json!("d")), "{form}");
        assert_eq!(
            point_of("gauge", &format!(r#"{{"timeUnixNano":1,"asDouble":{form}}}"#))
                .unwrap()
                .accepted,
            1
        );
    }
    for bad in [
        "NaN",
        "Infinity",
        "1e999",
        "-1e999",
        "\"1e999\"",
        "\"nan\"",
        "\"inf\"",
        "\"\"",
        "false",
        ".5",
        "01",
    ] {
        assert_invalid(&format!(r#"{{"body":{{"doubleValue":{bad}}}}}"#), "at byte");
    }
}

/// Scenario: enums by number, by name, by numbers of the future.
/// Guarantees: J8, names are read and counted, unknown numbers stay, unknown
/// names are errors.
#[test]
fn otlp_j8_enums_are_numbers() {
    let decoded = span_of(
        r#""traceId":"5b8efff798038103d269b633813fc60c","kind":"SPAN_KIND_SERVER",
        "status":{"code":"STATUS_CODE_ERROR"}"#,
    );
    assert_eq!(decoded.warnings.get(Warning::EnumName), 2);
    let named = row(&decoded);
    assert_eq!((&named["kind"], &named["status_code"]), (&json!("SERVER"), &json!("ERROR")));
    let row = log_row(r#"{"severityNumber":"SEVERITY_NUMBER_FATAL4"}"#);
    assert_eq!((&row["severity_number"], &row["severity"]), (&json!(24), &json!("FATAL")));
    let decoded = span_of(r#""traceId":"5b8efff798038103d269b633813fc60c","kind":42"#);
    assert_eq!(
        (rows(&decoded)[0]["kind"].clone(), decoded.warnings.get(Warning::EnumName)),
        (json!("42"), 0)
    );
    for bad in ["\"SEVERITY_NUMBER_LOUD\"", "\"INFO\"", "\"\"", "1.5", "99999999999"] {
        assert_invalid(&format!(r#"{{"severityNumber":{bad}}}"#), "severityNumber");
    }
}

/// Scenario: `null` for fields of every kind, and inside lists.
/// Guarantees: J9, a field is absent; an element is an error.
#[test]
fn otlp_j9_null_is_absent_but_no_element() {
    let text = r#"{"resourceLogs":[{"resource":null,"schemaUrl":null,"scopeLogs":[{"scope":null,
        "logRecords":[{"timeUnixNano":null,"severityNumber":null,"severityText":null,"body":null,
        "attributes":null,"flags":null,"traceId":null,"eventName":null}]}]},{"scopeLogs":null}]}"#;
    let row = row(&json(Signal::Logs, text).unwrap());
    assert_eq!((&row["body"], &row["severity_number"]), (&json!(null), &json!(0)));
    assert_eq!(
        log_row(r#"{"attributes":[{"key":"k","value":null}]}"#)["attributes"],
        json!({"k": null})
    );
    assert_eq!(log_row(r#"{"body":{"stringValue":null,"intValue":4}}"#)["body"], "4");
    for text in [
        r#"{"resourceLogs":[null]}"#,
        r#"{"resourceLogs":[{"scopeLogs":[null]}]}"#,
        &log_request("null"),
        &log_request(r#"{"attributes":[null]}"#),
        &log_request(r#"{"body":{"arrayValue":{"values":[null]}}}"#),
    ] {
        let error = json(Signal::Logs, text).expect_err(text);
        assert!(error.to_string().contains("null is not an element"), "{error}");
    }
    let point = r#"{"timeUnixNano":1,"bucketCounts":[1,null],"explicitBounds":[1]}"#;
    assert!(point_of("histogram", point).is_err());
    let point = r#"{"timeUnixNano":1,"sum":null,"min":0,"max":null}"#;
    let row = rows(&point_of("histogram", point).unwrap()).remove(0);
    assert_eq!((&row["sum"], &row["min"], &row["max"]), (&json!(null), &json!(0.0), &json!(null)));
}

/// Scenario: a oneof with two members, and a name given twice.
/// Guarantees: J10, both are errors, always.
#[test]
fn otlp_j10_nothing_is_given_twice() {
    assert_invalid(r#"{"body":{"stringValue":"a","intValue":1}}"#, "a value is given twice");
    assert_invalid(r#"{"body":{"stringValue":"a","stringValue":"a"}}"#, "given twice");
    assert_invalid(r#"{"timeUnixNano":1,"timeUnixNano":1}"#, "\"timeUnixNano\" is given twice");
    assert!(point_of("gauge", r#"{"timeUnixNano":1,"asInt":1,"asDouble":1}"#).is_err());
    let metric = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"gauge":{},"sum":{}}]}]}]}"#;
    let error = json(Signal::Metrics, metric).unwrap_err().to_string();
    assert!(error.contains("data of two kinds"), "{error}");
}

/// Scenario: texts that are no JSON object, or more than one, or not text.
/// Guarantees: J11, an error that says where; no panic.
#[test]
fn otlp_j11_a_request_is_one_object() {
    for bad in [
        "",
        " ",
        "null",
        "[]",
        "\"x\"",
        "1",
        "{",
        "{}x",
        "{} {}",
        "{},",
        "\u{feff}{}",
        "// c\n{}",
        "{/* c */}",
        "{\"a\":1,}",
        "{\"a\"}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":[1,]}",
        "{\"a\":[,1]}",
        "{\"a\":tru}",
        "{\"a\":nul}",
        "{\"a\":+1}",
        "{\"a\":1.}",
        "{\"a\":\"\u{1}\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"",
        "{\"a\":\"\\",
        "{\"a\":[}",
        "{\"a\":{]}",
        "{\"a\":1 2}",
        "\0",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\udc00\"}",
        "{\"a\":\"\\ud800\\u0041\"}",
        "{\"a\":\"\\ud800x\"}",
    ] {
        let error = json(Signal::Logs, bad).expect_err(bad);
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("at byte"), "{bad}: {error}");
    }
    let error = decode(Signal::Logs, Encoding::Json, b"{\"a\":\"\xff\"}").unwrap_err();
    assert!(error.to_string().contains("not UTF-8, at byte 6"), "{error}");
    assert!(json(Signal::Logs, " \r\n\t{ } \n").is_ok());
    let row = log_row(r#"{"body":{"stringValue":"\"\\\/\b\f\n\r\t\u00fc\uD83D\uDE00é"}}"#);
    assert_eq!(row["body"], "\"\\/\u{8}\u{c}\n\r\tü😀é");
    let error = log_of(r#"{"body":{"arrayValue":{"values":[{},{"intValue":"x"}]}}}"#).unwrap_err();
    let path = "in resourceLogs[0].scopeLogs[0].logRecords[0].body.arrayValue.values[1].intValue";
    assert!(error.to_string().contains(path), "{error}");
}

/// Scenario: no resource, no scope, no value, empty lists, values of all kinds.
/// Guarantees: J12, all of it is valid.
#[test]
fn otlp_j12_almost_everything_may_be_missing() {
    let row = log_row("{}");
    assert_eq!((&row["resource_attributes"], &row["attributes"]), (&json!({}), &json!({})));
    let row = log_row(
        r#"{"attributes":[{"key":"none"},{"key":"empty","value":{}},{},
        {"key":"bytes","value":{"bytesValue":""}},{"key":"list","value":{"arrayValue":{}}},
        {"key":"map","value":{"kvlistValue":{"values":[{"key":"a","value":{"boolValue":false}}]}}},
        {"key":"mixed","value":{"arrayValue":{"values":[{"intValue":1},{"stringValue":"x"},{}]}}}]}"#,
    );
    let expected = json!({
        "": null, "bytes": "", "empty": null, "list": "[]", "map": "{\"a\":false}",
        "mixed": "[1,\"x\",null]", "none": null,
    });
    assert_eq!(row["attributes"], expected);
    assert_eq!(row["attribute_types"], "sysjjjs");
}

/// Scenario: the largest and smallest 64-bit integers as numbers and strings.
/// Guarantees: J13, they come back exactly.
#[test]
fn otlp_j13_large_integers_are_exact() {
    for value in ["9223372036854775807", "-9223372036854775808", "9007199254740993"] {
        for form in
            [value.to_owned(), format!("\"{value}\""), format!("{value}.0"), format!("{value}e0")]
        {
            assert_eq!(log_row(&format!(r#"{{"body":{{"intValue":{form}}}}}"#))["body"], value);
        }
    }
    let row = log_row(r#"{"timeUnixNano":9223372036854775807}"#);
    assert_eq!(row["time_unix_nano"], i64::MAX);
    assert_rejected(
        &log_of(r#"{"timeUnixNano":18446744073709551615}"#).unwrap(),
        Reason::OutOfRange,
    );
}
