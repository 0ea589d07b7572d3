//! The Parquet files of one place as a plan node.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, DFSchema, DataFusionError, ScalarValue, Statistics};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::DataSourceExec;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::physical_expr::conjunction as all_of;
use datafusion::physical_expr::expressions::{self, Column};
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use object_store::ObjectMeta;
use object_store::path::Path;
use schema::{ColumnType, TableDef};
use storage::{DataFile, Place};

use super::narrow::{Narrow, Point, Wanted};
use super::reader::{Readers, Rows};
use super::{absent, decode};
use crate::catalog::pins::Pins;
use crate::engine::stop::Stop;
use crate::prune;
use crate::sandbox::stores::Stores;

/// Files that get statistics of their own, by which a running TopK skips
/// them. They take about 20 KiB a file while the statement runs.
const WITH_STATISTICS: usize = 1_000;

/// Files whose footers are read while planning, to say how their text is to be
/// decoded.
const WITH_FOOTERS: usize = 100;

pub(super) struct Scan<'a> {
    pub def: &'a TableDef,
    pub schema: &'a TableSchema,
    pub pins: &'a Pins,
    pub place: Place,
    /// Every match lies between these, whatever the statement says.
    pub times: Option<prune::Range>,
    /// What the statement filters by.
    pub filters: &'a [Expr],
}

