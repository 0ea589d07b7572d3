//! Hostile bytes: whatever comes, decode answers and does not panic.
//!
//! `CLOUDSAIL_FUZZ_SECONDS` says how long to try, two seconds if it does not.

use std::time::{Duration, Instant};

use collector::decode::{Encoding, Limits};
use prost::Message;
use schema::Signal;

use crate::decode_generate::Dice;
use crate::decode_support::*;
use crate::decode_write as write;

/// Changes up to a few places of a body.
pub fn mutate(dice: &mut Dice, mut body: Vec<u8>) -> Vec<u8> {
    for _ in 0..=dice.below(4) {
        let at = dice.below(body.len() + 1);
        let to = at + dice.below(body.len() - at + 1);
        match dice.below(6) {
            0 if at < body.len() => body[at] ^= 1 << dice.below(8),
            1 if at < body.len() => body[at] = dice.roll() as u8,
            2 => body.truncate(at),
            3 => drop(body.drain(at..to.min(at + 9))),
            4 => {
                let repeated = body[at..to].to_vec();
                body.splice(at..at, repeated);
            }
            _ => {
                let inserted: Vec<u8> = (0..dice.below(5)).map(|_| dice.roll() as u8).collect();
                body.splice(at..at, inserted);
            }
        }
    }
    body
}

/// Changes that stay JSON often enough to get past its grammar.
fn mutate_text(dice: &mut Dice, text: String) -> Vec<u8> {
    const TOKENS: [&str; 22] = [
        "null",
        "{}",
        "[]",
        "[null]",
        "\"\"",
        "0",
        "-1",
        "1e999",
        "1e-999",
        "\"1e3\"",
        "NaN",
        "\"NaN\"",
        "\"\\ud800\"",
        "18446744073709551616",
        "[[[[[[[[",
        "{\"a\":",
        "}",
        "]",
        ",",
        ":",
        "\"stringValue\"",
        "",
    ];
    let mut body = text.into_bytes();
    for _ in 0..=dice.below(3) {
        let at = dice.below(body.len() + 1);
        // To the end of the value or name at hand, roughly.
        let end = body[at..].iter().position(|byte| b",:]}".contains(byte));
        let token = dice.pick(&TOKENS).bytes();
        body.splice(at..at + end.unwrap_or(0), token);
    }
    if dice.one_in(3) { mutate(dice, body) } else { body }
}

fn try_all(body: &[u8], limits: &Limits) {
    for signal in Signal::ALL {
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            match decode_with(signal, encoding, body, limits) {
                Ok(_) if encoding == Encoding::Json => assert_json(body),
                Ok(decoded) => drop(decoded.message()),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
}

/// What we read must be JSON to others too, but for their limit on nesting.
fn assert_json(body: &[u8]) {
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(body) {
        let text = String::from_utf8_lossy(body);
        assert!(
            error.to_string().contains("recursion limit"),
            "we read what is no JSON: {error}\n{text}"
        );
    }
}

/// The shapes that have broken decoders before.
fn seeds() -> Vec<Vec<u8>> {
    let deep = |open: &str, close: &str, levels: usize| {
        let request = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":"#;
        let (open, close) = (open.repeat(levels), close.repeat(levels));
        format!("{request}{open}{{}}{close}}}]}}]}}]}}").into_bytes()
    };
    let any = |value| {
        logs(vec![opentelemetry_proto::tonic::logs::v1::LogRecord { body: any(value), ..log() }])
    };
    let mut seeds = vec![
        vec![],
        b"{}".to_vec(),
        b"null".to_vec(),
        vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f],
        vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        vec![0x0b; 100_000],
        vec![0xff; 1000],
        [0x0a, 0].repeat(10_000),
        "[".repeat(100_000).into_bytes(),
        "{\"a\":".repeat(100_000).into_bytes(),
        deep(r#"{"arrayValue":{"values":["#, "]}}", 300),
        deep(r#"{"kvlistValue":{"values":[{"key":"k","value":"#, "}]}}", 300),
        deep(r#"{"arrayValue":{"values":["#, "", 50_000),
    ];
    for levels in [23, 24, 25, 31, 32, 47, 48, 99, 100, 500] {
        seeds.push(any(nested(levels, true)).encode_to_vec());
        seeds.push(any(nested(levels, false)).encode_to_vec());
    }
    seeds
}

/// Scenario: the contract's known killers, then random bytes, then valid
/// requests with a few bytes or tokens changed, under wide and narrow limits.
/// Guarantees: G7, G28, J11: an answer or an error, never a panic.
#[test]
fn hostile_bytes_never_panic() {
    let seconds = std::env::var("CLOUDSAIL_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok());
    let narrow = Limits {
        max_depth: 2,
        max_attributes: 2,
        max_value_bytes: 3,
        max_record_bytes: 200,
        max_batch_bytes: 20_000,
        json_snake_case: true,
    };
    let wide = Limits::default();
    for seed in seeds() {
        try_all(&seed, &wide);
        try_all(&seed, &narrow);
    }
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(2));
    let mut tried = 0u64;
    // A busy machine still has to try something.
    while tried < 50 || Instant::now() < end {
        let dice = &mut Dice(tried);
        tried += 1;
        let limits = dice.pick(&[wide, narrow]);
        let random: Vec<u8> = (0..dice.below(200)).map(|_| dice.roll() as u8).collect();
        try_all(&random, &limits);
        let (traces, logs, metrics) = (dice.traces(), dice.logs(), dice.metrics());
        for body in [traces.encode_to_vec(), logs.encode_to_vec(), metrics.encode_to_vec()] {
            try_all(&mutate(dice, body), &limits);
        }
        let texts = [
            write::traces(dice, &traces),
            write::logs(dice, &logs),
            write::metrics(dice, &metrics),
        ];
        for text in texts {
            try_all(&mutate_text(dice, text), &limits);
        }
    }
}
