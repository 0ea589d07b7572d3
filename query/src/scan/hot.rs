//! Rows that are in memory only. The statement's view holds the snapshot, and
//! with it the reservation that pays for them, until the last row is out (B1).

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::catalog::Session;
use datafusion::common::DataFusionError;
use datafusion::datasource::memory::{DataSourceExec, MemorySourceConfig};
use datafusion::physical_plan::ExecutionPlan;
use storage::Snapshot;

pub(super) fn plan(
    snapshot: &Snapshot,
    state: &dyn Session,
    projection: Option<&Vec<usize>>,
    limit: Option<usize>,
) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let config = state.config();
    let pieces = sliced(snapshot, config.batch_size());
    let partitions = config.target_partitions().min(pieces.len()).max(1);
    let mut spread: Vec<Vec<RecordBatch>> = vec![Vec::new(); partitions];
    for (index, piece) in pieces.into_iter().enumerate() {
        spread[index % partitions].push(piece);
    }
    let schema = snapshot.table.schema.clone();
    let source = MemorySourceConfig::try_new(&spread, schema, projection.cloned())?
        .with_limit(limit)
        .with_show_sizes(false);
    Ok(DataSourceExec::from_data_source(source))
}

/// No piece is larger than a batch, so that a statement can be cancelled and
/// divided between any two of them. Slicing copies nothing.
fn sliced(snapshot: &Snapshot, size: usize) -> Vec<RecordBatch> {
    let mut pieces = Vec::new();
    for hot in snapshot.hot.iter() {
        let mut from = 0;
        while from < hot.rows.num_rows() {
            let rows = size.min(hot.rows.num_rows() - from);
            pieces.push(hot.rows.slice(from, rows));
            from += rows;
        }
    }
    pieces
}
