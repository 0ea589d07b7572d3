//! The row groups of a file, one by one.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{ParquetAccessPlan, RowGroupAccess};
use datafusion::datasource::physical_plan::{ParquetFileMetrics, ParquetFileReaderFactory};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr_common::physical_expr::snapshot_generation;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};
use datafusion_datasource::morsel::{MorselPlan, MorselPlanner, Morselizer};
use parquet::arrow::arrow_reader::RowSelection;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::file::metadata::ParquetMetaData;

use super::groups::{self, Part};
use super::{Point, Wanted, bloom, values};
use crate::engine::stop::Stop;
use crate::scan::absent;
use crate::scan::reader::Readers;

type Result<T> = std::result::Result<T, DataFusionError>;

/// Rows that are read at once from the end of a row group: four pages, but
/// first as many as tell a TopK where to begin. Each row of what is read in
/// ascending order is greater than all before.
const PIECE: usize = 16 * 1024;
const FIRST: usize = 1_024;

/// Row groups in which no row was left by a lookup.
pub(super) fn skipped(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Count {
    MetricBuilder::new(metrics).counter("row_groups_pruned_lookup", partition)
}

/// What the files of a scan have in common.
pub(super) struct Shared {
    pub inner: Box<dyn Morselizer>,
    pub readers: Arc<Readers>,
    pub table: TableSchema,
    pub predicate: Option<Arc<dyn PhysicalExpr>>,
    pub wanted: Arc<[Wanted]>,
    pub points: Arc<[Point]>,
    pub metrics: ExecutionPlanMetricsSet,
    pub partition: usize,
    pub top: Option<String>,
    pub times: Option<Times>,
    pub stop: Option<Stop>,
    pub skipped: Count,
}

/// Bounds of a column of times, as a filter has them.
pub(super) struct Times {
    pub column: String,
    /// What no row within the bounds fulfils.
    pub outside: Arc<dyn PhysicalExpr>,
    /// As `Shared::inner`, without the bounds.
    pub inner: Box<dyn Morselizer>,
}

impl Shared {
    /// Changes whenever a filter does that changes while it runs.
    fn generation(&self) -> u64 {
        self.predicate.as_ref().map_or(0, snapshot_generation)
    }

    /// The parts whose bloom filters may have what is looked for, as far as
    /// there are any. DataFusion is not asked to do it again.
    async fn bloomed(
        &self,
        reader: &mut dyn AsyncFileReader,
        metadata: &ParquetMetaData,
        parts: Vec<Part>,
        counted: &ParquetFileMetrics,
    ) -> Result<Vec<Part>> {
        if self.points.is_empty() {
            return Ok(parts);
        }
        let absent = absent::keys_of(metadata.file_metadata());
        let is_settled =
            |point: &&Point| point.unless.as_ref().is_none_or(|key| absent.contains(key));
        let points: Vec<&Point> = self.points.iter().filter(is_settled).collect();
        let mut kept = Vec::new();
        'parts: for part in parts {
            for point in &points {
                let Some(at) = groups::leaf(metadata, &point.column) else { continue };
                let chunk = metadata.row_group(part.group).column(at);
                if bloom::lacks(reader, chunk, &point.text).await? {
                    counted.row_groups_pruned_bloom_filter.add_pruned(1);
                    continue 'parts;
                }
            }
            counted.row_groups_pruned_bloom_filter.add_matched(1);
            kept.push(part);
        }
        Ok(kept)
    }
}

pub(super) struct Narrowing(pub Arc<Shared>);

impl fmt::Debug for Narrowing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Narrowing").field(&self.0.inner).finish()
    }
}

impl Morselizer for Narrowing {
    fn plan_file(&self, file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        Ok(Box::new(Steps { shared: self.0.clone(), file, opened: None, inside: VecDeque::new() }))
    }
}

/// A file on its way: what DataFusion makes of a part comes before the next.
struct Steps {
    shared: Arc<Shared>,
    file: PartitionedFile,
    opened: Option<Opened>,
    inside: VecDeque<Box<dyn MorselPlanner>>,
}

