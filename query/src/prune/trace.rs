//! By the index of traces: a statement that names trace ids reads only files
//! whose time range meets those traces', and of those only pages that do.
//!
//! The index (`trace_parts`) is a hint. A span file is left out only if the
//! index certainly has the parts that were derived from it: its log is committed
//! to the index as far, or both ends of the file's stretch of it lie inside
//! stretches that files of the index have. All others are kept, to be probed by
//! bloom filter.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::catalog::Session;
use datafusion::common::{Column, DataFusionError};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, Operator, lit};
use datafusion::physical_plan::collect;
use schema::tables::{spans, trace_parts};
use schema::{Position, WalId};
use storage::table::Watermarks;
use storage::{DataFile, Snapshot, StatValue};

use crate::catalog::pins::Pins;
use crate::scan::Table;

/// Below this many files and rows the index costs more than probing the files.
const MIN_FILES: usize = 4;
const MIN_ROWS: u64 = 512 * 1024;
/// More ids than this meet nearly every file anyway.
const MAX_IDS: usize = 64;

/// Microseconds since 1970, both ends inclusive.
pub(crate) type Range = (i64, i64);

/// The files that may hold a match and, if the index covers all of those, the
/// times between which every match lies.
pub(crate) async fn by_trace(
    snapshot: &Snapshot,
    pins: &Arc<Pins>,
    state: &dyn Session,
    filters: &[Expr],
    files: Vec<Arc<DataFile>>,
) -> Result<(Vec<Arc<DataFile>>, Option<Range>), DataFusionError> {
    let few = files.len() < MIN_FILES && rows(&files) < MIN_ROWS;
    if snapshot.table.name != spans::NAME || few {
        return Ok((files, None));
    }
    let Some(ids) = filters.iter().flat_map(split_conjunction).find_map(trace_ids) else {
        return Ok((files, None));
    };
    let Some(index) = pins.pin(trace_parts::NAME)? else { return Ok((files, None)) };
    let complete = index.incomplete.is_none() && snapshot.incomplete.is_none();
    if !complete || ids.len() > MAX_IDS {
        return Ok((files, None));
    }
    let covered = Covered::by(&index);
    if !files.iter().any(|file| covered.holds(file)) {
        return Ok((files, None));
    }
    let ranges = ranges(&index, pins, state, &ids).await?;
    let meets = |file: &DataFile| match time_range(file) {
        Some((min, max)) => ranges.iter().any(|(from, to)| min <= *to && *from <= max),
        None => true,
    };
    let kept: Vec<_> =
        files.into_iter().filter(|file| !covered.holds(file) || meets(file)).collect();
    let all = kept.iter().all(|file| covered.holds(file) && time_range(file).is_some());
    let whole = ranges.into_iter().reduce(|(a, b), (from, to)| (a.min(from), b.max(to)));
    Ok((kept, whole.filter(|_| all)))
}

fn rows(files: &[Arc<DataFile>]) -> u64 {
    files.iter().map(|file| file.rows).sum()
}

/// The ids that a conjunct allows, if it is about trace ids and nothing else.
fn trace_ids(expr: &Expr) -> Option<Vec<String>> {
    let is_id = |expr: &Expr| matches!(expr, Expr::Column(column) if column.name == "trace_id");
    let text = |expr: &Expr| match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten().map(str::to_owned),
        _ => None,
    };
    match expr {
        Expr::BinaryExpr(binary) => match binary.op {
            Operator::Eq if is_id(&binary.left) => Some(vec![text(&binary.right)?]),
            Operator::Eq if is_id(&binary.right) => Some(vec![text(&binary.left)?]),
            // The simplifier writes short lists as this.
            Operator::Or => {
                let mut ids = trace_ids(&binary.left)?;
                ids.extend(trace_ids(&binary.right)?);
                Some(ids)
            }
            _ => None,
        },
        Expr::InList(list) if !list.negated && is_id(&list.expr) => {
            list.list.iter().map(text).collect()
        }
        _ => None,
    }
}

/// When the spans of these traces started, by the index.
async fn ranges(
    index: &Arc<Snapshot>,
    pins: &Arc<Pins>,
    state: &dyn Session,
    ids: &[String],
) -> Result<Vec<Range>, DataFusionError> {
    let column = |name: &str| Expr::Column(Column::from_name(name));
    let table = Arc::new(Table::new(index.clone(), pins.clone())?);
    let wanted = ids.iter().map(|id| lit(id.as_str())).collect();
    let plan = LogicalPlanBuilder::scan(trace_parts::NAME, provider_as_source(table), None)?
        .filter(column("trace_id").in_list(wanted, false))?
        .project([column("min_time"), column("max_time")])?
        .build()?;
    let physical = state.create_physical_plan(&plan).await?;
    let mut ranges = Vec::new();
    for batch in collect(physical, state.task_ctx()).await? {
        let min = batch.column(0).as_primitive::<TimestampMicrosecondType>();
        let max = batch.column(1).as_primitive::<TimestampMicrosecondType>();
        // A part without bounds says nothing, so it may be anywhere.
        let bound = |(min, max): (Option<i64>, Option<i64>)| {
            (min.unwrap_or(i64::MIN), max.unwrap_or(i64::MAX))
        };
        ranges.extend(min.iter().zip(max.iter()).map(bound));
    }
    Ok(ranges)
}

/// `None` when a span of the file may lie outside of any known range.
fn time_range(file: &DataFile) -> Option<Range> {
    let stats = file.stats.get("time")?;
    match (&stats.min, &stats.max, stats.null_count) {
        (Some(StatValue::Timestamp(min)), Some(StatValue::Timestamp(max)), Some(0)) => {
            Some((*min, *max))
        }
        _ => None,
    }
}

/// What of each log the index was derived from.
struct Covered {
    /// All up to here: files that were joined over logs do not say it.
    watermarks: Arc<Watermarks>,
    /// What single files say, also those that are not committed yet.
    stretches: HashMap<WalId, Vec<(Position, Position)>>,
}

impl Covered {
    fn by(index: &Snapshot) -> Covered {
        let mut stretches: HashMap<WalId, Vec<(Position, Position)>> = HashMap::new();
        for file in index.committed.iter().chain(index.staged.iter()) {
            if let Some(origin) = file.origin {
                stretches.entry(origin.wal_id).or_default().push((origin.first, origin.last));
            }
        }
        for stretch in stretches.values_mut() {
            stretch.sort();
            // Ends grow, so that the last stretch to begin reaches furthest.
            let mut furthest = Position::ZERO;
            for (_, last) in stretch.iter_mut() {
                furthest = furthest.max(*last);
                *last = furthest;
            }
        }
        Covered { watermarks: index.watermarks.clone(), stretches }
    }

    fn holds(&self, file: &DataFile) -> bool {
        let Some(origin) = file.origin else { return false };
        // The index had all of its rows before it was made.
        if origin.is_mixed() {
            return true;
        }
        if self.watermarks.get(&origin.wal_id).is_some_and(|mark| origin.last <= *mark) {
            return true;
        }
        let Some(stretches) = self.stretches.get(&origin.wal_id) else { return false };
        let within = |position: Position| {
            let after = stretches.partition_point(|(first, _)| *first <= position);
            after > 0 && position <= stretches[after - 1].1
        };
        within(origin.first) && within(origin.last)
    }
}
