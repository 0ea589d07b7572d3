//! The one seam to the engine.

use async_trait::async_trait;
use serde_json::Value;

use crate::Error;

/// Answers a reading SQL statement. Implemented by the daemon's HTTP client and
/// by tests. Obligations: (1) all rows, or `complete` and `truncated` say so;
/// (2) numbers as JSON numbers, NaN and the infinities as text; (3) an error is
/// an error, never an empty answer.
#[async_trait]
pub trait Ask: Send + Sync {
    async fn ask(&self, statement: &str) -> Result<Table, Error>;
}

/// Rows by column.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Value>>,
    /// What the engine could not see, in its words.
    pub incomplete: Vec<String>,
    /// Rows beyond a limit were cut.
    pub truncated: bool,
}
