//! What became of a request: rows, rejected items and remarks.

use std::fmt::{self, Write};

use schema::Rows;

use super::wire::Texts;

/// A decoded request.
#[derive(Debug, Default)]
pub struct Decoded {
    /// None when no item was accepted.
    pub rows: Option<Rows>,
    /// Items that became rows.
    pub accepted: u64,
    pub rejected: Rejected,
    pub warnings: Warnings,
}

impl Decoded {
    /// What the sender should know, for OTLP's `error_message` (G4, G6): what
    /// was rejected and what was cut. None when everything was taken as sent.
    pub fn message(&self) -> Option<String> {
        let mut message = self.rejected.message().unwrap_or_default();
        let cut = self.warnings.get(Warning::DroppedAttribute);
        let short = self.warnings.get(Warning::CutValue);
        for (count, what) in [(cut, "attributes were dropped"), (short, "values were cut")] {
            if count > 0 {
                let sep = if message.is_empty() { "" } else { "; " };
                let _infallible = write!(message, "{sep}{count} {what}: they exceed the limits");
            }
        }
        (!message.is_empty()).then_some(message)
    }
}

/// Why an item was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A span's trace, span or parent id is not one (D1).
    InvalidId,
    /// A data point without a time (D2).
    MissingTime,
    /// A time or count past `i64::MAX` (D3).
    OutOfRange,
    /// Buckets and bounds of a histogram do not fit each other (D4).
    InvalidBuckets,
    /// A number point without a number and without the flag that says so (D5).
    MissingValue,
    /// Values nested past `Limits::max_depth` (G28).
    TooDeep,
    /// Larger than `Limits::max_record_bytes` (D8).
    TooLarge,
}

impl Reason {
    pub const ALL: [Reason; 7] = [
        Reason::InvalidId,
        Reason::MissingTime,
        Reason::OutOfRange,
        Reason::InvalidBuckets,
        Reason::MissingValue,
        Reason::TooDeep,
        Reason::TooLarge,
    ];

    /// The name used in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::InvalidId => "invalid_id",
            Reason::MissingTime => "missing_time",
            Reason::OutOfRange => "out_of_range",
            Reason::InvalidBuckets => "invalid_buckets",
            Reason::MissingValue => "missing_value",
            Reason::TooDeep => "too_deep",
            Reason::TooLarge => "too_large",
        }
    }
}

/// Offenders named in the message; the rest is only counted.
const NAMED: usize = 3;

/// OTLP answers have to stay small (G9).
const MESSAGE_BYTES: usize = 1024;

/// Items that became no rows.
#[derive(Debug, Clone, Default)]
pub struct Rejected {
    counts: [u64; Reason::ALL.len()],
    first: Vec<String>,
}

impl Rejected {
    pub(crate) fn add(&mut self, reason: Reason, offender: impl FnOnce() -> String) {
        self.counts[reason as usize] += 1;
        if self.first.len() < NAMED {
            self.first.push(offender());
        }
    }

    /// All rejected items.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub fn get(&self, reason: Reason) -> u64 {
        self.counts[reason as usize]
    }

    /// The reasons that occurred, with their counts.
    pub fn reasons(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL.into_iter().map(|reason| (reason, self.get(reason))).filter(|(_, n)| *n > 0)
    }

    /// English, at most 1 KiB, naming the first offenders; None when nothing
    /// was rejected.
    pub fn message(&self) -> Option<String> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let mut message = format!("{count} rejected (");
        for (index, (reason, count)) in self.reasons().enumerate() {
            let sep = if index == 0 { "" } else { ", " };
            let _infallible = write!(message, "{sep}{}: {count}", reason.as_str());
        }
        message.push_str("): ");
        message.push_str(&self.first.join("; "));
        if count > self.first.len() as u64 {
            let _infallible = write!(message, "; and {} more", count - self.first.len() as u64);
        }
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES));
        Some(message)
    }
}

/// Something odd that rejected nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Warning {
    /// A text with bytes that are not UTF-8, replaced by U+FFFD (G26).
    InvalidUtf8,
    /// A key given again in one set; the last one counts (D7).
    DuplicateKey,
    /// An attribute past the limit of its set (D8).
    DroppedAttribute,
    /// A value cut to the limit (D8).
    CutValue,
    /// A value of a kind that only profiles have, taken as empty (G27).
    UnknownValue,
    /// An enum given by its name in JSON (J8).
    EnumName,
    /// An id of a log, link or exemplar that is not one, stored as NULL (D1).
    InvalidId,
    /// A span without a start time (D2).
    MissingTime,
    /// A span that ends before it starts (D2).
    EndBeforeStart,
    /// A histogram whose count is not the sum of its buckets (D4).
    CountMismatch,
    /// A metric without data, or with data of an unknown kind (D13).
    EmptyMetric,
}

impl Warning {
    pub const ALL: [Warning; 11] = [
        Warning::InvalidUtf8,
        Warning::DuplicateKey,
        Warning::DroppedAttribute,
        Warning::CutValue,
        Warning::UnknownValue,
        Warning::EnumName,
        Warning::InvalidId,
        Warning::MissingTime,
        Warning::EndBeforeStart,
        Warning::CountMismatch,
        Warning::EmptyMetric,
    ];

    /// The name used in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Warning::InvalidUtf8 => "invalid_utf8",
            Warning::DuplicateKey => "duplicate_key",
            Warning::DroppedAttribute => "dropped_attribute",
            Warning::CutValue => "cut_value",
            Warning::UnknownValue => "unknown_value",
            Warning::EnumName => "enum_name",
            Warning::InvalidId => "invalid_id",
            Warning::MissingTime => "missing_time",
            Warning::EndBeforeStart => "end_before_start",
            Warning::CountMismatch => "count_mismatch",
            Warning::EmptyMetric => "empty_metric",
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Remarks, counted by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Warnings {
    counts: [u64; Warning::ALL.len()],
}

impl Warnings {
    pub(crate) fn add(&mut self, warning: Warning) {
        self.add_n(warning, 1);
    }

    pub(crate) fn add_n(&mut self, warning: Warning, count: u64) {
        self.counts[warning as usize] += count;
    }

    pub fn get(&self, warning: Warning) -> u64 {
        self.counts[warning as usize]
    }

    /// The warnings that occurred, with their counts.
    pub fn kinds(&self) -> impl Iterator<Item = (Warning, u64)> + '_ {
        Warning::ALL.into_iter().map(|warning| (warning, self.get(warning))).filter(|(_, n)| *n > 0)
    }
}

/// What a decoder keeps beside the values: remarks, and whether the value at
/// hand was nested past the limit (its content is then left out).
#[derive(Debug, Default)]
pub(crate) struct Notes<'a> {
    /// Of a protobuf body.
    pub texts: Texts<'a>,
    pub warnings: Warnings,
    pub too_deep: bool,
    pub max_depth: usize,
}

/// Reading and rendering recurse by level; a configured limit past this one
/// would trade a rejection for the stack.
const DEEPEST: usize = 100;

impl Notes<'_> {
    pub fn new(max_depth: usize) -> Self {
        Notes { max_depth: max_depth.min(DEEPEST), ..Notes::default() }
    }
}
