//! When something began.

/// The first step of the run of steps over which values, each less what lies
/// halfway between usual and now, sum up to most: the likeliest begin of a move
/// from one level to another, also where it ended again. `None` where nothing lies
/// beyond halfway.
pub fn of(beyond: impl Iterator<Item = f64>) -> Option<u32> {
    let (mut best, mut found) = (0.0, None);
    let (mut sum, mut begin) = (0.0, 0);
    for (at, value) in (0_u32..).zip(beyond) {
        if sum <= 0.0 {
            (sum, begin) = (0.0, at);
        }
        sum += if value.is_finite() { value } else { 0.0 };
        if sum > best {
            (best, found) = (sum, Some(begin));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    /// Scenario: a level that rises and stays, rises and falls again, never rises,
    /// or is not told for a while; a lone spike long before.
    /// Guarantees: the begin of the rise is found; none where there is none.
    #[test]
    fn a_rise_begins_where_it_stays() {
        let of = |values: &[f64]| super::of(values.iter().map(|value| value - 5.0));
        assert_eq!(of(&[1.0, 2.0, 1.0, 9.0, 8.0, 9.0]), Some(3));
        assert_eq!(of(&[1.0, 9.0, 9.0, 9.0, 1.0, 1.0]), Some(1));
        assert_eq!(of(&[6.0, 1.0, 1.0, 9.0, 4.0, 9.0, 9.0]), Some(3));
        assert_eq!(of(&[1.0, f64::NAN, 9.0, f64::NAN, 9.0]), Some(2));
        assert_eq!(of(&[1.0, 2.0]), None);
        assert_eq!(of(&[]), None);
    }
}
