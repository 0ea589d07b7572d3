//! What goes wrong, with which requests, and when.

use std::ops::Range;
use std::time::Duration;

use object_store::Error;
use object_store::path::Path;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    Put,
    /// A part of a multipart upload, or its beginning.
    Part,
    /// The end of a multipart upload.
    Complete,
    Get,
    Head,
    List,
    Delete,
    Copy,
}

impl Op {
    pub const ALL: &[Op] =
        &[Op::Put, Op::Part, Op::Complete, Op::Get, Op::Head, Op::List, Op::Delete, Op::Copy];
    pub const READS: &[Op] = &[Op::Get, Op::Head, Op::List];
    pub const WRITES: &[Op] = &[Op::Put, Op::Part, Op::Complete, Op::Delete, Op::Copy];
}

/// How a store says no, as `object_store` tells of it once its own retries are
/// used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Reset,
    Internal500,
    SlowDown503,
    TooMany429,
    Denied403,
    Expired401,
    /// "Something has that name", true or not.
    Taken412,
}

impl Answer {
    pub fn error(self, at: &Path) -> Error {
        let path = at.to_string();
        let source = |text: &str| Box::<dyn std::error::Error + Send + Sync>::from(text.to_owned());
        let generic = |text: &str| Error::Generic { store: "faulty", source: source(text) };
        match self {
            Answer::Reset => generic("connection reset by peer"),
            Answer::Internal500 => generic("500 Internal Server Error: InternalError"),
            Answer::SlowDown503 => generic("503 Service Unavailable: SlowDown"),
            Answer::TooMany429 => generic("429 Too Many Requests"),
            Answer::Denied403 => Error::PermissionDenied { path, source: source("AccessDenied") },
            Answer::Expired401 => Error::Unauthenticated { path, source: source("ExpiredToken") },
            Answer::Taken412 => Error::AlreadyExists { path, source: source("PreconditionFailed") },
        }
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// Nothing is done.
    Before(Answer),
    /// It is done, and the answer says no.
    After(Answer),
    /// Nothing is done, and nothing is ever answered.
    Swallowed,
    /// It is done, and nothing is ever answered.
    Silent,
    /// It is on its way for so long. Goes together with other faults.
    Slow(Duration),
    /// It is done at once, and the answer takes so long.
    Late(Duration),
    /// A put fails by a reset, and arrives right before the request that comes
    /// so many later.
    Lands(u32),
    /// It arrives twice; the second answer counts.
    Twice,
    /// 200, with an error inside: a write is not done, a read's body is the
    /// error's document.
    Lies,
    /// The body breaks off in the middle, and the connection says so.
    Cut,
    /// The body ends in the middle, and nothing says so.
    Short,
    /// One bit of the body is another.
    Flips,
    /// The ETag is another object's.
    WrongTag,
    /// A list lacks the objects that came last, so many of them.
    Stale(usize),
    /// A put-if-absent replaces what is there.
    Replaces,
    /// It is done; then the entry of another writer takes the name, as on a
    /// store that does not honour put-if-absent.
    Overwritten,
}

impl Fault {
    /// For the counts.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Before(Answer::Denied403) => "denied",
            Fault::Before(Answer::Expired401) => "expired",
            Fault::Before(Answer::SlowDown503 | Answer::TooMany429) => "throttled",
            Fault::Before(_) => "refused",
            Fault::After(_) => "answer lost",
            Fault::Swallowed => "swallowed",
            Fault::Silent => "silent",
            Fault::Slow(_) => "slow",
            Fault::Late(_) => "late",
            Fault::Lands(_) => "landed later",
            Fault::Twice => "twice",
            Fault::Lies => "lied",
            Fault::Cut => "cut",
            Fault::Short => "short",
            Fault::Flips => "flipped",
            Fault::WrongTag => "wrong tag",
            Fault::Stale(_) => "stale",
            Fault::Replaces => "replaced",
            Fault::Overwritten => "overwritten",
        }
    }
}

/// Which requests meet a fault. All of them, unless told otherwise.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(super) fault: Fault,
    ops: Vec<Op>,
    at: String,
    chance: f64,
    nth: Option<u64>,
    times: u64,
    during: Option<Range<Duration>>,
    met: u64,
}

impl Rule {
    pub fn new(fault: Fault) -> Rule {
        Rule {
            fault,
            ops: Op::ALL.to_vec(),
            at: "*".into(),
            chance: 1.0,
            nth: None,
            times: u64::MAX,
            during: None,
            met: 0,
        }
    }

    pub fn on(mut self, ops: &[Op]) -> Rule {
        self.ops = ops.to_vec();
        self
    }

    /// `*` stands for anything: `*/_delta_log/*.json`.
    pub fn at(mut self, pattern: &str) -> Rule {
        self.at = pattern.into();
        self
    }

    /// 0.0 to 1.0.
    pub fn chance(mut self, chance: f64) -> Rule {
        self.chance = chance;
        self
    }

    /// The n-th of the requests that it is about, from 1, and no other.
    pub fn nth(mut self, n: u64) -> Rule {
        self.nth = Some(n);
        self
    }

    /// At most so often.
    pub fn times(mut self, times: u64) -> Rule {
        self.times = times;
        self
    }

    /// Between two moments, counted from the store's making.
    pub fn during(mut self, during: Range<Duration>) -> Rule {
        self.during = Some(during);
        self
    }

    /// Whether the fault strikes a request that it may strike; `roll` is below
    /// 1.0.
    pub(super) fn strikes(
        &mut self,
        (op, at, since): (Op, &Path, Duration),
        roll: f64,
        may: bool,
    ) -> bool {
        let about = self.ops.contains(&op)
            && matches(&self.at, at.as_ref())
            && self.during.as_ref().is_none_or(|during| during.contains(&since));
        if !about {
            return false;
        }
        self.met += 1;
        if !may || self.nth.is_some_and(|nth| nth != self.met) {
            return false;
        }
        if roll >= self.chance || self.times == 0 {
            return false;
        }
        self.times -= 1;
        true
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else { return rest.is_empty() };
    for piece in middle {
        match rest.find(piece) {
            Some(found) => rest = &rest[found + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Scenario: patterns with and without stars against paths.
/// Guarantees: a rule is about the paths it names and no others.
#[test]
fn a_pattern_names_paths() {
    let entry = "default/logs/_delta_log/00000000000000000003.json";
    assert!(matches("*", entry) && matches("*_delta_log/*.json", entry));
    assert!(matches("default/logs/*", entry) && matches(entry, entry));
    assert!(!matches("logs/*", entry) && !matches("*.parquet", entry));
    assert!(!matches("default", entry) && !matches("*.json*.json", entry));
}
