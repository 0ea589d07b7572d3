//! A value as text, with the letter of its type.
//!
//! Strings as they are; integers and booleans as SQL casts them; doubles as
//! Arrow casts them to text (shortest that reads back, `1.0`, `NaN`, `inf`), so
//! that `attributes['x'] = CAST(1.5 AS VARCHAR)` holds; bytes as base64; arrays
//! and maps as JSON.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::model::{KeyValue, Value};

/// `attribute_types`' letter of a value; an empty one is told by its NULL.
pub(super) fn letter(value: &Value<'_>) -> char {
    match value {
        Value::Empty | Value::Text(_) => 's',
        Value::Bool(_) => 'b',
        Value::Int(_) => 'i',
        Value::Double(_) => 'd',
        Value::Bytes(_) => 'y',
        Value::Array(_) | Value::Map(_) => 'j',
    }
}

/// Appends the text of a value. Depth is bounded where values are read (G28).
pub(super) fn render(value: &Value<'_>, into: &mut String) {
    match value {
        Value::Empty => {}
        Value::Text(text) => into.push_str(text),
        Value::Bytes(bytes) => STANDARD.encode_string(bytes, into),
        Value::Double(double) => into.push_str(ryu::Buffer::new().format(*double)),
        other => json(other, into),
    }
}

/// As [`render`], but nested: strings are quoted, an empty value is `null`,
/// and doubles that JSON has no number for are the strings that OTLP's JSON
/// gives them (J7).
fn json(value: &Value<'_>, into: &mut String) {
    match value {
        Value::Empty => into.push_str("null"),
        Value::Text(text) => quote(text, into),
        Value::Bool(value) => into.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => {
            let _infallible = write!(into, "{value}");
        }
        Value::Double(value) if value.is_nan() => into.push_str("\"NaN\""),
        Value::Double(f64::INFINITY) => into.push_str("\"Infinity\""),
        Value::Double(f64::NEG_INFINITY) => into.push_str("\"-Infinity\""),
        Value::Double(value) => into.push_str(ryu::Buffer::new().format_finite(*value)),
        Value::Bytes(bytes) => {
            into.push('"');
            STANDARD.encode_string(bytes, into);
            into.push('"');
        }
        Value::Array(values) => {
            into.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    into.push(',');
                }
                json(value, into);
            }
            into.push(']');
        }
        Value::Map(pairs) => map(pairs, into),
    }
}

/// Keys are sorted and the last of equal ones wins, as in attributes.
fn map(pairs: &[KeyValue<'_>], into: &mut String) {
    let mut order: Vec<&KeyValue<'_>> = pairs.iter().collect();
    order.sort_by(|a, b| a.key.cmp(&b.key));
    into.push('{');
    let mut first = true;
    for (index, pair) in order.iter().enumerate() {
        if order.get(index + 1).is_some_and(|next| next.key == pair.key) {
            continue;
        }
        if !first {
            into.push(',');
        }
        first = false;
        quote(&pair.key, into);
        into.push(':');
        json(&pair.value, into);
    }
    into.push('}');
}

fn quote(text: &str, into: &mut String) {
    into.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        // Only ASCII is escaped, so the cuts lie between characters.
        into.push_str(&text[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => into.push_str("\\\""),
            b'\\' => into.push_str("\\\\"),
            b'\n' => into.push_str("\\n"),
            b'\r' => into.push_str("\\r"),
            b'\t' => into.push_str("\\t"),
            control => {
                let _infallible = write!(into, "\\u{control:04x}");
            }
        }
    }
    into.push_str(&text[plain..]);
    into.push('"');
}

/// Lower-case hex of an id, in a buffer that can be borrowed as text.
pub(super) fn hex<'b, const N: usize>(id: &[u8; N], buffer: &'b mut String) -> &'b str {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [[0; 2]; N];
    for (pair, byte) in digits.iter_mut().zip(id) {
        *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    }
    buffer.clear();
    buffer.push_str(std::str::from_utf8(digits.as_flattened()).unwrap_or_default());
    buffer
}

/// Nanoseconds as a table holds them: no unsigned 64-bit numbers, and no
/// wrapping (D3).
pub(super) fn nanos(unsigned: u64) -> Option<i64> {
    i64::try_from(unsigned).ok()
}

/// A sender's name in a message to it, which has to stay short.
pub(super) fn quoted(name: &str) -> String {
    format!("{:?}", &name[..name.floor_char_boundary(64)])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, StringArray};
    use arrow::compute::cast;
    use arrow::datatypes::DataType;

    use super::*;

    /// Scenario: doubles of every form are rendered and cast.
    /// Guarantees: an attribute's text equals `CAST(value AS VARCHAR)`.
    #[test]
    fn doubles_read_as_arrow_casts_them() {
        let mut doubles = vec![
            0.0,
            -0.0,
            1.0,
            637.704,
            1e-5,
            1e-7,
            1e15,
            1e16,
            1.5e300,
            f64::MIN_POSITIVE,
            f64::MAX,
            5e-324,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ];
        doubles.extend((0..2000u64).map(|n| f64::from_bits(n.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
        let array: ArrayRef = Arc::new(Float64Array::from(doubles.clone()));
        let texts = cast(&array, &DataType::Utf8).unwrap();
        let texts = texts.as_any().downcast_ref::<StringArray>().unwrap();
        for (double, expected) in doubles.into_iter().zip(texts) {
            let mut text = String::new();
            render(&Value::Double(double), &mut text);
            assert_eq!(Some(text.as_str()), expected);
        }
    }

    /// Scenario: a nested value with everything JSON treats specially.
    /// Guarantees: the text is JSON, keys sorted, last of equal keys kept,
    /// integers exact, bytes and odd doubles as strings.
    #[test]
    fn nested_values_are_json() {
        let pair = |key: &'static str, value| KeyValue { key: key.into(), value };
        let value = Value::Map(vec![
            pair("z", Value::Array(vec![Value::Int(i64::MAX), Value::Double(1.0), Value::Empty])),
            pair("dup", Value::Bool(false)),
            pair("dup", Value::Bool(true)),
            pair("", Value::Text("\"\\\n\u{1}ü\u{1F600}".into())),
            pair("d", Value::Array(vec![Value::Double(f64::NAN), Value::Double(f64::INFINITY)])),
            pair("y", Value::Bytes(vec![0xfb, 0xff].into())),
        ]);
        let mut text = String::new();
        render(&value, &mut text);
        assert_eq!(
            text,
            "{\"\":\"\\\"\\\\\\n\\u0001ü\u{1F600}\",\"d\":[\"NaN\",\"Infinity\"],\"dup\":true,\
             \"y\":\"+/8=\",\"z\":[9223372036854775807,1.0,null]}"
        );
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
    }
}
