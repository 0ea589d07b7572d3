//! `grpc-timeout`: how long the sender waits (G17).

use std::time::Duration;

use http::HeaderMap;

/// What the answer needs to reach the sender before it gives up.
const MARGIN: Duration = Duration::from_millis(500);

/// How long after the head an answer is still of use. None without the header,
/// or with one that is no timeout.
pub(super) fn of(headers: &HeaderMap) -> Option<Duration> {
    let timeout = parse(headers.get("grpc-timeout")?.to_str().ok()?)?;
    // A timeout as short as the margin: half of it, rather than nothing.
    Some(timeout.saturating_sub(MARGIN).max(timeout / 2))
}

/// At most eight digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: timeouts in every unit, short ones, and texts that are none.
    /// Guarantees: G17, the answer leaves 500 ms before the sender gives up.
    #[test]
    fn otlp_g17_the_answer_leaves_before_the_sender_gives_up() {
        let of = |text: &'static str| {
            of(&HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-timeout"),
                http::HeaderValue::from_static(text),
            )]))
        };
        let millis = |millis| Some(Duration::from_millis(millis));
        assert_eq!(of("10S"), millis(9500));
        assert_eq!(of("9000m"), millis(8500));
        assert_eq!(of("1H"), millis(3_599_500));
        assert_eq!(of("2M"), millis(119_500));
        assert_eq!(of("600m"), millis(300));
        assert_eq!(of("100000u"), millis(50));
        assert_eq!(of("2000000n"), millis(1));
        assert_eq!(of("99999999H"), Some(Duration::from_secs(99_999_999 * 3600) - MARGIN));
        for not in ["", "S", "10", "-1S", "1.5S", "123456789S", "10s", "10é"] {
            assert_eq!(parse(not), None, "{not:?}");
        }
    }
}
