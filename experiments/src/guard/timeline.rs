//! The time that guards go by. It is the wall clock's as long as that runs evenly,
//! and goes on evenly when it is set: a window that lost its rows to a jump would
//! stop every run. What rows and statements say is the wall clock's, and is
//! translated here.

use super::reduce::Heard;
use super::ring::SECOND;

/// What a clock is slewed by between two looks is less.
const JUMP: i64 = SECOND;
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
}

impl Timeline {
    pub fn new(wall: i64) -> Timeline {
        Timeline { wall, since: 0, ahead: 0, jumped: None }
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

    /// What a batch told, in this time.
    pub fn translate(&self, heard: &mut Heard, now: i64) {
        if self.ahead == 0 {
            return;
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
    use super::*;

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
    }
}
