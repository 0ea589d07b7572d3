//! OTLP's response messages: nothing when all is well, `partial_success` when
//! something was rejected or is worth a remark (G2, G4, G6, H3, H4).

use opentelemetry_proto::tonic::collector::{
    logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse},
    metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse},
    trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse},
};
use prost::Message;
use schema::Signal;
use serde_json::json;

use crate::decode::Encoding;
use crate::export::Stored;

/// Longest message of any answer, in bytes: a gRPC error carries it in a
/// header, percent-encoded, and peers bound their headers at 8 KiB.
pub(crate) const MESSAGE_BYTES: usize = 1024;

/// Cuts a message to what an answer may carry.
pub(crate) fn cut(mut message: String) -> String {
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES));
    message
}

/// The response message of a signal, as bytes.
pub(crate) fn response(encoding: Encoding, signal: Signal, stored: Stored) -> Vec<u8> {
    let whole = stored.rejected == 0 && stored.message.is_empty();
    match (encoding, whole) {
        (Encoding::Protobuf, true) => Vec::new(),
        (Encoding::Json, true) => b"{}".to_vec(),
        (Encoding::Protobuf, false) => protobuf(signal, stored),
        (Encoding::Json, false) => {
            let rejected = match signal {
                Signal::Traces => "rejectedSpans",
                Signal::Metrics => "rejectedDataPoints",
                Signal::Logs => "rejectedLogRecords",
            };
            // 64-bit integers are strings in protobuf's JSON.
            let (count, text) = (stored.rejected.to_string(), cut(stored.message));
            json!({"partialSuccess": {rejected: count, "errorMessage": text}}).to_string().into()
        }
    }
}

fn protobuf(signal: Signal, stored: Stored) -> Vec<u8> {
    let rejected = i64::try_from(stored.rejected).unwrap_or(i64::MAX);
    let error_message = cut(stored.message);
    match signal {
        Signal::Traces => ExportTraceServiceResponse {
            partial_success: Some(ExportTracePartialSuccess {
                rejected_spans: rejected,
                error_message,
            }),
        }
        .encode_to_vec(),
        Signal::Metrics => ExportMetricsServiceResponse {
            partial_success: Some(ExportMetricsPartialSuccess {
                rejected_data_points: rejected,
                error_message,
            }),
        }
        .encode_to_vec(),
        Signal::Logs => ExportLogsServiceResponse {
            partial_success: Some(ExportLogsPartialSuccess {
                rejected_log_records: rejected,
                error_message,
            }),
        }
        .encode_to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a message of 8 MiB, and none.
    /// Guarantees: G9 and H14, every answer is far below 4 MiB; G2 and H3.
    #[test]
    fn otlp_g9_answers_are_short() {
        for signal in Signal::ALL {
            for encoding in [Encoding::Protobuf, Encoding::Json] {
                let message = "ü\"".repeat(4 << 20);
                let long = response(encoding, signal, Stored { rejected: 1, message });
                assert!((1..8 << 10).contains(&long.len()));
                let whole = Stored { rejected: 0, message: String::new() };
                let empty = response(encoding, signal, whole);
                assert_eq!(empty.len(), if encoding == Encoding::Json { 2 } else { 0 });
            }
        }
    }
}
