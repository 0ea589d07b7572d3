//! An indicator's buckets against a tolerance: the interval of its value, and
//! where that must lie.

use crate::document::provider::{Family, Indicator, Measure, Nature};
use crate::document::tolerance::{Limits, Relative};
use crate::indicator::series::{Bucket, Series};
use crate::statistics::bootstrap::{self, Cells};
use crate::statistics::interval::Interval;
use crate::statistics::{ALPHA, normal, power, rank, rate, ratio, z};
use crate::window::BUCKET;

use super::calibrate;
use super::finding::Numbers;

/// Values that a bucket needs to count as one (section 4 of the paper).
pub const LEAST: u64 = 5;
/// How many buckets are joined where traffic is low, first to last.
const WIDTHS: [usize; 5] = [1, 2, 3, 6, 12];
/// The share of buckets that must have enough values.
const FILLED: f64 = 0.8;
/// Buckets that a phase needs to be compared by rank.
pub const LEAST_BUCKETS: usize = 4;
/// Values that must lie beyond a quantile for it to be told.
const BEYOND: f64 = 5.0;

/// The samples do not carry a comparison; why, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooFew(pub String);

/// A move from one stretch to another, in the indicator's unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Shift {
    pub moved: Interval,
    /// What it was before.
    pub level: f64,
    pub a12: Option<f64>,
    pub n_effective: f64,
    pub method: &'static str,
}

/// How far `after` moved from `before`. `widen` is what calibration found.
pub fn shift(
    measure: &Measure,
    before: &Series,
    after: &Series,
    widen: f64,
) -> Result<Shift, TooFew> {
    match measure.indicator.nature() {
        Nature::Duration => {
            let q = level_of(measure.indicator);
            let (b, a) = comparable(before, after, q)?;
            Ok(ranked(&b, &a, widen))
        }
        Nature::Gauge => {
            let (b, a) = (before.gauges(), after.gauges());
            enough(b.len().min(a.len()), "points")?;
            Ok(ranked(&b, &a, widen))
        }
        Nature::Ratio => {
            let (b, a) = (before.share(), after.share());
            if b.n == 0.0 || a.n == 0.0 {
                return Err(TooFew("a phase has no sample".into()));
            }
            let spread = [before, after].map(spread);
            let moved = ratio::difference(b.over(spread[0]), a.over(spread[1])).widened(widen);
            let per = per_unit(measure, after.buckets.len());
            Ok(Shift {
                moved: moved.scaled(per),
                level: b.ratio() * per,
                a12: None,
                n_effective: a.over(spread[1]).n,
                method: "difference of ratios, Newcombe, over-dispersion",
            })
        }
        Nature::Count => {
            let (b, a) = (before.counts(), after.counts());
            enough(b.len().min(a.len()), "buckets")?;
            let seconds = BUCKET.0.as_secs_f64();
            let level = rate::mean(&b, 1.0).estimate / seconds;
            let design = [before.design(), after.design()];
            let times = rate::ratio(&b, &a, design).widened(widen);
            Ok(Shift {
                moved: times.shifted(-1.0).scaled(level),
                level,
                a12: None,
                n_effective: a.len() as f64 / rate::dispersion(&a).max(design[1]),
                method: "rate ratio with dispersion",
            })
        }
    }
}

/// A move less the control's (difference in differences): what moved both is not
/// the fault's doing. Their errors add up as those of any two that are
/// independent; counts are compared by their factor, as the groups may differ in
/// size.
pub fn less(measure: &Measure, own: Shift, control: &Shift) -> Shift {
    let size = match measure.indicator.nature() {
        Nature::Count if control.level > 0.0 => own.level / control.level,
        _ => 1.0,
    };
    let off = control.moved.scaled(size);
    Shift {
        moved: ratio::apart(off, own.moved),
        a12: None,
        n_effective: own.n_effective.min(control.n_effective),
        method: "difference in differences",
        ..own
    }
}

fn ranked(before: &[f64], after: &[f64], widen: f64) -> Shift {
    let worth = [before, after].map(|v| rank::effective(v) / v.len().max(1) as f64);
    let dependence = (1.0 / worth[0].min(worth[1])).sqrt();
    Shift {
        moved: rank::hodges_lehmann(before, after, widen * dependence),
        level: rank::median_of(before.iter().copied()),
        a12: Some(rank::a12(before, after)),
        n_effective: after.len() as f64 * worth[1],
        method: "Hodges-Lehmann over buckets",
    }
}

