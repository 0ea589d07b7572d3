//! Values of `$1`, `$2`, … as a client sends them.

use std::fmt::Write;

use arrow::datatypes::DataType;
use bytes::{Buf, Bytes};
use datafusion::common::ScalarValue;
use pgwire::api::Type;

use super::rows::{EPOCH_DAYS, EPOCH_MICROS};
use super::status::Refusal;
use crate::catalog::postgres::types;
use crate::engine::zone;

/// Elements of an array.
const MAX_ELEMENTS: usize = 10_000;

/// A value of the type with that number, or of the type that its place in the
/// statement tells when the client left it open (0). `zone` is where a time
/// without one is read.
pub(super) fn value(
    oid: u32,
    place: Option<&DataType>,
    zone: Option<&str>,
    binary: bool,
    bytes: Option<&Bytes>,
) -> Result<ScalarValue, Refusal> {
    let open = oid == 0 || oid == Type::UNKNOWN.oid();
    let of = match (open, place) {
        (true, Some(place)) => types::of_data(place),
        (true, None) => Type::TEXT,
        (false, _) => Type::from_oid(oid).ok_or_else(|| unknown(oid))?,
    };
    let data_type = match (open, place) {
        (true, Some(place)) => place.clone(),
        _ => types::arrow(of.oid()).ok_or_else(|| unknown(of.oid()))?,
    };
    let invalid =
        || Refusal::new("22P02", format!("invalid value for a parameter of type {}", of.name()));
    let Some(bytes) = bytes else {
        return ScalarValue::try_from(&data_type).map_err(|_| invalid());
    };
    if binary {
        return from_binary(&of, bytes.clone()).ok_or_else(|| {
            Refusal::new(
                "22P03",
                format!("a parameter of type {} is not in its binary form", of.name()),
            )
        });
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Refusal::new("22021", "a parameter is not UTF-8"))?;
    from_text(&of, &data_type, zone, text).ok_or_else(invalid)
}

fn unknown(oid: u32) -> Refusal {
    Refusal::new("0A000", format!("parameters of the type with the number {oid} are not taken"))
        .with_hint("cast in the client, or send the value as text")
}

fn from_text(
    of: &Type,
    data_type: &DataType,
    zone: Option<&str>,
    text: &str,
) -> Option<ScalarValue> {
    match (of, data_type) {
        (&Type::NUMERIC, _) => number(text),
        (_, DataType::Timestamp(_, Some(_))) => {
            zone::instant(text, &zone.unwrap_or("UTC").into(), data_type)
        }
        (&Type::BYTEA, _) => {
            let hex = text.strip_prefix("\\x")?;
            let bytes = hex
                .as_bytes()
                .chunks(2)
                .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
            Some(ScalarValue::Binary(Some(bytes.collect::<Option<_>>()?)))
        }
        (_, DataType::List(item)) => {
            let items = array(text)?;
            let values = items.into_iter().map(|item_text| match item_text {
                None => ScalarValue::try_from(item.data_type()).ok(),
                Some(text) => ScalarValue::Utf8(Some(text)).cast_to(item.data_type()).ok(),
            });
            let values = values.collect::<Option<Vec<_>>>()?;
            Some(ScalarValue::List(ScalarValue::new_list(&values, item.data_type(), true)))
        }
        _ => ScalarValue::Utf8(Some(text.to_owned())).cast_to(data_type).ok(),
    }
}

/// A number without a type of its own: whole if it is.
fn number(text: &str) -> Option<ScalarValue> {
    match text.parse::<i64>() {
        Ok(int) => Some(ScalarValue::Int64(Some(int))),
        Err(_) => Some(ScalarValue::Float64(Some(text.parse().ok()?))),
    }
}

/// The elements of `{a,"b c",NULL}`; `None` when it is no array of one dimension.
fn array(text: &str) -> Option<Vec<Option<String>>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut items = Vec::new();
    if inner.trim().is_empty() {
        return Some(items);
    }
    let mut chars = inner.chars();
    let (mut item, mut quoted, mut was_quoted) = (String::new(), false, false);
    loop {
        match chars.next() {
            Some('\\') => item.push(chars.next()?),
            Some('"') => {
                quoted = !quoted;
                was_quoted = true;
            }
            Some('{') if !quoted => return None,
            end @ (Some(',') | None) if !quoted => {
                if items.len() == MAX_ELEMENTS {
                    return None;
                }
                let plain = item.trim();
                items.push(match was_quoted {
                    true => Some(std::mem::take(&mut item)),
                    false if plain.eq_ignore_ascii_case("null") => None,
                    false => Some(plain.to_owned()),
                });
                if end.is_none() {
                    return Some(items);
                }
                item.clear();
                was_quoted = false;
            }
            Some(c) => item.push(c),
            None => return None,
        }
    }
}

