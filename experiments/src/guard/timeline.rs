//! The time that guards go by. It is the wall clock's as long as that runs evenly,
//! and goes on evenly when it is set: a window that lost its rows to a jump would
//! stop every run. What rows and statements say is the wall clock's, and is
//! translated here. Whether the clocks of senders were set as well, as on one
//! machine, or not, what arrives tells: statements look for rows by their time.

use super::reduce::Heard;
use super::ring::SECOND;

/// What a clock is slewed by between two looks is less.
const JUMP: i64 = SECOND;
/// A batch whose newest row is further from now speaks of neither clock.
const NEAR: i64 = 60 * SECOND;
/// A batch waits less than this to be counted; one that seems older, or newer than
/// now, came around a jump.
const UNDERWAY: i64 = 10 * SECOND;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeline {
    /// The last look: the wall clock, and time since the start by one that cannot
    /// be set.
    wall: i64,
    since: i64,
    /// What the wall clock has jumped by.
    ahead: i64,
    jumped: Option<i64>,
    /// The latest that the wall clock has shown.
    shown: i64,
    /// Batches since it was set last: of clocks that were not, and that were.
    stayed: u32,
    followed: u32,
}

impl Timeline {
    pub fn new(wall: i64) -> Timeline {
        Timeline { wall, since: 0, ahead: 0, jumped: None, shown: wall, stayed: 0, followed: 0 }
    }

    /// The time now, in nanoseconds; `since` is how long ago it began.
    pub fn now(&mut self, wall: i64, since: i64) -> i64 {
        let expected = self.wall.saturating_add(since.saturating_sub(self.since));
        let jump = wall.saturating_sub(expected);
        (self.wall, self.since) = (wall, since);
        if jump.saturating_abs() >= JUMP {
            // In whole seconds, which rows are counted by.
            let jump = (jump + jump.signum() * SECOND / 2) / SECOND * SECOND;
            self.ahead = self.ahead.saturating_add(jump);
            self.jumped = Some(self.of(wall));
            self.shown = self.shown.max(expected);
            (self.stayed, self.followed) = (0, 0);
        }
        self.of(wall)
    }

    /// A time of the wall clock as it is now.
    pub fn of(&self, wall: i64) -> i64 {
        wall.saturating_sub(self.ahead)
    }

    pub fn wall(&self, now: i64) -> i64 {
        now.saturating_add(self.ahead)
    }

    /// When the wall clock was set last: statements over rows of both sides find
    /// but those of one.
    pub fn jumped(&self) -> Option<i64> {
        self.jumped
    }

    /// Up to when rows were received, by whatever the clock showed.
    pub fn judged(&self, now: i64) -> i64 {
        now.max(self.wall(now)).max(self.shown)
    }

    /// A stretch that ends now, by the time that rows carry. An error in words where
    /// rows of it cannot be told from others.
    pub fn carried(&self, from: i64, now: i64) -> Result<(i64, i64), String> {
        let Some(jumped) = self.jumped else { return Ok((from, now)) };
        if self.stayed > self.followed {
            return Ok((from, now));
        }
        let (from_wall, wall) = (self.wall(from), self.wall(now));
        let why = if self.stayed == self.followed {
            "and nothing that arrived tells yet whether those of senders were set as well"
        } else if from <= jumped {
            "as those of senders were, and this looks at rows of before and after"
        } else if from_wall < self.shown {
            "as those of senders were, and shows times that earlier rows have already"
        } else {
            return Ok((from_wall, wall));
        };
        let ago = now.saturating_sub(jumped) / SECOND;
        Err(format!("the clock was set {ago} s ago, {why}"))
    }

