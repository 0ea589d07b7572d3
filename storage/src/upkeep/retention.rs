//! Which days of a table are over for good: a pure rule.
//!
//! Whole days go, by the day of the event and not of the commit. What "now" is
//! follows from the data, and the local clock can only hold it back: a clock
//! that jumps ahead expires nothing (faults.md F32), and neither do a few rows
//! that were dated by it. Such rows lie over [`JUMP`] days past the others
//! (nearer ones are dated by their event), so days beyond such a gap count only
//! once there are a week of them.

use std::collections::BTreeSet;
use std::time::Duration;

/// Days. Rows whose time is further off their arrival are dated by the latter.
const JUMP: i32 = 30;
/// Distinct days that make a time beyond a gap believable.
const BELIEVABLE: usize = 7;
const DAY: Duration = Duration::from_secs(86_400);

/// Days before the answer have outlived `keep`. `days`: those that the table has
/// rows of, by their events; `today`: by the local clock.
pub fn expired_before(days: &BTreeSet<i32>, today: i32, keep: Duration) -> Option<i32> {
    let now = believable(days)?.min(today);
    let keep = keep.as_secs().div_ceil(DAY.as_secs());
    now.checked_sub(i32::try_from(keep).ok()?)
}

/// The newest day that is not an outlier.
fn believable(days: &BTreeSet<i32>) -> Option<i32> {
    let mut newest: Option<i32> = None;
    // Days since the last gap, newest of them.
    let mut stretch: Option<(usize, i32)> = None;
    for day in days {
        stretch = match stretch {
            Some((count, last)) if day - last <= JUMP => Some((count + 1, *day)),
            _ => Some((1, *day)),
        };
        let (count, _) = stretch?;
        let first_stretch = newest.is_none_or(|known| day - known <= JUMP);
        if first_stretch || count >= BELIEVABLE {
            newest = Some(*day);
        }
    }
    newest
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: i32 = 20_780;
    const KEEP: Duration = Duration::from_secs(30 * 86_400);

    fn days(of: impl IntoIterator<Item = i32>) -> BTreeSet<i32> {
        of.into_iter().collect()
    }

    /// Scenario: three months of data under a limit of thirty days; then the
    /// clock is years ahead, years behind, and a day ahead; then rows dated by
    /// the wrong clock come in.
    /// Guarantees: F32, data of the last thirty days before the newest
    /// believable day never expire, whatever the clock says.
    #[test]
    fn fault_f32_a_clock_that_jumps_expires_nothing_early() {
        let normal = days(TODAY - 90..=TODAY);
        assert_eq!(expired_before(&normal, TODAY, KEEP), Some(TODAY - 30));
        assert_eq!(expired_before(&normal, TODAY + 4000, KEEP), Some(TODAY - 30));
        assert_eq!(expired_before(&normal, 0, KEEP), Some(-30));
        assert_eq!(expired_before(&normal, TODAY + 1, KEEP), Some(TODAY - 30));
        let mut jumped = normal.clone();
        jumped.extend([TODAY + 4000, TODAY + 4001]);
        assert_eq!(expired_before(&jumped, TODAY + 4001, KEEP), Some(TODAY - 30));
        assert_eq!(expired_before(&jumped, TODAY, KEEP), Some(TODAY - 30));
    }

    /// Scenario: a node was off for two months and comes back; an idle table; no
    /// data at all; absurdly old days beside new ones.
    /// Guarantees: after a week of new data old days expire as usual, and an
    /// idle table keeps what it has.
    #[test]
    fn old_days_expire_once_the_new_ones_are_believed() {
        let mut back = days(TODAY - 90..TODAY - 60);
        assert_eq!(expired_before(&back, TODAY, KEEP), Some(TODAY - 91));
        back.extend(TODAY - 5..=TODAY);
        assert_eq!(expired_before(&back, TODAY, KEEP), Some(TODAY - 91));
        back.insert(TODAY - 6);
        assert_eq!(expired_before(&back, TODAY, KEEP), Some(TODAY - 30));
        assert_eq!(expired_before(&BTreeSet::new(), TODAY, KEEP), None);
        let mut old = days(TODAY - 10..=TODAY);
        old.insert(0);
        assert_eq!(expired_before(&old, TODAY, KEEP), Some(TODAY - 30));
    }
}
