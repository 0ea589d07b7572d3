//! What of a file DataFusion is asked to read, settled before it opens it.
//!
//! DataFusion plans a file as a whole: it pushes no predicate on a map into
//! its reader, takes only what is constant all over the file for a constant,
//! and once pages are skipped it reads every row group to the end, whatever a
//! running TopK already knows. [`Narrow`] stands around its Parquet source and
//! hands it one row group after the other, or less:
//!
//! - Of rows that are wanted for `map['k'] = 'v'` it leaves those whose map has
//!   `'v'` under some key ([`values`]). The filter stays above the scan.
//! - Where one text is looked for in a column with bloom filters, these are asked
//!   for it, a block of each ([`bloom`]).
//! - A row group comes with its own bounds ([`groups`]), so that columns that
//!   are constant or NULL within it are not opened.
//! - Pages that lie within the times of a filter as a whole are read without it.
//! - For the greatest of something first, row groups are read from their ends,
//!   a few pages at a time, and what a TopK has ruled out since is left out.
//!
//! | file | what |
//! | --- | --- |
//! | this | [`Narrow`], a `FileSource`; [`Wanted`], the lookups of a statement |
//! | [`steps`] | the row groups of a file, one by one |
//! | [`bloom`] | row groups without a text, by one block of a bloom filter |
//! | [`groups`] | row groups and pages that can match, and their bounds |
//! | [`values`] | rows whose map holds a value, found in Parquet's pages |
//! | [`levels`] | runs and packed integers, as Parquet writes levels and codes |

mod bloom;
mod groups;
mod levels;
mod steps;
mod values;

use std::fmt::{self, Formatter};
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::config::ConfigOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    FileOpener, FileScanConfig, FileSource, ParquetSource,
};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, Operator};
use datafusion::physical_expr::expressions::{
    self, BinaryExpr, Column, DynamicFilterTracking, Literal,
};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{
    EquivalenceProperties, PhysicalExpr, PhysicalSortExpr, conjunction as all_of,
    split_conjunction as split_physical,
};
use datafusion::physical_plan::filter_pushdown::FilterPushdownPropagation;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, SortOrderPushdownResult};
use datafusion_datasource::morsel::Morselizer;
use object_store::ObjectStore;

use super::reader::Readers;
use crate::attributes;
use crate::engine::stop::Stop;
use steps::{Narrowing, Shared, Times};

type Result<T> = std::result::Result<T, datafusion::common::DataFusionError>;

/// The column of times by which every table is divided.
const TIME: &str = "time";

/// Values that are looked for at once.
const MAX_VALUES: usize = 16;

/// One of these values under a key of a map column.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    pub column: String,
    pub key: String,
    pub values: Vec<String>,
}

impl Wanted {
    /// Of the conjuncts of filters, those that say `map['k'] = 'v'` or
    /// `map['k'] IN ('v', …)`.
    pub fn of(filters: &[Expr]) -> Vec<Wanted> {
        filters.iter().flat_map(split_conjunction).filter_map(Wanted::by).collect()
    }

    fn by(conjunct: &Expr) -> Option<Wanted> {
        let text = |expr: &Expr| match expr {
            Expr::Literal(value, _) => value.try_as_str().flatten().map(str::to_owned),
            _ => None,
        };
        let (access, values) = match conjunct {
            Expr::BinaryExpr(binary) if binary.op == Operator::Eq => {
                let (left, right) = (binary.left.as_ref(), binary.right.as_ref());
                match text(right) {
                    Some(value) => (left, vec![value]),
                    None => (right, vec![text(left)?]),
                }
            }
            Expr::InList(list) if !list.negated && list.list.len() <= MAX_VALUES => {
                let values: Option<Vec<String>> = list.list.iter().map(text).collect();
                (list.expr.as_ref(), values?)
            }
            _ => return None,
        };
        let (column, key) = attributes::accessed(access)?;
        Some(Wanted { column: column.name.clone(), key: key.to_owned(), values })
    }
}

/// A text that a column is to have, which a bloom filter may rule out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Point {
    pub column: String,
    pub text: String,
    /// A map and a key under which the text can be as well, in files that have it.
    pub unless: Option<(String, String)>,
}

/// A Parquet source that is asked for less.
#[derive(Clone)]
pub(super) struct Narrow {
    pub inner: Arc<dyn FileSource>,
    pub readers: Arc<Readers>,
    pub wanted: Arc<[Wanted]>,
    pub points: Arc<[Point]>,
    pub stop: Option<Stop>,
    /// What files are sorted by.
    pub sorted: &'static [&'static str],
    /// The column of which the greatest come first.
    pub greatest: Option<String>,
}

impl Narrow {
    fn around(&self, inner: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        Arc::new(Narrow { inner, ..self.clone() })
    }