struct Opened {
    reader: Box<dyn AsyncFileReader + Send>,
    metadata: Arc<ParquetMetaData>,
    parts: VecDeque<Part>,
    generation: u64,
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steps")
            .field("file", &self.file.object_meta.location)
            .finish_non_exhaustive()
    }
}

impl MorselPlanner for Steps {
    fn plan(mut self: Box<Self>) -> Result<Option<MorselPlan>> {
        if let Some(inner) = self.inside.pop_front() {
            return self.drive(inner).map(Some);
        }
        let Some(opened) = &mut self.opened else {
            return Ok(Some(MorselPlan::new().with_pending_planner(self.open())));
        };
        opened.keep_up(&self.shared, &self.file);
        // Opening a part costs DataFusion more than a few constants save.
        if self.shared.wanted.is_empty() && self.shared.top.is_none() {
            let (inside, others) = opened.parts.drain(..).partition(|part| part.inside);
            self.read(inside)?;
            self.read(others)?;
        } else {
            let Some(part) = opened.parts.pop_front() else { return Ok(None) };
            if !self.shared.wanted.is_empty() {
                return Ok(Some(MorselPlan::new().with_pending_planner(self.look(part))));
            }
            self.read(vec![part])?;
        }
        match self.inside.is_empty() {
            true => Ok(None),
            false => Ok(Some(MorselPlan::new().with_planners(vec![self]))),
        }
    }
}

impl Steps {
    /// Goes on with what DataFusion does, and then with this.
    fn drive(mut self: Box<Self>, inner: Box<dyn MorselPlanner>) -> Result<MorselPlan> {
        let Some(mut plan) = inner.plan()? else {
            return Ok(MorselPlan::new().with_planners(vec![self]));
        };
        for next in plan.take_ready_planners().into_iter().rev() {
            self.inside.push_front(next);
        }
        let morsels = MorselPlan::new().with_morsels(plan.take_morsels());
        Ok(match plan.take_pending_planner() {
            None => morsels.with_planners(vec![self]),
            Some(pending) => morsels.with_pending_planner(async move {
                self.inside.push_front(pending.await?);
                Ok(self as Box<dyn MorselPlanner>)
            }),
        })
    }

    async fn open(mut self: Box<Self>) -> Result<Box<dyn MorselPlanner>> {
        let unmeasured = ExecutionPlanMetricsSet::new();
        let shared = &self.shared;
        let mut reader = shared.readers.create_reader(0, self.file.clone(), None, &unmeasured)?;
        let metadata = reader.get_metadata(None).await?;
        let generation = shared.generation();
        let range = self.file.range.as_ref();
        let name = self.file.object_meta.location.as_ref();
        let counted = ParquetFileMetrics::new(shared.partition, name, &shared.metrics);
        let (predicate, table) = (shared.predicate.as_ref(), &shared.table);
        let parts = groups::matching(&metadata, range, predicate, table, Some(&counted));
        let parts = shared.bloomed(reader.as_mut(), &metadata, parts, &counted).await?;
        let parts = match &shared.times {
            Some(times) => {
                groups::divided(&metadata, parts, (&times.column, &times.outside), table)
            }
            None => parts,
        };
        let parts = match &shared.top {
            Some(column) => from_the_end(&metadata, parts, column),
            None => parts,
        };
        self.opened = Some(Opened { reader, metadata, parts: parts.into(), generation });
        Ok(self)
    }

    /// Leaves of a part the rows that may hold what is looked for.
    async fn look(mut self: Box<Self>, mut part: Part) -> Result<Box<dyn MorselPlanner>> {
        if let Some(stop) = &self.shared.stop {
            stop.check()?;
        }
        let Some(opened) = &mut self.opened else { return Ok(self) };
        for wanted in self.shared.wanted.iter() {
            let (reader, metadata) = (opened.reader.as_mut(), &opened.metadata);
            let within = part.rows.as_ref();
            let found = values::rows(reader, metadata, part.group, within, wanted).await?;
            if let Some(found) = found {
                if !found.selects_any() {
                    self.shared.skipped.add(1);
                    return Ok(self);
                }
                part.rows = Some(found);
            }
        }
        self.read(vec![part])?;
        Ok(self)
    }

