//! Numbers in all the notations that senders use, exactly.

/// The number token that a text starts with, by JSON's grammar.
pub(super) fn scan(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let digits = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        at
    };
    let start = usize::from(bytes.first() == Some(&b'-'));
    let mut end = digits(start);
    // No leading zeros, and at least one digit.
    if end == start || (bytes.get(start) == Some(&b'0') && end > start + 1) {
        return None;
    }
    if bytes.get(end) == Some(&b'.') {
        let fraction = end + 1;
        end = digits(fraction);
        if end == fraction {
            return None;
        }
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        let signed = matches!(bytes.get(end + 1), Some(b'+' | b'-'));
        let exponent = end + 1 + usize::from(signed);
        end = digits(exponent);
        if end == exponent {
            return None;
        }
    }
    Some(&text[..end])
}

/// Whether all of a text is a number, as a quoted number has to be.
pub(super) fn is_number(text: &str) -> bool {
    scan(text).is_some_and(|token| token.len() == text.len())
}

/// The integer that a token means, also as `5.0` or `1e3`, without going
/// through a double (J5, J13). None for a fraction or more than 20 digits.
pub(super) fn integer(token: &str) -> Option<i128> {
    let (negative, magnitude) = match token.strip_prefix('-') {
        Some(magnitude) => (true, magnitude),
        None => (false, token),
    };
    let (mantissa, exponent) = match magnitude.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent_of(exponent)),
        None => (magnitude, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if digits().all(|digit| digit == b'0') {
        return Some(0);
    }
    // The value is digits × 10^shift; move the zeros at the end into the shift.
    let zeros = digits().rev().take_while(|digit| *digit == b'0').count();
    let kept = whole.len() + fraction.len() - zeros;
    let shift = exponent + zeros as i64 - fraction.len() as i64;
    if !(0..=20).contains(&shift) {
        return None;
    }
    let mut value: i128 = 0;
    for digit in digits().take(kept) {
        value = value * 10 + i128::from(digit - b'0');
        if value >= 10i128.pow(20) {
            return None;
        }
    }
    let value = value.checked_mul(10i128.pow(shift as u32))?;
    Some(if negative { -value } else { value })
}

/// Saturates: what does not fit is out of any range that a caller has.
fn exponent_of(text: &str) -> i64 {
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        _ => (1, text),
    };
    let most = i64::from(i32::MAX);
    let digits = digits.trim_start_matches('0');
    let magnitude = if digits.is_empty() { 0 } else { digits.parse().unwrap_or(most).min(most) };
    sign * magnitude
}

/// The double that a token means; None if it is past the largest (J7).
pub(super) fn double(token: &str) -> Option<f64> {
    token.parse().ok().filter(|double: &f64| double.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: integers in every notation, and what is none.
    /// Guarantees: exact values up to the edges of 64 bits, no double between.
    #[test]
    fn otlp_j5_integers_are_exact_in_any_notation() {
        for (token, expected) in [
            ("0", 0),
            ("-0", 0),
            ("0.000", 0),
            ("0e99999999999999999999", 0),
            ("5.0", 5),
            ("1e3", 1000),
            ("1E+3", 1000),
            ("1000e-3", 1),
            ("12.50e1", 125),
            ("-12e0", -12),
            ("9223372036854775807", i128::from(i64::MAX)),
            ("9.223372036854775807e18", i128::from(i64::MAX)),
            ("-9223372036854775808", i128::from(i64::MIN)),
            ("18446744073709551615", i128::from(u64::MAX)),
            ("1844674407370955161500e-2", i128::from(u64::MAX)),
        ] {
            assert!(is_number(token), "{token}");
            assert_eq!(integer(token), Some(expected), "{token}");
        }
        for token in [
            "0.5",
            "1e-1",
            "12.55e1",
            "1e21",
            "1e9999999999999999999",
            "123456789012345678901234567890",
        ] {
            assert!(is_number(token), "{token}");
            assert_eq!(integer(token), None, "{token}");
        }
        for text in ["", "-", "01", "+1", "1.", ".5", "1e", "1e+", " 1", "1 ", "NaN", "0x10", "1_0"]
        {
            assert!(!is_number(text), "{text}");
        }
    }
}
