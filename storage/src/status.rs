//! What a running storage says of itself.

use serde::Serialize;

use crate::disk::Space;
use crate::live::LiveSet;

/// For `/api/v1/status` and the shutdown log.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    pub wal_id: String,
    pub wal_bytes: u64,
    pub wal_last_position: u64,
    /// Why appends are refused, if they are.
    pub refusing: Option<String>,
    pub stage_bytes: u64,
    pub stage_limit_bytes: u64,
    /// Until the stage is full at the rate of late, if nothing is committed;
    /// `null` when nothing is staged.
    pub stage_lasts_seconds: Option<u64>,
    /// Bytes of local copies of committed files.
    pub cache_bytes: u64,
    pub memory_used_bytes: u64,
    pub memory_limit_bytes: u64,
    pub disk: Option<Space>,
    pub tables: Vec<TableStatus>,
}

#[derive(Debug, Clone, Serialize)]
pub struct TableStatus {
    pub tenant: String,
    pub table: &'static str,
    /// `null` while the table is not loaded or does not exist.
    pub version: Option<u64>,
    pub files: usize,
    pub watermark: Option<u64>,
    pub hot_rows: u64,
    pub hot_bytes: u64,
    pub sealed_ranges: usize,
    pub staged_ranges: usize,
    pub staged_bytes: u64,
    /// Why `version` may be behind, if it may.
    pub incomplete: Option<String>,
}

impl TableStatus {
    /// Every table, derived ones after their base.
    pub(crate) fn all(live: &LiveSet) -> Vec<TableStatus> {
        let mut tables = Vec::new();
        for live in live.all() {
            for (output, table) in live.outputs().iter().enumerate() {
                let committed = live.committed(output);
                let status = if output == 0 { live.status() } else { Default::default() };
                tables.push(TableStatus {
                    tenant: live.tenant.to_string(),
                    table: table.name,
                    version: committed.as_ref().map(|c| c.version.0),
                    files: committed.as_ref().map_or(0, |c| c.files.len()),
                    watermark: committed.as_ref().map(|c| c.watermark.0),
                    hot_rows: status.hot_rows,
                    hot_bytes: status.hot_bytes,
                    sealed_ranges: status.sealed,
                    staged_ranges: status.staged,
                    staged_bytes: status.staged_bytes,
                    incomplete: live.incomplete(output),
                });
            }
        }
        tables
    }
}
