//! Rows that are in memory only. The statement's view holds the snapshot, and
//! with it the reservation that pays for them, until the last row is out (B1).
//!
//! What a resource and a scope say of them stands once there; each piece is
//! given the columns that were asked for as it is read.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Statistics, project_schema};
use datafusion::datasource::memory::DataSourceExec;
use datafusion::datasource::source::DataSource;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::coop::cooperative;
use datafusion::physical_plan::execution_plan::SchedulingType;

use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan};
use futures::stream;
use schema::Rows;
use storage::Snapshot;

/// Bytes that a piece may take when it is given what its origins say.
const PIECE_BYTES: usize = 64 << 20;

pub(super) fn plan(
    snapshot: &Snapshot,
    state: &dyn Session,
    projection: Option<&Vec<usize>>,
    limit: Option<usize>,
) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let config = state.config();
    // No piece is larger than a batch, so that a statement can be cancelled and
    // divided between any two of them. Slicing copies nothing.
    let pieces = |rows: &Rows| rows.pieces(config.batch_size(), PIECE_BYTES).collect::<Vec<_>>();
    let pieces: Vec<Rows> = snapshot.hot.iter().flat_map(|hot| pieces(&hot.rows)).collect();
    let mut partitions = vec![Vec::new(); config.target_partitions().min(pieces.len()).max(1)];
    let count = partitions.len();
    for (index, piece) in pieces.into_iter().enumerate() {
        partitions[index % count].push(piece);
    }
    let table = &snapshot.table.schema;
    let columns = projection.cloned().unwrap_or_else(|| (0..table.fields().len()).collect());
    let schema = project_schema(table, projection)?;
    let partitions = partitions.into_iter().map(Arc::from).collect();
    Ok(DataSourceExec::from_data_source(Hot { partitions, columns, schema, fetch: limit }))
}

#[derive(Debug, Clone)]
struct Hot {
    partitions: Vec<Arc<[Rows]>>,
    /// Those of the table that are asked for.
    columns: Vec<usize>,
    schema: SchemaRef,
    /// Rows of each partition that are enough.
    fetch: Option<usize>,
}

impl DataSource for Hot {
    fn open(
        &self,
        partition: usize,
        _context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        let (pieces, columns) = (self.partitions[partition].clone(), self.columns.clone());
        let start = (0, self.fetch.unwrap_or(usize::MAX));
        let rows = stream::try_unfold(start, move |(next, left)| {
            let piece = pieces.get(next).filter(|_| left > 0);
            let read = piece.map(|rows| {
                let count = left.min(rows.num_rows());
                let batch = rows.slice(0, count).project(&columns)?;
                Ok((batch, (next + 1, left - count)))
            });
            std::future::ready(read.transpose())
        });
        let rows = RecordBatchStreamAdapter::new(self.schema.clone(), rows);
        Ok(Box::pin(cooperative(rows)))
    }

    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match t {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "hot, partitions={}", self.partitions.len())?;
                self.fetch.map_or(Ok(()), |fetch| write!(f, ", fetch={fetch}"))
            }
            DisplayFormatType::TreeRender => writeln!(f, "format=hot"),
        }
    }

    fn output_partitioning(&self) -> Partitioning {
        Partitioning::UnknownPartitioning(self.partitions.len())
    }

    fn eq_properties(&self) -> EquivalenceProperties {
        EquivalenceProperties::new(self.schema.clone())
    }

    fn scheduling_type(&self) -> SchedulingType {
        SchedulingType::Cooperative
    }

    fn partition_statistics(
        &self,
        partition: Option<usize>,
    ) -> Result<Arc<Statistics>, DataFusionError> {
        let of = match partition {
            Some(partition) => self.partitions.get(partition..=partition).unwrap_or_default(),
            None => &self.partitions,
        };
        let rows = of.iter().flat_map(|pieces| pieces.iter()).map(Rows::num_rows).sum();
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Exact(rows);
        Ok(Arc::new(statistics))
    }

    fn with_fetch(&self, fetch: Option<usize>) -> Option<Arc<dyn DataSource>> {
        Some(Arc::new(Hot { fetch, ..self.clone() }))
    }

    fn fetch(&self) -> Option<usize> {
        self.fetch
    }

    fn try_swapping_with_projection(
        &self,
        _projection: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn DataSource>>, DataFusionError> {
        Ok(None)
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion, DataFusionError>,
    ) -> Result<TreeNodeRecursion, DataFusionError> {
        Ok(TreeNodeRecursion::Continue)
    }
}