/// `None` when the bytes are not a value of that type.
fn from_binary(of: &Type, mut bytes: Bytes) -> Option<ScalarValue> {
    let text =
        |bytes: &[u8]| Some(ScalarValue::Utf8(Some(std::str::from_utf8(bytes).ok()?.to_owned())));
    let value = match *of {
        Type::BOOL => ScalarValue::Boolean(Some(bytes.try_get_u8().ok()? != 0)),
        Type::INT2 => ScalarValue::Int16(Some(bytes.try_get_i16().ok()?)),
        Type::INT4 => ScalarValue::Int32(Some(bytes.try_get_i32().ok()?)),
        Type::INT8 => ScalarValue::Int64(Some(bytes.try_get_i64().ok()?)),
        Type::OID | Type::REGCLASS | Type::REGTYPE => {
            ScalarValue::Int64(Some(bytes.try_get_u32().ok()?.into()))
        }
        Type::FLOAT4 => ScalarValue::Float32(Some(bytes.try_get_f32().ok()?)),
        Type::FLOAT8 => ScalarValue::Float64(Some(bytes.try_get_f64().ok()?)),
        Type::DATE => ScalarValue::Date32(Some(bytes.try_get_i32().ok()?.checked_add(EPOCH_DAYS)?)),
        Type::TIMESTAMP => {
            let micros = bytes.try_get_i64().ok()?.checked_add(EPOCH_MICROS)?;
            ScalarValue::TimestampMicrosecond(Some(micros), None)
        }
        Type::TIMESTAMPTZ => {
            let micros = bytes.try_get_i64().ok()?.checked_add(EPOCH_MICROS)?;
            ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()))
        }
        Type::BYTEA => return Some(ScalarValue::Binary(Some(bytes.to_vec()))),
        Type::JSONB => return text(bytes.strip_prefix(&[1])?),
        Type::UUID => {
            let mut id = String::with_capacity(36);
            for (index, byte) in <[u8; 16]>::try_from(&bytes[..]).ok()?.iter().enumerate() {
                let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
                // Writing to a String cannot fail.
                write!(id, "{dash}{byte:02x}").ok();
            }
            return Some(ScalarValue::Utf8(Some(id)));
        }
        Type::NUMERIC => return number(&decimal(bytes)?),
        ref list if list.name().starts_with('_') => return list_of(bytes),
        _ => return text(&bytes),
    };
    bytes.is_empty().then_some(value)
}

/// An array of one dimension, or of none when it is empty.
fn list_of(mut bytes: Bytes) -> Option<ScalarValue> {
    let dimensions = bytes.try_get_i32().ok()?;
    bytes.try_get_i32().ok()?;
    let oid = bytes.try_get_u32().ok()?;
    let (item, data_type) = (Type::from_oid(oid)?, types::arrow(oid)?);
    let mut values = Vec::new();
    if dimensions > 1 {
        return None;
    }
    if dimensions == 1 {
        let count = usize::try_from(bytes.try_get_i32().ok()?).ok()?;
        bytes.try_get_i32().ok()?;
        if count > MAX_ELEMENTS {
            return None;
        }
        for _ in 0..count {
            values.push(match usize::try_from(bytes.try_get_i32().ok()?) {
                Err(_) => ScalarValue::try_from(&data_type).ok()?,
                Ok(length) if length <= bytes.len() => from_binary(&item, bytes.split_to(length))?,
                Ok(_) => return None,
            });
        }
    }
    bytes.is_empty().then(|| ScalarValue::List(ScalarValue::new_list(&values, &data_type, true)))
}

