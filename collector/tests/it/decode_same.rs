//! One request, however it is written, gives the same rows (J15); and our
//! reading of protobuf's wire is protobuf's.

use collector::decode::{Decoded, Encoding, Warning};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use proptest::prelude::*;
use prost::Message;
use schema::Signal;

use crate::decode_fuzz::mutate;
use crate::decode_generate::Dice;
use crate::decode_support::*;
use crate::decode_write as write;

fn assert_same(one: &Decoded, other: &Decoded, hint: &str) {
    assert_eq!(one.accepted, other.accepted, "{hint}");
    if let (Some(one), Some(other)) = (&one.rows, &other.rows) {
        let (one, other) = (one.to_batch().unwrap(), other.to_batch().unwrap());
        for (field, (one, other)) in
            one.schema().fields().iter().zip(one.columns().iter().zip(other.columns()))
        {
            assert!(one == other, "{}: {one:?}\n{other:?}\n{hint}", field.name());
        }
    }
    let reasons = |decoded: &Decoded| decoded.rejected.reasons().collect::<Vec<_>>();
    assert_eq!(reasons(one), reasons(other), "{hint}");
    assert_eq!(one.rejected.message(), other.rejected.message(), "{hint}");
    for warning in Warning::ALL {
        assert_eq!(one.warnings.get(warning), other.warnings.get(warning), "{warning} {hint}");
    }
}

fn assert_json_same(signal: Signal, request: &impl Message, text: &str) {
    let from_json = json(signal, text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_same(&protobuf(signal, request), &from_json, text);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(80) })]

    /// Scenario: random requests as protobuf, and as JSON whose fields come in
    /// any order and form.
    /// Guarantees: J15, the rows, rejections and remarks are identical.
    #[test]
    fn otlp_j15_both_encodings_give_the_same_rows(seed: u64) {
        let dice = &mut Dice(seed);
        let request = dice.traces();
        assert_json_same(Signal::Traces, &request, &write::traces(dice, &request));
        let request = dice.logs();
        assert_json_same(Signal::Logs, &request, &write::logs(dice, &request));
        let request = dice.metrics();
        assert_json_same(Signal::Metrics, &request, &write::metrics(dice, &request));
    }

    /// Scenario: valid requests with flipped, lost, repeated and inserted bytes,
    /// read by us and by prost.
    /// Guarantees: G7, what prost reads we read as the same rows; what it
    /// refuses we refuse, but for texts that are not UTF-8 (G26).
    #[test]
    fn otlp_g7_our_wire_is_protobufs(seed: u64) {
        let dice = &mut Dice(seed);
        let (traces, logs, metrics) = (dice.traces(), dice.logs(), dice.metrics());
        let body = mutate(dice, traces.encode_to_vec());
        compare::<ExportTraceServiceRequest>(Signal::Traces, &body);
        let body = mutate(dice, logs.encode_to_vec());
        compare::<ExportLogsServiceRequest>(Signal::Logs, &body);
        let body = mutate(dice, metrics.encode_to_vec());
        compare::<ExportMetricsServiceRequest>(Signal::Metrics, &body);
    }
}

fn compare<M: Message + Default>(signal: Signal, body: &[u8]) {
    let ours = decode(signal, Encoding::Protobuf, body);
    match (M::decode(body), ours) {
        (Ok(request), Ok(ours)) => {
            assert_same(&protobuf(signal, &request), &ours, &format!("{body:?}"));
        }
        (Ok(_), Err(error)) => panic!("prost reads what we refuse: {error}\n{body:?}"),
        // Data that other data of the same metric replaces is never read by us.
        (Err(error), Ok(_)) if signal != Signal::Metrics => {
            // Entities are told by attributes; we do not look into `entity_refs`.
            let error = error.to_string();
            let lenient = error.contains("UTF-8") || error.contains("entity_refs");
            assert!(lenient, "we read what prost refuses: {error}\n{body:?}");
        }
        (Err(_), _) => {}
    }
}

/// Scenario: a message is split into parts of the same field, as concatenated
/// protobuf may be.
/// Guarantees: G7, parts are merged as protobuf merges them.
#[test]
fn split_messages_are_merged() {
    let field = |tag: u8, inner: &[u8]| {
        let mut bytes = vec![tag << 3 | 2];
        prost::encoding::encode_varint(inner.len() as u64, &mut bytes);
        bytes.extend_from_slice(inner);
        bytes
    };
    let resource = |key: &str| {
        let attributes = vec![text(key, "1")];
        use opentelemetry_proto::tonic::resource::v1::Resource;
        field(1, &Resource { attributes, ..Resource::default() }.encode_to_vec())
    };
    let scope_spans = field(2, &field(2, &span().encode_to_vec()));
    let body = field(1, &[scope_spans, resource("a"), resource("b")].concat());
    let decoded = decode(Signal::Traces, Encoding::Protobuf, &body).unwrap();
    assert_eq!(row(&decoded)["resource_attributes"], serde_json::json!({"a": "1", "b": "1"}));
    compare::<ExportTraceServiceRequest>(Signal::Traces, &body);
}
