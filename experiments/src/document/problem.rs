//! What is wrong with a document, and where.

use std::fmt;

/// A place in a file, both counted from 1; 0 when unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: u64,
    pub column: u64,
}

impl Place {
    pub fn new(line: u64, column: u64) -> Place {
        Place { line, column }
    }
}

/// One thing that is wrong, and where it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub place: Place,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.line > 0 {
            write!(f, "line {}, column {}: ", self.place.line, self.place.column)?;
        }
        f.write_str(&self.message)
    }
}

/// A document that cannot be used: everything that is wrong with it, in the
/// order of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Invalid(pub Vec<Problem>);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// Where the parts of a document put what they find wrong, so that all of it is
/// told at once.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    pub fn add(&mut self, place: Place, message: impl Into<String>) {
        self.0.push(Problem { place, message: message.into() });
    }

    pub fn or<T>(mut self, value: T) -> Result<T, Invalid> {
        if self.0.is_empty() {
            return Ok(value);
        }
        self.0.sort_by_key(|problem| problem.place);
        Err(Invalid(self.0))
    }
}