/// Groups of four decimal digits, as text.
fn decimal(mut bytes: Bytes) -> Option<String> {
    let groups = bytes.try_get_u16().ok()?;
    let weight = bytes.try_get_i16().ok()?;
    let sign = bytes.try_get_u16().ok()?;
    bytes.try_get_u16().ok()?;
    let mut text = match sign {
        0 => String::new(),
        0x4000 => "-".to_owned(),
        0xc000 => return Some("NaN".into()),
        0xd000 => return Some("inf".into()),
        0xf000 => return Some("-inf".into()),
        _ => return None,
    };
    let digits = (0..groups).map(|_| bytes.try_get_u16().ok()).collect::<Option<Vec<_>>>()?;
    let group = |at: i16| {
        let index = usize::try_from(i32::from(weight) - i32::from(at)).ok();
        index.and_then(|index| digits.get(index)).copied().unwrap_or(0)
    };
    for at in (0..=weight.max(0)).rev() {
        write!(text, "{:04}", group(at)).ok()?;
    }
    let last = i32::from(weight) - i32::from(groups) + 1;
    if last < 0 {
        text.push('.');
        for at in (last.max(-1_000)..0).rev() {
            write!(text, "{:04}", group(at as i16)).ok()?;
        }
    }
    bytes.is_empty().then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(of: Type, bytes: &'static [u8]) -> Option<ScalarValue> {
        value(of.oid(), None, None, true, Some(&Bytes::from_static(bytes))).ok()
    }

    /// Scenario: parameters in their binary form, whole, short, and too long.
    /// Guarantees: S18, what fits its type is that value, all else an error.
    #[test]
    fn sec_s18_binary_values_fit_their_types() {
        assert_eq!(
            binary(Type::INT8, &[0, 0, 0, 0, 0, 0, 1, 0]),
            Some(ScalarValue::Int64(Some(256)))
        );
        let epoch = ScalarValue::TimestampMicrosecond(Some(EPOCH_MICROS), Some("UTC".into()));
        assert_eq!(binary(Type::TIMESTAMPTZ, &[0; 8]), Some(epoch));
        // -12345.678: groups 1, 2345, 6780 from the second place on.
        let number = &[0, 3, 0, 1, 0x40, 0, 0, 3, 0, 1, 0x09, 0x29, 0x1a, 0x7c];
        assert_eq!(binary(Type::NUMERIC, number), Some(ScalarValue::Float64(Some(-12_345.678))));
        let list =
            &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 7];
        let seven = ScalarValue::new_list(&[ScalarValue::Int32(Some(7))], &DataType::Int32, true);
        assert_eq!(binary(Type::INT4_ARRAY, list), Some(ScalarValue::List(seven)));
        for of in
            [Type::INT2, Type::INT8, Type::TIMESTAMPTZ, Type::NUMERIC, Type::INT4_ARRAY, Type::UUID]
        {
            for bytes in [&[][..], &[1], &[0x7f; 7], &[0xff; 40]] {
                assert_eq!(binary(of.clone(), bytes), None, "{of} {bytes:?}");
            }
        }
    }

    /// Scenario: parameters as text, of a said type and of one that the place tells.
    /// Guarantees: they are values of that type, or an error.
    #[test]
    fn text_values_fit_their_types() {
        let of = |oid: u32, place: Option<&DataType>, text: &str| {
            value(oid, place, None, false, Some(&Bytes::copy_from_slice(text.as_bytes()))).ok()
        };
        assert_eq!(of(0, Some(&DataType::Int64), "7"), Some(ScalarValue::Int64(Some(7))));
        assert_eq!(of(0, None, "7"), Some(ScalarValue::Utf8(Some("7".into()))));
        assert_eq!(of(Type::BOOL.oid(), None, "t"), Some(ScalarValue::Boolean(Some(true))));
        assert_eq!(of(Type::NUMERIC.oid(), None, "1.5"), Some(ScalarValue::Float64(Some(1.5))));
        assert_eq!(of(Type::INT4.oid(), None, "x"), None);
        assert_eq!(
            value(Type::INT4.oid(), None, None, false, None).unwrap(),
            ScalarValue::Int32(None)
        );
        let at = of(Type::TIMESTAMPTZ.oid(), None, "2026-11-23 12:00:00+02").unwrap();
        let expected =
            ScalarValue::TimestampMicrosecond(Some(1_795_428_000_000_000), Some("UTC".into()));
        assert_eq!(at, expected);
        let local = Bytes::from_static(b"2026-11-23 15:30:00");
        let local = value(Type::TIMESTAMPTZ.oid(), None, Some("Asia/Kolkata"), false, Some(&local));
        assert_eq!(local.unwrap(), expected);
        let texts = array(r#"{a,"b,\"c\"",NULL,"NULL"}"#).unwrap();
        let texts: Vec<_> = texts.iter().map(Option::as_deref).collect();
        assert_eq!(texts, [Some("a"), Some("b,\"c\""), None, Some("NULL")]);
        assert_eq!(array("{{1},{2}}"), None);
    }
}