    /// What a batch told, in this time.
    pub fn translate(&mut self, heard: &mut Heard, now: i64) {
        if self.jumped.is_none() {
            return;
        }
        let away = |at: i64| heard.newest.saturating_sub(at).saturating_abs();
        let (stayed, followed) = (away(now), away(self.wall(now)));
        if stayed.min(followed) < NEAR {
            let votes = if stayed < followed { &mut self.stayed } else { &mut self.followed };
            *votes = votes.saturating_add(1);
        }
        let received = self.received(heard.received, now);
        let shift = heard.received.saturating_sub(received);
        heard.received = received;
        // Whose clock was set, and whether rightly, nobody knows: a row is as young
        // as either clock has it.
        let ended = |at: i64| at.max(at.saturating_sub(shift));
        heard.newest = ended(heard.newest).min(received);
        for arrival in &mut heard.arrivals {
            arrival.second = arrival.second.saturating_sub(shift.div_euclid(SECOND));
            arrival.marks.iter_mut().for_each(|mark| mark.ended = ended(mark.ended));
        }
    }

    fn received(&self, wall: i64, now: i64) -> i64 {
        let told = self.of(wall);
        if (now.saturating_sub(UNDERWAY)..=now).contains(&told) { told } else { now }
    }
}

#[cfg(test)]
mod tests {
    use schema::Tenant;

    use super::*;
    use crate::verdict::evidence::Source;

    /// Scenario: a clock that is slewed, set an hour ahead, and then back by two.
    /// Guarantees: the time goes on evenly, to the second that rows are counted by,
    /// and is told in the wall clock's when that is asked for.
    #[test]
    fn a_jump_moves_no_time() {
        let (start, hour) = (1_795_168_800 * SECOND, 3_600 * SECOND);
        let mut line = Timeline::new(start);
        assert_eq!(line.now(start + SECOND + 9_000_000, SECOND), start + SECOND + 9_000_000);
        assert_eq!(line.jumped(), None);
        let ahead = line.now(start + hour + 2 * SECOND, 2 * SECOND);
        assert!((ahead - start - 2 * SECOND).abs() < SECOND / 2, "{ahead}");
        assert_eq!((line.wall(ahead), line.jumped()), (start + hour + 2 * SECOND, Some(ahead)));
        let back = line.now(start - hour + 3 * SECOND, 3 * SECOND);
        assert!((back - start - 3 * SECOND).abs() < SECOND / 2, "{back}");
        assert_eq!(line.of(start - hour + 4 * SECOND), back + SECOND);
        assert_eq!(line.judged(back), start + hour + 2 * SECOND + SECOND);
    }

    /// Scenario: the clock is set an hour ahead, or back; batches then come from
    /// senders whose clocks were not set, or were.
    /// Guarantees: a stretch is looked for by the time that its rows carry; where
    /// nobody has told yet, where it lies on both sides, and where the clock shows a
    /// time for the second time, no stretch is.
    #[test]
    fn rows_are_looked_for_by_the_time_that_they_carry() {
        let (start, hour) = (1_795_168_800 * SECOND, 3_600 * SECOND);
        let at = |second: i64| start + second * SECOND;
        for (ahead, followed) in [(hour, false), (-hour, false), (hour, true), (-hour, true)] {
            let mut line = Timeline::new(start);
            line.now(at(100), 100 * SECOND);
            assert_eq!(line.carried(at(90), at(100)), Ok((at(90), at(100))));
            for second in 101..3_720 {
                line.now(at(second) + ahead, second * SECOND);
            }
            let untold = line.carried(at(3_710), at(3_719)).unwrap_err();
            assert!(untold.contains("nothing that arrived tells yet"), "{untold}");
            let shift = if followed { ahead } else { 0 };
            let mut batch = Heard {
                tenant: Tenant::default(),
                source: Source::Spans,
                received: at(3_719) + ahead,
                newest: at(3_718) + shift,
                rows: 1,
                services: Vec::new(),
                arrivals: Vec::new(),
            };
            line.translate(&mut batch, at(3_719));
            let stretch = |from, to| line.carried(at(from), at(to));
            let carried = |from, to| Ok((at(from) + shift, at(to) + shift));
            assert_eq!(stretch(3_710, 3_719), carried(3_710, 3_719));
            if followed {
                assert!(stretch(90, 3_719).unwrap_err().contains("before and after"));
            } else {
                assert_eq!(stretch(90, 3_719), carried(90, 3_719));
            }
            let again = stretch(3_600, 3_619);
            assert_eq!(again.is_err(), followed && ahead < 0, "{again:?}");
        }
    }
}
