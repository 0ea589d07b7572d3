//! Spans that stand for others. Consistent probability sampling writes the
//! threshold of rejection into the trace state (OpenTelemetry, "TraceState:
//! Probability Sampling", `ot=th:…`): up to 14 hex digits, the trailing zeros
//! left out, of 2^56. A span that was kept stands for 2^56 / (2^56 - th).

/// The threshold of a span as `th`: no value where nothing was sampled, and
/// `unknown` where the trace state is OpenTelemetry's and has no threshold. As
/// text thresholds are in order, and what is unknown is the largest.
pub const THRESHOLD: &str = "CASE WHEN regexp_like(trace_state, '(^|,) *ot=') THEN\n\
     CASE WHEN regexp_like(trace_state, '^(.*,)? *ot=([^,]*;)?th:[0-9a-f]+ *([;,].*)?$')\n\
     THEN regexp_replace(trace_state, '^(.*,)? *ot=([^,]*;)?th:([0-9a-f]+) *([;,].*)?$', '\\3') ELSE 'unknown' END END AS th";

/// For how many a row with this threshold stands; `None` where nobody says.
pub fn weight(threshold: &str) -> Option<f64> {
    const DIGITS: usize = 14;
    let hex = threshold.bytes().all(|byte| byte.is_ascii_hexdigit());
    if threshold.is_empty() || threshold.len() > DIGITS || !hex {
        return None;
    }
    let digits = u64::from_str_radix(threshold, 16).ok()?;
    let rejected = digits << (4 * (DIGITS - threshold.len()));
    // All of it is never rejected: 14 digits are less than 2^56.
    const ALL: u64 = 1 << (4 * DIGITS);
    Some(ALL as f64 / (ALL - rejected) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: thresholds of the specification's own examples, short and long
    /// ones, and what is none.
    /// Guarantees: half and a tenth stand for two and ten; what is no threshold
    /// stands for an unknown number, never for one.
    #[test]
    fn thresholds_are_weights() {
        assert_eq!(weight("0"), Some(1.0));
        assert_eq!(weight("8"), Some(2.0));
        assert_eq!(weight("c"), Some(4.0));
        let tenth = weight("e6666666666668").unwrap();
        assert!((tenth - 10.0).abs() < 1e-9, "{tenth}");
        assert!(weight("ffffffffffffff").unwrap().is_finite());
        for none in ["", "unknown", "x", "123456789012345", "-1", "+1"] {
            assert_eq!(weight(none), None, "{none}");
        }
    }
}