fn enough(found: usize, what: &str) -> Result<(), TooFew> {
    if found >= LEAST_BUCKETS {
        return Ok(());
    }
    Err(TooFew(format!("{found} {what} in a phase; {LEAST_BUCKETS} are needed")))
}

/// The quantiles of both stretches' buckets, joined as far as traffic needs it.
fn comparable(before: &Series, after: &Series, q: f64) -> Result<(Vec<f64>, Vec<f64>), TooFew> {
    let both = |width| Some((filled_by(before, q, width)?, filled_by(after, q, width)?));
    WIDTHS.into_iter().find_map(both).ok_or_else(|| {
        TooFew(format!(
            "{:.0} values before and {:.0} in the phase; each bucket of at most a minute needs {LEAST}",
            before.worth(),
            after.worth()
        ))
    })
}

/// The quantiles of buckets of a width, if there are enough of them, and most of
/// them have enough values.
fn filled_by(series: &Series, q: f64, width: usize) -> Option<Vec<f64>> {
    let values = series.quantiles(q, width, LEAST);
    let all = (series.buckets.len() / width) as f64;
    (values.len() >= LEAST_BUCKETS && values.len() as f64 >= FILLED * all).then_some(values)
}

/// How many buckets must be joined to be filled.
fn width(series: &Series, q: f64) -> Option<usize> {
    WIDTHS.into_iter().find(|width| filled_by(series, q, *width).is_some())
}

fn level_of(indicator: Indicator) -> f64 {
    match indicator {
        Indicator::Quantile(level) | Indicator::Gap(level) => level.share(),
        _ => 0.5,
    }
}

/// Over which an error budget is given.
const BUDGET: f64 = 30.0 * 86_400.0;

/// A burn rate is an error ratio in units of what the objective allows, and what
/// it burned is that for as long as it was looked at.
pub fn per_unit(measure: &Measure, buckets: usize) -> f64 {
    let rate = measure.objective.map_or(1.0, |objective| 1.0 / (1.0 - objective.0));
    match measure.indicator {
        Indicator::BudgetBurned => rate * buckets as f64 * BUCKET.0.as_secs_f64() / BUDGET,
        _ => rate,
    }
}

/// The value of one stretch alone.
pub fn value(
    measure: &Measure,
    series: &Series,
    seed: u64,
) -> Result<(Interval, f64, &'static str), TooFew> {
    match measure.indicator.nature() {
        Nature::Duration => {
            let q = level_of(measure.indicator);
            told(series, q)?;
            let cells: Vec<&Cells> = filled(&series.buckets);
            let worth = rank::effective(&series.quantiles(q, 1, 1));
            Ok((bootstrap::interval(&cells, q, seed), worth, "quantile, moving blocks of 30 s"))
        }
        Nature::Gauge => {
            let values = series.gauges();
            enough(values.len(), "points")?;
            let single: Vec<[(f64, f64); 1]> = values.iter().map(|v| [(*v, 1.0)]).collect();
            let cells: Vec<&Cells> = single.iter().map(|cell| &cell[..]).collect();
            let interval = bootstrap::interval(&cells, 0.5, seed);
            Ok((interval, rank::effective(&values), "median, moving blocks of 30 s"))
        }
        Nature::Ratio => {
            let share = series.share();
            if share.n == 0.0 {
                return Err(TooFew("no sample".into()));
            }
            let worth = share.over(spread(series));
            let interval = ratio::interval(worth).scaled(per_unit(measure, series.buckets.len()));
            Ok((interval, worth.n, "ratio, Wilson or exact, over-dispersion"))
        }
        Nature::Count if measure.indicator.is_total() && !series.is_weighted() => {
            // What is told by points is not known without any.
            if measure.family == Family::Resource {
                enough(series.buckets.iter().filter(|b| b.n > 0.0).count(), "points")?;
            }
            let counted = series.share().hits;
            Ok((Interval::new(counted, counted, counted), counted, "as counted"))
        }
        Nature::Count => {
            let counts = series.counts();
            enough(counts.len(), "buckets")?;
            let mean = rate::mean(&counts, series.design());
            let worth = counts.len() as f64 / rate::dispersion(&counts).max(series.design());
            // Errors that stand for others are an estimate of how many there were.
            if measure.indicator.is_total() {
                let errors = mean.scaled(counts.len() as f64);
                return Ok((errors, worth, "weighted count with dispersion"));
            }
            Ok((mean.scaled(1.0 / BUCKET.0.as_secs_f64()), worth, "mean rate with dispersion"))
        }
    }
}

