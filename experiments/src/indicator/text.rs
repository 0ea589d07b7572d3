//! Pieces of SQL that all statements share.

use std::time::{Duration, UNIX_EPOCH};

use super::stratum::Stratum;
use crate::document::units::Period;
use crate::window::{BUCKET, Span};

/// How far outside of a stretch the other end of a call is looked for: calls
/// that end late, clocks that differ.
const MARGIN: Period = Period::secs(600);

/// The same around pieces of history, which only tell how much an indicator varies:
/// more would be most of what lies between them.
const NEAR_PIECES: Period = Period::secs(60);

/// Cells of durations are a hundredth of an e-fold wide, about 1 %: fine enough
/// for every tolerance, and few enough to send.
pub const CELLS: f64 = 100.0;

/// A text literal.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A time as SQL compares it, to the microsecond.
pub fn instant(nanos: i64) -> String {
    let since = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
    format!("'{}'", humantime::format_rfc3339_micros(UNIX_EPOCH + since))
}

/// A stretch of buckets as predicates and expressions.
#[derive(Debug, Clone, Copy)]
pub struct Stretch<'a> {
    pub span: Span,
    pub judged: i64,
    /// The traces that are looked at, where these are not all.
    pub stratum: Option<&'a Stratum>,
    /// What is usual, for what is measured by its difference from that.
    pub usual: Option<Span>,
    /// The parts of the span that are looked at, in order, where these are not all.
    pub pieces: Option<&'a [Span]>,
}

impl<'a> Stretch<'a> {
    pub fn new(span: Span, judged: i64) -> Stretch<'a> {
        Stretch { span, judged, stratum: None, usual: None, pieces: None }
    }

    /// `{window}`: rows of the stretch that were known when it was judged.
    pub fn window(&self) -> String {
        let window = self.around(Period::default());
        match self.stratum {
            Some(stratum) => format!("{window}\nAND {}", stratum.predicate(&self.near())),
            None => window,
        }
    }

    /// The same with room for the other ends of calls.
    pub fn near(&self) -> String {
        self.around(if self.pieces.is_some() { NEAR_PIECES } else { MARGIN })
    }

    /// Rows of the stretch and so far around it.
    fn around(&self, margin: Period) -> String {
        let margin = margin.nanos();
        let whole = [self.span];
        let mut wide: Vec<(i64, i64)> = Vec::new();
        for piece in self.pieces.unwrap_or(&whole) {
            let (from, to) = (piece.from.saturating_sub(margin), piece.to().saturating_add(margin));
            match wide.last_mut() {
                Some(last) if last.1 >= from => last.1 = to,
                _ => wide.push((from, to)),
            }
        }
        let known = format!("ingest_time <= {}", instant(self.judged));
        let of = |(from, to): &(i64, i64)| {
            format!("time >= {} AND time < {}", instant(*from), instant(*to))
        };
        match wide.as_slice() {
            [] => "false".to_owned(),
            [one] => format!("{} AND {known}", of(one)),
            all => {
                let each: Vec<String> = all.iter().map(|one| format!("({})", of(one))).collect();
                format!("({}) AND {known}", each.join("\n OR "))
            }
        }
    }

    /// The number of the bucket that a time in nanoseconds lies in.
    pub fn bucket(&self, column: &str) -> String {
        format!("CAST(({column} - {}) / {} AS BIGINT) AS bucket", self.span.from, BUCKET.nanos())
    }
}

/// The cell of a duration in nanoseconds. None is under a microsecond: clocks
/// of two hosts can make a gap negative.
pub fn cell(nanos: &str) -> String {
    format!("CAST(floor(ln(greatest({nanos}, 1000)) * {CELLS}) AS BIGINT) AS cell")
}

/// The middle of a cell, in milliseconds.
pub fn cell_millis(cell: i64) -> f64 {
    ((cell as f64 + 0.5) / CELLS).exp() / 1e6
}

/// How many rows fulfil a condition.
pub fn counted(condition: &str, name: &str) -> String {
    format!("sum(CASE WHEN {condition} THEN 1 ELSE 0 END) AS {name}")
}
