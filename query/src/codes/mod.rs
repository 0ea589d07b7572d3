//! Grouping by text as by numbers.
//!
//! `GROUP BY service_name` hashes and compares ten million texts that are
//! twenty-five. Of the columns that hold few distinct texts ([`is_few`]) the
//! rule turns the grouping into one by codes, and the groups back into text:
//!
//! ```text
//! Projection: code_text(c) AS service_name, n
//!   Aggregate: groupBy=[text_code(service_name) AS c], count(*) AS n
//! ```
//!
//! `status_code = 'ERROR'` in what is counted becomes `text_code(status_code) = 7`.
//!
//! `text_code` moves down into the scan, which hands it the dictionary of the
//! file instead of text ([`crate::scan`]). Any text gets a code, so a wrong
//! guess costs memory, which is the statement's own, and never the answer.
//!
//! | file | what |
//! | --- | --- |
//! | this | [`Codes`]: text to code and back, one per statement |
//! | [`functions`] | `text_code` and `code_text` |
//! | [`rule`] | which groupings and comparisons |

mod functions;
mod rule;

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use parking_lot::Mutex;

pub(crate) use functions::is_text_code;
pub(crate) use rule::ByCode;

/// Columns of few distinct texts, whatever the table.
const FEW: &[&str] = &[
    "service_name",
    "service_namespace",
    "service_version",
    "deployment_environment",
    "kind",
    "status_code",
    "severity",
    "severity_text",
    "metric_name",
    "http.route",
    "http.request.method",
    "rpc.method",
    "rpc.service",
    "db.system.name",
    "db.operation.name",
    "error.type",
    "exception.type",
    "k8s.cluster.name",
    "k8s.namespace.name",
    "k8s.node.name",
    "k8s.deployment.name",
    "k8s.pod.name",
    "cloud.region",
];

/// Whether a column is thought to hold few distinct texts.
pub(crate) fn is_few(column: &str) -> bool {
    FEW.contains(&column)
}

/// The codes of one statement: each distinct text has one, from 0.
pub(crate) struct Codes(Mutex<Known>);

struct Known {
    codes: HashMap<Arc<str>, i32>,
    texts: Vec<Arc<str>>,
    memory: MemoryReservation,
}

impl Codes {
    pub fn new(pool: &Arc<dyn MemoryPool>) -> Arc<Codes> {
        let memory = MemoryConsumer::new("codes of texts").register(pool);
        Arc::new(Codes(Mutex::new(Known { codes: HashMap::new(), texts: Vec::new(), memory })))
    }

    /// The codes of texts, in their order.
    fn codes<'a>(
        &self,
        texts: impl Iterator<Item = Option<&'a str>>,
    ) -> Result<Vec<Option<i32>>, DataFusionError> {
        let mut known = self.0.lock();
        texts.map(|text| text.map(|text| known.code(text)).transpose()).collect()
    }

    /// The code of one text.
    fn code(&self, text: &str) -> Result<i32, DataFusionError> {
        self.0.lock().code(text)
    }

    /// The text of each code that was given out so far.
    fn texts(&self) -> Vec<Arc<str>> {
        self.0.lock().texts.clone()
    }
}

impl Known {
    fn code(&mut self, text: &str) -> Result<i32, DataFusionError> {
        if let Some(code) = self.codes.get(text) {
            return Ok(*code);
        }
        // The text, and its places in both collections.
        self.memory.try_grow(text.len() + 96)?;
        let code = i32::try_from(self.texts.len()).map_err(|_| {
            DataFusionError::ResourcesExhausted("more than 2^31 distinct texts".into())
        })?;
        let text: Arc<str> = text.into();
        self.texts.push(text.clone());
        self.codes.insert(text, code);
        Ok(code)
    }
}

impl std::fmt::Debug for Codes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Codes").field("known", &self.0.lock().texts.len()).finish()
    }
}
