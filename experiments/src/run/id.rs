//! Names of runs. They come from outside and end in URLs and statements, so only
//! harmless ones exist.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// 1 to 128 of `A-Z a-z 0-9 . _ : @ + -`, beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(Arc<str>);

impl RunId {
    pub fn new(name: &str) -> Result<RunId, InvalidRunId> {
        let legal = |c: char| c.is_ascii_alphanumeric() || "._:@+-".contains(c);
        let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if begins && name.len() <= 128 && name.chars().all(legal) {
            Ok(RunId(name.into()))
        } else {
            Err(InvalidRunId)
        }
    }

    /// The nearest name of a text that may be none: for what an injector calls
    /// its own objects.
    pub fn near(text: &str) -> Result<RunId, InvalidRunId> {
        let tame =
            |c: char| if c.is_ascii_alphanumeric() || "._:@+-".contains(c) { c } else { '-' };
        let name: String = text.chars().map(tame).take(128).collect();
        RunId::new(name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for RunId {
    type Error = InvalidRunId;

    fn try_from(name: String) -> Result<RunId, InvalidRunId> {
        RunId::new(&name)
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> String {
        id.0.to_string()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a run id: use 1 to 128 of A-Z a-z 0-9 . _ : @ + -, beginning with a letter or digit")]
pub struct InvalidRunId;
