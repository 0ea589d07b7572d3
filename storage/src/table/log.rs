//! The lines of a Delta log entry, as far as they concern us. Unknown actions
//! and fields are passed over, as the protocol asks.

use std::collections::BTreeMap;

use object_store::path::Path;
use schema::{Position, WalId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// One line: exactly one of the fields is set.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_info: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta_data: Option<Metadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub txn: Option<Txn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add: Option<Add>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove: Option<Remove>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Protocol {
    pub min_reader_version: u32,
    pub min_writer_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader_features: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer_features: Option<Vec<String>>,
}

impl Protocol {
    /// Whether its actions are those of this file, with no fields but these.
    pub fn is_written_here(&self) -> bool {
        let features = self.writer_features.as_deref().unwrap_or_default();
        let known = |feature: &String| feature == "appendOnly" || feature == "invariants";
        self.min_writer_version <= 2 || self.min_writer_version == 7 && features.iter().all(known)
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub format: Value,
    pub schema_string: String,
    pub partition_columns: Vec<String>,
    #[serde(default)]
    pub configuration: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_time: Option<i64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Txn {
    pub app_id: String,
    pub version: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_updated: Option<i64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Add {
    /// Relative to the table, percent-encoded.
    pub path: String,
    pub partition_values: BTreeMap<String, Option<String>>,
    pub size: u64,
    /// Milliseconds since 1970.
    pub modification_time: i64,
    pub data_change: bool,
    /// What other tools note of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, Option<String>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_vector: Option<Value>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Remove {
    /// As its Add wrote it.
    pub path: String,
    /// Milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<i64>,
    #[serde(default)]
    pub data_change: bool,
    /// Says that the two below are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended_file_metadata: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_values: Option<BTreeMap<String, Option<String>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// The field of `commitInfo` by which a writer knows an entry for its own.
const OPERATION_ID: &str = "operationId";

impl Line {
    /// The first line of an entry. `millis` is the store's time of what it
    /// commits, not this node's clock; an entry without files has none.
    pub fn info(operation: &str, parameters: Value, append: bool, millis: Option<i64>) -> Line {
        let mut info = json!({
            "operation": operation,
            "operationParameters": parameters,
            "isBlindAppend": append,
            "engineInfo": concat!("cloudsail/", env!("CARGO_PKG_VERSION")),
        });
        if let Some(millis) = millis {
            info["timestamp"] = millis.into();
        }
        Line { commit_info: Some(info), ..Line::default() }
    }

    /// Marks an [`info`](Self::info) line, so that its writer finds it (C3). The
    /// mark begins with the writer's log id.
    pub fn marked(mut self, operation_id: &str) -> Line {
        if let Some(info) = &mut self.commit_info {
            info[OPERATION_ID] = operation_id.into();
        }
        self
    }

    /// The mark of this line, if it has one.
    pub fn operation_id(&self) -> Option<&str> {
        self.commit_info.as_ref()?.get(OPERATION_ID)?.as_str()
    }

    /// C1: the watermark travels with the files.
    pub fn watermark(wal_id: WalId, last: Position) -> Line {
        let version = i64::try_from(last.0).unwrap_or(i64::MAX);
        Line::from(Txn { app_id: wal_id.to_string(), version, last_updated: None })
    }
}

impl From<Add> for Line {
    fn from(add: Add) -> Line {
        Line { add: Some(add), ..Line::default() }
    }
}

impl From<Remove> for Line {
    fn from(remove: Remove) -> Line {
        Line { remove: Some(remove), ..Line::default() }
    }
}

impl From<Txn> for Line {
    fn from(txn: Txn) -> Line {
        Line { txn: Some(txn), ..Line::default() }
    }
}

impl From<Metadata> for Line {
    fn from(metadata: Metadata) -> Line {
        Line { meta_data: Some(metadata), ..Line::default() }
    }
}

impl From<Protocol> for Line {
    fn from(protocol: Protocol) -> Line {
        Line { protocol: Some(protocol), ..Line::default() }
    }
}

/// Where the entry of a version lies, from the table's folder.
pub fn entry_path(version: u64) -> Path {
    Path::from_iter(["_delta_log".to_owned(), format!("{version:020}.json")])
}

/// The bytes of an entry.
pub fn write(lines: &[Line]) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut bytes, line)?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

pub fn read(bytes: &[u8]) -> Result<Vec<Line>, serde_json::Error> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.trim_ascii().is_empty())
        .map(serde_json::from_slice)
        .collect()
}