    /// The bounds that a filter has of the times by which files are sorted.
    fn times(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Option<Times>> {
        let source = self.inner.downcast_ref::<ParquetSource>();
        let (Some(filter), Some(source)) = (self.inner.filter(), source) else { return Ok(None) };
        let schema = self.inner.table_schema().table_schema();
        let (mut outside, mut others) = (Vec::new(), Vec::new());
        for conjunct in split_physical(&filter) {
            match outside_of(conjunct, schema)? {
                Some(bound) => outside.push(bound),
                None => others.push(conjunct.clone()),
            }
        }
        let either = |a, b| expressions::binary(a, Operator::Or, b, schema);
        let Some(outside) = outside.into_iter().map(Ok).reduce(|a, b| either(a?, b?)) else {
            return Ok(None);
        };
        let free = match others.is_empty() {
            true => source.with_predicate(expressions::lit(true)).with_pushdown_filters(false),
            false => source.with_predicate(all_of(others)),
        };
        let inner = free.create_morselizer(store, config, partition)?;
        Ok(Some(Times { column: TIME.to_owned(), outside: outside?, inner }))
    }

    /// The column, where a TopK that is still to run wants the greatest first.
    fn top(&self) -> Option<String> {
        let running = |filter: Arc<dyn PhysicalExpr>| {
            DynamicFilterTracking::classify(&filter).contains_dynamic_filter()
        };
        self.greatest.clone().filter(|_| self.inner.filter().is_some_and(running))
    }
}

/// What is true where a bound of times is not kept.
fn outside_of(
    bound: &Arc<dyn PhysicalExpr>,
    schema: &Schema,
) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let Some(bound) = bound.downcast_ref::<BinaryExpr>() else { return Ok(None) };
    let column = bound.left().downcast_ref::<Column>();
    let at = bound.right().downcast_ref::<Literal>();
    let is_bound =
        matches!(bound.op(), Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq)
            && column.is_some_and(|column| column.name() == TIME)
            && at.is_some_and(|at| !at.value().is_null());
    let Some(op) = bound.op().negate().filter(|_| is_bound) else { return Ok(None) };
    expressions::binary(bound.left().clone(), op, bound.right().clone(), schema).map(Some)
}

impl FileSource for Narrow {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        self.inner.create_file_opener(store, config, partition)
    }

    fn create_morselizer(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        let inner = self.inner.create_morselizer(store.clone(), config, partition)?;
        let top = self.top();
        // What is inside is read before what is not.
        let times = match config.preserve_order {
            true => None,
            false => self.times(store.clone(), config, partition)?,
        };
        let plain = self.wanted.is_empty() && self.points.is_empty();
        if plain && top.is_none() && times.is_none() {
            return Ok(inner);
        }
        let shared = Shared {
            inner,
            readers: self.readers.clone(),
            table: self.inner.table_schema().clone(),
            predicate: self.inner.filter(),
            wanted: self.wanted.clone(),
            points: self.points.clone(),
            metrics: self.inner.metrics().clone(),
            partition,
            top,
            times,
            stop: self.stop.clone(),
            skipped: steps::skipped(self.inner.metrics(), partition),
        };
        Ok(Box::new(Narrowing(Arc::new(shared))))
    }

    fn table_schema(&self) -> &TableSchema {
        self.inner.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        self.around(self.inner.with_batch_size(batch_size))
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.inner.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.inner.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.inner.metrics()
    }

    fn file_type(&self) -> &str {
        self.inner.file_type()
    }

    fn fmt_extra(&self, t: DisplayFormatType, f: &mut Formatter) -> fmt::Result {
        self.inner.fmt_extra(t, f)?;
        if matches!(t, DisplayFormatType::TreeRender) {
            return Ok(());
        }
        for wanted in self.wanted.iter() {
            write!(f, ", narrowed_by={}[{}]", wanted.column, wanted.key)?;
        }
        match self.top() {
            Some(column) => write!(f, ", from_the_end_by={column}"),
            None => Ok(()),
        }
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let mut pushed = self.inner.try_pushdown_filters(filters, config)?;
        pushed.updated_node = pushed.updated_node.map(|inner| self.around(inner));
        Ok(pushed)
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        let first = order.first().filter(|by| by.options.descending);
        let column = first.and_then(|by| by.expr.downcast_ref::<Column>());
        let greatest = column.map(|c| c.name().to_owned());
        let greatest = greatest.filter(|name| self.sorted.contains(&name.as_str()));
        let this = Narrow { greatest, ..self.clone() };
        Ok(match self.inner.try_pushdown_sort(order, properties)? {
            SortOrderPushdownResult::Exact { inner } => {
                SortOrderPushdownResult::Exact { inner: self.around(inner) }
            }
            SortOrderPushdownResult::Inexact { inner } => {
                SortOrderPushdownResult::Inexact { inner: this.around(inner) }
            }
            SortOrderPushdownResult::Unsupported => SortOrderPushdownResult::Unsupported,
        })
    }

    fn reorder_files(&self, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        self.inner.reorder_files(files)
    }

    fn try_pushdown_projection(
        &self,
        projection: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn FileSource>>> {
        Ok(self.inner.try_pushdown_projection(projection)?.map(|inner| self.around(inner)))
    }

    fn supports_repartitioning(&self) -> bool {
        self.inner.supports_repartitioning()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(f)
    }
}