impl Scan<'_> {
    pub async fn plan(
        &self,
        state: &dyn Session,
        files: Vec<Arc<DataFile>>,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let options = TableParquetOptions {
            global: state.config_options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        let cache = state.runtime_env().cache_manager.get_file_metadata_cache();
        let store = self.pins.stores.at(self.place).clone();
        let readers = Arc::new(Readers::new(self.def.name, store, cache, self.pins.stats.clone()));
        let mut source = ParquetSource::new(self.schema.clone())
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(readers.clone());
        let points = self.points();
        if !points.is_empty() {
            source = source.with_bloom_filter_on_read(false);
        }
        let known = self.known(state)?;
        if !known.is_empty() {
            source = source.with_predicate(all_of(known));
        }
        let source = Narrow {
            inner: Arc::new(source),
            readers: readers.clone(),
            wanted: Wanted::of(self.filters).into(),
            points: points.into(),
            stop: state.config_options().extensions.get::<Stop>().cloned(),
            sorted: self.def.sort,
            greatest: None,
        };

        let partitions = state.config().target_partitions();
        let total = self.total(&files);
        // One sorted file per group is in order by itself. Several in a group
        // overlap: every flush covers all services and times.
        let ordered = files.len() <= partitions
            && files.iter().all(|f| f.origin.is_some())
            && !self.is_of_times();
        let ordering = if ordered { self.ordering()? } else { Vec::new() };
        let detailed = files.len() <= WITH_STATISTICS;
        let mut groups: Vec<Vec<PartitionedFile>> = Vec::new();
        let coded = files.len() <= WITH_FOOTERS && self.is_better_coded(projection);
        let compared: HashSet<String> = self
            .filters
            .iter()
            .flat_map(|filter| filter.column_refs())
            .map(|column| column.name.clone())
            .collect();
        for group in spread(files, partitions) {
            let mut parts = Vec::with_capacity(group.len());
            for file in group {
                let part = self.file(&file, detailed)?;
                let schema = if coded { readers.schema(&part).await } else { None };
                parts.push(match schema {
                    Some(schema) => part.with_arrow_schema(decode::readable(&schema, &compared)),
                    None => part,
                });
            }
            groups.push(parts);
        }
        let config = FileScanConfigBuilder::new(Stores::url(self.place)?, Arc::new(source))
            .with_file_groups(groups.into_iter().map(FileGroup::new).collect())
            .with_statistics(total)
            .with_output_ordering(ordering)
            .with_limit(limit)
            .with_expr_adapter(Some(Arc::new(decode::Adapters)))
            .with_projection_indices(projection.cloned())?
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    fn is_better_coded(&self, projection: Option<&Vec<usize>>) -> bool {
        let fields = self.schema.table_schema().fields();
        let better =
            |at: &usize| decode::is_better_coded(fields[*at].name(), fields[*at].data_type());
        projection.is_none_or(|columns| columns.iter().any(better))
    }

    /// What every match is known to fulfil, beside the statement's filters.
    fn known(&self, state: &dyn Session) -> Result<Vec<Arc<dyn PhysicalExpr>>, DataFusionError> {
        let times = self.times.map(|times| self.within(times)).transpose()?;
        let implied = conjunction(absent::implied(self.filters));
        let schema = DFSchema::try_from(self.schema.table_schema().clone())?;
        let implied = implied.map(|expr| state.create_physical_expr(expr, &schema)).transpose()?;
        Ok(times.into_iter().chain(implied).collect())
    }

    /// Whether times are asked for: pages that lie within them are read apart
    /// ([`super::narrow`]), which is worth more than an order.
    fn is_of_times(&self) -> bool {
        let is_time = |expr: &Expr| matches!(expr, Expr::Column(column) if column.name == "time");
        let is_bound = |expr: &Expr| match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, .. }) => {
                is_time(left)
                    && matches!(op, Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq)
            }
            _ => false,
        };
        self.filters.iter().flat_map(split_conjunction).any(is_bound)
    }

    /// Texts that are looked for in columns that may have bloom filters.
    fn points(&self) -> Vec<Point> {
        let promoted = |name: &str| {
            self.def.promotions.iter().any(|p| p.kind == ColumnType::Text && p.column == name)
        };
        let bloomed = |name: &str| self.def.bloom.contains(&name) || promoted(name);
        let point = |of: &Expr, text: &Expr| {
            let Expr::Literal(text, _) = text else { return None };
            let (column, unless) = match of {
                Expr::Column(column) => (column.name.as_str(), None),
                of => absent::promoted(of).map(|(column, key)| (column, Some(key)))?,
            };
            let text = text.try_as_str().flatten().filter(|_| bloomed(column))?;
            Some(Point { column: column.to_owned(), text: text.to_owned(), unless })
        };
        let points =
            self.filters.iter().flat_map(split_conjunction).filter_map(|expr| match expr {
                Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                    point(left, right).or_else(|| point(right, left))
                }
                _ => None,
            });
        points.collect()
    }

    fn within(&self, (from, to): prune::Range) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
        let schema = self.schema.table_schema();
        let time = expressions::col("time", schema)?;
        let at = |micros| {
            expressions::lit(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())))
        };
        let after = expressions::binary(time.clone(), Operator::GtEq, at(from), schema)?;
        let before = expressions::binary(time, Operator::LtEq, at(to), schema)?;
        expressions::binary(after, Operator::And, before, schema)
    }

    /// What each file is sorted by (`TableDef::sort`).
    fn ordering(&self) -> Result<Vec<LexOrdering>, DataFusionError> {
        let schema = self.schema.table_schema();
        let mut by = Vec::with_capacity(self.def.sort.len());
        for name in self.def.sort {
            let column = Column::new_with_schema(name, schema)?;
            by.push(PhysicalSortExpr::new_default(Arc::new(column)).asc().nulls_first());
        }
        Ok(LexOrdering::new(by).into_iter().collect())
    }

    fn file(&self, file: &DataFile, detailed: bool) -> Result<PartitionedFile, DataFusionError> {
        // `Path::from` would encode what a tenant's name may hold.
        let location = Path::parse(&file.path)
            .map_err(|error| DataFusionError::ObjectStore(Box::new(error.into())))?;
        let meta = ObjectMeta {
            location,
            // The footer cache compares it; contents never change (C4).
            last_modified: chrono::DateTime::UNIX_EPOCH,
            size: file.size,
            e_tag: None,
            version: None,
        };
        let date = ScalarValue::Date32(Some(file.date));
        let part = PartitionedFile::new_from_meta(meta)
            .with_partition_values(vec![date])
            .with_extension(Rows(file.rows));
        match detailed {
            true => Ok(part.with_statistics(Arc::new(self.statistics(file)))),
            false => Ok(part),
        }
    }

    /// Bounds of one file. They are said to be exact, which is true of what
    /// they are used for here, pruning; the totals below, out of which `min`
    /// and `max` could be answered, do not have them.
    fn statistics(&self, file: &DataFile) -> Statistics {
        let columns = self.schema.file_schema().fields().iter().map(|field| {
            let mut column = ColumnStatistics::new_unknown();
            let Some(known) = file.stats.get(field.name()) else { return column };
            let bound = |value: &Option<storage::StatValue>| match value
                .as_ref()
                .and_then(|v| prune::scalar(v, field.data_type()))
            {
                Some(scalar) => Precision::Exact(scalar),
                None => Precision::Absent,
            };
            column.min_value = bound(&known.min);
            column.max_value = bound(&known.max);
            if let Some(nulls) = known.null_count {
                column.null_count = Precision::Exact(nulls as usize);
            }
            column
        });
        Statistics {
            num_rows: Precision::Exact(file.rows as usize),
            total_byte_size: Precision::Inexact(file.size as usize),
            column_statistics: columns.collect(),
        }
    }

    /// Row counts are exact, so `count(*)` opens nothing.
    fn total(&self, files: &[Arc<DataFile>]) -> Statistics {
        let mut total = Statistics::new_unknown(self.schema.table_schema());
        total.num_rows = Precision::Exact(files.iter().map(|file| file.rows as usize).sum());
        total.total_byte_size = Precision::Inexact(files.iter().map(|f| f.size as usize).sum());
        total
    }
}

/// Largest first onto the lightest group.
fn spread(mut files: Vec<Arc<DataFile>>, groups: usize) -> Vec<Vec<Arc<DataFile>>> {
    files.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.path.cmp(&b.path)));
    let count = groups.clamp(1, files.len().max(1));
    let mut spread: Vec<(u64, Vec<Arc<DataFile>>)> = vec![(0, Vec::new()); count];
    for file in files {
        if let Some(lightest) = spread.iter_mut().min_by_key(|(bytes, _)| *bytes) {
            lightest.0 += file.size;
            lightest.1.push(file);
        }
    }
    spread.into_iter().map(|(_, files)| files).collect()
}