/// The same without its interval, which is dear.
pub fn estimate(measure: &Measure, series: &Series) -> Result<f64, TooFew> {
    if measure.indicator.nature() != Nature::Duration {
        return value(measure, series, 0).map(|(value, _, _)| value.estimate);
    }
    let q = level_of(measure.indicator);
    told(series, q)?;
    let whole = series.merged(series.buckets.len());
    Ok(whole.first().map_or(f64::NAN, |bucket| bootstrap::quantile(&bucket.cells, q)))
}

/// What buckets joined into one show, for a picture: nothing is judged by it.
pub fn shown(measure: &Measure, buckets: &[Bucket]) -> Option<f64> {
    let joined = Series { buckets: buckets.to_vec(), sampled: 0 };
    let n = joined.n();
    match measure.indicator.nature() {
        Nature::Gauge => {
            let values = joined.gauges();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        }
        _ if n == 0.0 => None,
        Nature::Duration => {
            let cells = &joined.merged(buckets.len()).pop()?.cells;
            Some(bootstrap::quantile(cells, level_of(measure.indicator)))
        }
        Nature::Ratio => Some(joined.share().ratio() * per_unit(measure, buckets.len())),
        Nature::Count if measure.indicator.is_total() => Some(joined.share().hits),
        Nature::Count => {
            let seconds = buckets.len() as f64 * BUCKET.0.as_secs_f64();
            Some(joined.share().hits / seconds)
        }
    }
}

/// Enough values lie beyond a quantile.
fn told(series: &Series, q: f64) -> Result<(), TooFew> {
    let needed = (BEYOND / (1.0 - q)).ceil();
    // Weights that do not divide evenly leave a trace of rounding.
    if series.worth() + 1e-6 < needed {
        return Err(TooFew(format!("{:.0} values; {needed} are needed", series.worth())));
    }
    Ok(())
}

/// How many times as much buckets vary as chance alone would have them, and
/// rows that stand for others do in any case.
fn spread(series: &Series) -> f64 {
    ratio::dispersion(&series.shares()).max(series.design())
}

fn filled(buckets: &[Bucket]) -> Vec<&Cells> {
    buckets.iter().filter(|bucket| bucket.n > 0.0).map(|bucket| &bucket.cells[..]).collect()
}

/// A stretch against limits of its own.
pub fn absolute(
    measure: &Measure,
    series: &Series,
    limits: Limits,
    seed: u64,
) -> Result<Numbers, TooFew> {
    let (value, n_effective, method) = value(measure, series, seed)?;
    let shown =
        Shown { a12: None, baseline: None, n: counted(series), n_effective, widened: 1.0, method };
    Ok(numbers(value, limits, shown))
}

/// A stretch against its baseline, and beside the control's two if there is one.
pub fn relative(
    measure: &Measure,
    before: &Series,
    after: &Series,
    control: Option<[&Series; 2]>,
    tolerance: &Relative,
    widen: f64,
) -> Result<Numbers, TooFew> {
    let mut moved = shift(measure, before, after, widen)?;
    if let Some([before, after]) = control {
        let off = shift(measure, before, after, widen)
            .map_err(|few| TooFew(format!("the control: {}", few.0)))?;
        moved = less(measure, moved, &off);
    }
    Ok(against(moved, after, tolerance, widen))
}

/// Whether a baseline is too little to be compared with by itself: a gauge with
/// few points, or durations that fill no buckets.
pub fn is_few(measure: &Measure, baseline: &Series) -> bool {
    match measure.indicator.nature() {
        Nature::Gauge => baseline.gauges().len() < LEAST_BUCKETS,
        Nature::Duration => width(baseline, level_of(measure.indicator)).is_none(),
        Nature::Ratio | Nature::Count => false,
    }
}