    /// Has DataFusion read parts in one go, all inside of the times, or none.
    fn read(&mut self, parts: Vec<Part>) -> Result<()> {
        let Some(opened) = &self.opened else { return Ok(()) };
        let Some(first) = parts.first() else { return Ok(()) };
        let inner = match &self.shared.times {
            Some(times) if first.inside => &times.inner,
            _ => &self.shared.inner,
        };
        let mut file = self.file.clone();
        // Its row groups may lie outside; the plan says which they are.
        file.range = None;
        if parts.len() == 1 {
            let said = groups::statistics(&opened.metadata, first.group, &self.shared.table);
            file.statistics = Some(Arc::new(said));
        }
        let mut plan = ParquetAccessPlan::new_none(opened.metadata.num_row_groups());
        for Part { group, rows, .. } in parts {
            let access = match rows {
                Some(rows) => RowGroupAccess::Selection(rows),
                None => RowGroupAccess::Scan,
            };
            plan.set(group, access);
        }
        let file = file.with_extension(plan);
        self.inside.push_back(inner.plan_file(file)?);
        Ok(())
    }
}

impl Opened {
    /// Drops what a filter has ruled out since it was last asked.
    fn keep_up(&mut self, shared: &Shared, file: &PartitionedFile) {
        let now = shared.generation();
        if now == self.generation || self.parts.is_empty() {
            return;
        }
        self.generation = now;
        let predicate = shared.predicate.as_ref();
        let (range, table) = (file.range.as_ref(), &shared.table);
        let left = groups::matching(&self.metadata, range, predicate, table, None);
        let kept = std::mem::take(&mut self.parts).into_iter().filter_map(|part| {
            let left = left.iter().find(|left| left.group == part.group)?;
            let rows = match (part.rows.clone(), &left.rows) {
                (Some(rows), Some(left)) => Some(rows.intersection(left)),
                (rows, left) => rows.or_else(|| left.clone()),
            };
            let some = rows.as_ref().is_none_or(RowSelection::selects_any);
            some.then_some(Part { rows, ..part })
        });
        self.parts = kept.collect();
    }
}

/// Row groups with the greatest values first, each in pieces from its end.
fn from_the_end(metadata: &ParquetMetaData, mut parts: Vec<Part>, column: &str) -> Vec<Part> {
    parts.sort_by_key(|part| std::cmp::Reverse(groups::greatest(metadata, part.group, column)));
    parts.into_iter().flat_map(|part| pieces(metadata, part)).collect()
}

fn pieces(metadata: &ParquetMetaData, part: Part) -> Vec<Part> {
    let total = usize::try_from(metadata.row_group(part.group).num_rows()).unwrap_or_default();
    let mut left = ranges(part.rows.as_ref(), total);
    let mut pieces = Vec::new();
    while !left.is_empty() {
        let mut wanted = if pieces.is_empty() { FIRST } else { PIECE };
        let mut piece: Vec<Range<usize>> = Vec::new();
        while wanted > 0
            && let Some(last) = left.pop()
        {
            let start = last.end.saturating_sub(wanted).max(last.start);
            wanted -= last.end - start;
            if last.start < start {
                left.push(last.start..start);
            }
            piece.push(start..last.end);
        }
        let rows = RowSelection::from_consecutive_ranges(piece.into_iter().rev(), total);
        pieces.push(Part { rows: Some(rows), ..part });
    }
    pieces
}

fn ranges(rows: Option<&RowSelection>, total: usize) -> Vec<Range<usize>> {
    let Some(rows) = rows else { return std::iter::once(0..total).collect() };
    let mut end = 0;
    let ranges = rows.iter().filter_map(|selector| {
        let start = end;
        end += selector.row_count;
        (!selector.skip && start < end).then_some(start..end)
    });
    ranges.collect()
}
