//! The names that are completed, and where they come from: tables and columns
//! from what the target lists, functions from its catalog, attribute keys from
//! `system.attributes`, which is a scan and therefore asked for only when the
//! first key is wanted.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::super::target::Target;
use super::looks::{list, sql_name, text};

pub const FUNCTIONS: &str =
    "SELECT DISTINCT routine_name FROM information_schema.routines ORDER BY 1";
const KEYS: &str = "SELECT DISTINCT key FROM system.attributes ORDER BY 1 LIMIT 10000";

/// How long somebody who pressed Tab waits for keys. After that the statement
/// is cancelled, and only keys that have columns are known.
const PATIENCE: Duration = Duration::from_secs(3);

/// The names that are known.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// As they are written in SQL.
    pub tables: BTreeSet<String>,
    /// Those with dots in the quotes that SQL wants.
    pub columns: BTreeSet<String>,
    pub functions: BTreeSet<String>,
    pub keys: BTreeSet<String>,
}

pub struct Names {
    target: Arc<Target>,
    known: Mutex<Arc<Known>>,
    /// Whether the keys were asked for.
    asked: Mutex<bool>,
}

impl Names {
    pub fn new(target: Arc<Target>) -> Names {
        Names { target, known: Mutex::default(), asked: Mutex::default() }
    }

    pub fn known(&self) -> Arc<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn learn(&self, learn: impl FnOnce(&mut Known)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        learn(Arc::make_mut(&mut known));
    }

    /// Asks for tables, columns and functions, if they are not known yet.
    pub async fn load(&self) -> Result<()> {
        if self.known().tables.is_empty() {
            let tables = self.target.tables().await?;
            self.learn(|known| known.list(&tables));
        }
        if self.known().functions.is_empty() {
            let functions = self.target.texts(FUNCTIONS).await?;
            self.learn(|known| known.functions.extend(functions));
        }
        Ok(())
    }

    /// Asks for the keys, once. Blocks: it is called from the editor's thread.
    pub fn load_keys(&self, runtime: &Handle) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *asked, true) {
            return;
        }
        match runtime.block_on(timeout(PATIENCE, self.target.texts(KEYS))) {
            Ok(Ok(keys)) => self.learn(|known| known.keys.extend(keys)),
            Ok(Err(error)) => {
                // Asked again at the next Tab: the daemon may be back.
                *asked = false;
                tracing::debug!(error = %format!("{error:#}"), "no keys to complete");
            }
            Err(_) => tracing::debug!("listing the keys takes too long"),
        }
    }
}

impl Known {
    /// Takes the names of a list of tables. A column with a dot in its name is
    /// a promoted key.
    pub fn list(&mut self, tables: &serde_json::Value) {
        for table in list(tables, "tables") {
            self.tables.insert(sql_name(table));
            for column in list(table, "columns") {
                let name = text(column, "name");
                let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                self.columns.insert(if plain { name.to_owned() } else { format!("\"{name}\"") });
                if name.contains('.') {
                    self.keys.insert(name.to_owned());
                }
            }
        }
    }
}