/// What has too little of a baseline, against its fault-free points: how far the
/// median of as many points in a row strays there is how sure its move is. Points
/// are what a gauge told, or quantiles of buckets. `None` where too little is known.
pub fn sparse(
    measure: &Measure,
    history: &[Series],
    after: &Series,
    family: usize,
) -> Option<Shift> {
    let (usual, points) = match measure.indicator.nature() {
        // Told so seldom that its points are taken as if nothing lay between them.
        Nature::Gauge => (vec![history.iter().flat_map(Series::gauges).collect()], after.gauges()),
        Nature::Duration => {
            let q = level_of(measure.indicator);
            let width = width(after, q)?;
            let of = |series: &Series| series.quantiles(q, width, LEAST);
            (history.iter().map(of).collect::<Vec<Vec<f64>>>(), of(after))
        }
        Nature::Ratio | Nature::Count => return None,
    };
    if points.is_empty() {
        return None;
    }
    let level = rank::median_of(usual.iter().flatten().copied());
    // Where no stretch is as long, fewer points stray further, never less.
    let lengths = std::iter::successors(Some(points.len()), |n| (*n > 1).then_some(n / 2));
    let mut strays =
        lengths.map(|n| strays(&usual, n, level)).find(|all| all.len() >= calibrate::LEAST)?;
    strays.sort_by(f64::total_cmp);
    // Of all indicators together at most so many may stray further.
    let spare = (ALPHA / 2.0 / family.max(1) as f64 * strays.len() as f64).floor() as usize;
    let (least, most) = (strays[spare], strays[strays.len() - 1 - spare]);
    let moved = rank::median_of(points.iter().copied()) - level;
    let all: Vec<f64> = usual.into_iter().flatten().collect();
    Some(Shift {
        moved: Interval::new(moved, moved - most.max(0.0), moved - least.min(0.0)),
        level,
        a12: Some(rank::a12(&all, &points)),
        n_effective: points.len() as f64,
        method: "median against runs of as many fault-free points",
    })
}

/// How far the medians of `n` points in a row lie from the level.
fn strays(stretches: &[Vec<f64>], n: usize, level: f64) -> Vec<f64> {
    let runs = stretches.iter().flat_map(|points| points.windows(n));
    runs.map(|run| rank::median_of(run.iter().copied()) - level).collect()
}

/// A move against what is tolerated of it.
pub fn against(shift: Shift, after: &Series, tolerance: &Relative, widened: f64) -> Numbers {
    let shown = Shown {
        a12: shift.a12,
        baseline: Some(shift.level),
        n: counted(after),
        n_effective: shift.n_effective,
        widened,
        method: shift.method,
    };
    numbers(shift.moved.shifted(shift.level), tolerance.around(shift.level), shown)
}

/// What was looked at, in whole things.
fn counted(series: &Series) -> u64 {
    series.n().round() as u64
}

struct Shown {
    a12: Option<f64>,
    baseline: Option<f64>,
    n: u64,
    n_effective: f64,
    widened: f64,
    method: &'static str,
}

fn numbers(value: Interval, limits: Limits, shown: Shown) -> Numbers {
    let p = outside_by_chance(&value, limits);
    Numbers {
        value,
        low: limits.low,
        high: limits.high,
        baseline: shown.baseline,
        a12: shown.a12,
        n: shown.n,
        n_effective: shown.n_effective,
        mde: power::detectable(&value),
        p,
        p_adjusted: p,
        widened: shown.widened,
        method: shown.method,
    }
}

/// The two-sided p-value that goes with an interval: under 5 % exactly when it
/// lies outside. Each side has its own width.
pub fn outside_by_chance(value: &Interval, limits: Limits) -> f64 {
    let away = |distance: f64, half: f64| match (distance > 0.0, half > 0.0) {
        (false, _) => 1.0,
        (true, false) => 0.0,
        (true, true) => (2.0 * normal::tail(distance / half * z())).min(1.0),
    };
    let above =
        limits.high.map_or(1.0, |high| away(value.estimate - high, value.estimate - value.low));
    let below =
        limits.low.map_or(1.0, |low| away(low - value.estimate, value.high - value.estimate));
    let p = above.min(below);
    if p.is_nan() { 1.0 } else { p }
}
