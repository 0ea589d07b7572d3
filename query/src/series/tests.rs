//! Rates and quantiles against simple models.

use proptest::prelude::*;

use super::exponential::Exponential;
use super::histogram::{Explicit, Histogram};
use super::number::Number;
use super::quantile::Mixture;
use super::*;

const SECOND: i64 = 1_000_000_000;
const REACH: i64 = 300 * SECOND;

fn int(start: Option<i64>, time: i64, value: i64) -> Point<Number> {
    let start = start.map(|start| start * SECOND);
    Point { start, time: time * SECOND, value: Number::Int(i128::from(value)) }
}

/// Increases as (what, seconds).
fn increases(temporality: Temporality, points: &[Point<Number>]) -> Vec<Option<(f64, i64)>> {
    let mut series = Series::new(temporality, REACH);
    let next = |point: &Point<Number>| {
        series.next(point.clone()).map(|more| (more.value.double(), more.over / SECOND))
    };
    points.iter().map(next).collect()
}

/// Scenario: a cumulative counter that restarts, told by its start, by its
/// value, by both, and one whose start drifts; a silence; the same point twice.
/// Guarantees: each restart counts what was counted since, a drifting clock is
/// no restart, a gap longer than reach has no increase.
#[test]
fn resets_are_seen_and_gaps_stay() {
    use Temporality::Cumulative;
    let by_start = [int(Some(0), 10, 5), int(Some(0), 20, 9), int(Some(22), 30, 20)];
    assert_eq!(
        increases(Cumulative, &by_start),
        [Some((5.0, 10)), Some((4.0, 10)), Some((20.0, 10))]
    );
    let by_value = [int(None, 10, 5), int(None, 20, 9), int(None, 30, 2), int(None, 40, 2)];
    assert_eq!(
        increases(Cumulative, &by_value),
        [None, Some((4.0, 10)), Some((2.0, 10)), Some((0.0, 10))]
    );
    let drifting = [int(Some(-9_000), 10, 50), int(Some(-8_999), 20, 60)];
    assert_eq!(increases(Cumulative, &drifting), [None, Some((10.0, 10))]);
    let silent = [int(Some(0), 10, 5), int(Some(0), 400, 500), int(Some(0), 410, 507)];
    assert_eq!(increases(Cumulative, &silent), [Some((5.0, 10)), None, Some((7.0, 10))]);
    let twice = [int(None, 10, 5), int(None, 20, 9), int(None, 20, 9), int(None, 30, 10)];
    assert_eq!(increases(Cumulative, &twice), [None, Some((4.0, 10)), None, Some((1.0, 10))]);
}

/// Scenario: delta points, one sent twice, one without a start.
/// Guarantees: each is counted once, over its own interval.
#[test]
fn deltas_are_their_own_increase() {
    let points = [int(Some(0), 10, 5), int(Some(0), 10, 5), int(Some(10), 20, 7), int(None, 26, 1)];
    assert_eq!(
        increases(Temporality::Delta, &points),
        [Some((5.0, 10)), None, Some((7.0, 10)), Some((1.0, 6))]
    );
}

/// Scenario: two readings of a counter beyond 2^53, one apart.
/// Guarantees: the difference is exact.
#[test]
fn integers_stay_exact() {
    let high = (1i64 << 53) + 1;
    let points = [int(None, 10, high), int(None, 20, high + 1)];
    assert_eq!(increases(Temporality::Cumulative, &points), [None, Some((1.0, 10))]);
}

fn explicit(bounds: &[f64], counts: &[i64]) -> Histogram {
    Histogram::Explicit(Explicit::new(bounds.to_vec(), counts.to_vec()).unwrap())
}

fn exponential(scale: i32, positive: (i32, &[i64])) -> Exponential {
    Exponential::new(scale, (0, 0.0), positive, (0, &[])).unwrap()
}

fn quantile(of: &[Histogram], q: f64) -> Option<f64> {
    let mut mixture = Mixture::default();
    for histogram in of {
        assert!(mixture.add(histogram.clone()));
    }
    mixture.quantile(q)
}

/// Scenario: ranks inside buckets, on their edges, in the open ones.
/// Guarantees: interpolation within the bucket; an open end answers its bound.
#[test]
fn quantiles_of_explicit_bounds() {
    let buckets = [explicit(&[10.0, 20.0, 40.0], &[10, 10, 0, 0])];
    assert_eq!(quantile(&buckets, 0.25), Some(5.0));
    assert_eq!(quantile(&buckets, 0.5), Some(10.0));
    assert_eq!(quantile(&buckets, 0.75), Some(15.0));
    assert_eq!(quantile(&buckets, 1.0), Some(20.0));
    assert_eq!(quantile(&buckets, 0.0), Some(0.0));
    let apart = [explicit(&[10.0, 20.0, 40.0], &[5, 0, 0, 5])];
    assert_eq!(quantile(&apart, 0.5), Some(10.0));
    assert_eq!(quantile(&apart, 0.9), Some(40.0));
    let below_zero = [explicit(&[-5.0, 5.0], &[4, 4, 0])];
    assert_eq!(quantile(&below_zero, 0.5), Some(-5.0));
    assert_eq!(quantile(&below_zero, 0.75), Some(0.0));
    assert_eq!(quantile(&[explicit(&[1.0], &[0, 0])], 0.5), None);
    assert_eq!(quantile(&[], 0.5), None);
    // Two sets of bounds: half of [0, 10] and half of [10, 20].
    let mixed = [explicit(&[10.0], &[8, 0]), explicit(&[10.0, 20.0], &[0, 8, 0])];
    assert_eq!(quantile(&mixed, 0.75), Some(15.0));
    assert!(Explicit::new(vec![2.0, 1.0], vec![0, 0, 0]).is_none());
    assert!(Explicit::new(vec![1.0], vec![0, 0, 0]).is_none());
    assert!(Explicit::new(vec![], vec![7]).is_none());
}

/// Scenario: exponential buckets of two scales, with zeros and negatives.
/// Guarantees: they meet at the lower scale; the zero bucket takes in what its
/// threshold covers; negatives lie below.
#[test]
fn exponential_histograms_merge_and_answer() {
    // Scale 0: (1, 2], (2, 4]. Scale 1 halves them on a log axis.
    let mut coarse = exponential(0, (0, &[4, 4]));
    let fine = exponential(1, (0, &[1, 1, 1, 1]));
    coarse.add(&fine);
    let held: Vec<_> = coarse.segments().collect();
    assert_eq!(held, [(1.0, 2.0, 6), (2.0, 4.0, 6)]);
    assert_eq!(coarse.since(&fine), Since::More(exponential(0, (0, &[4, 4]))));
    assert_eq!(fine.since(&coarse), Since::Less);

    let signed = Exponential::new(0, (2, 0.0), (0, &[4]), (0, &[4])).unwrap();
    let signed = [Histogram::Exponential(signed)];
    assert_eq!(quantile(&signed, 0.2), Some(-1.5));
    assert_eq!(quantile(&signed, 0.5), Some(0.0));
    assert_eq!(quantile(&signed, 0.8), Some(1.5));

    let mut narrow = exponential(0, (-2, &[3, 5, 7]));
    narrow.add(&Exponential::new(0, (1, 0.3), (0, &[]), (0, &[])).unwrap());
    // 0.3 lies in (0.25, 0.5], which goes whole.
    let held: Vec<_> = narrow.segments().collect();
    assert_eq!(held, [(0.0, 0.5, 4), (0.5, 1.0, 5), (1.0, 2.0, 7)]);
    assert!(Exponential::new(0, (0, 0.0), (0, &[-1]), (0, &[])).is_none());
}

/// Scenario: indices and scales at the ends of what can be sent.
/// Guarantees: bounded buckets and finite answers, no overflow.
#[test]
fn absurd_exponents_are_bounded() {
    for scale in [i32::MIN, -12, 0, 20, 21, i32::MAX] {
        for offset in [i32::MIN, -1, 0, i32::MAX] {
            let mut sum = exponential(scale, (offset, &[1, 1]));
            sum.add(&exponential(3, (0, &[1])));
            let answer = quantile(&[Histogram::Exponential(sum)], 0.5).unwrap();
            assert!(answer.is_finite(), "scale {scale}, offset {offset}: {answer}");
        }
    }
    let mut sum = exponential(20, (0, &[1]));
    for at in 0..100_000 {
        sum.add(&exponential(20, (at * 7, &[1])));
    }
    assert!(sum.segments().count() <= 8_192);
    assert_eq!(sum.segments().map(|(_, _, n)| n).sum::<i64>(), 100_001);
}

/// What a process does between two readings.
fn steps() -> impl Strategy<Value = Vec<(i64, i64, bool)>> {
    prop::collection::vec((1i64..400, 0i64..1_000, prop::bool::weighted(0.1)), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Scenario: any life of a counter, with restarts that its start tells and
    /// pauses of any length.
    /// Guarantees: the increases are what was counted between points within
    /// reach; the same life sent as deltas sums to all of it.
    #[test]
    fn increases_are_what_was_counted(life in steps()) {
        let (mut start, mut now, mut total) = (0, 0, 0);
        let (mut points, mut deltas, mut counted, mut all) = (vec![], vec![], 0, 0);
        for (pause, more, restart) in life {
            let before = now;
            now += pause;
            if restart {
                (start, total) = (before, 0);
            }
            total += more;
            all += more;
            // A first point, or one after a gap, is seen from its own start.
            let seen = match pause * SECOND <= REACH && before > 0 {
                true => more,
                false if (now - start) * SECOND <= REACH => total,
                false => 0,
            };
            counted += seen;
            points.push(int(Some(start), now, total));
            deltas.push(int(Some(before), now, more));
        }
        let sum = |of: Vec<Option<(f64, i64)>>| of.iter().flatten().map(|i| i.0).sum::<f64>();
        prop_assert_eq!(sum(increases(Temporality::Cumulative, &points)), counted as f64);
        prop_assert_eq!(sum(increases(Temporality::Delta, &deltas)), all as f64);
    }

    /// Scenario: any values, told in buckets of either kind.
    /// Guarantees: a quantile lies in the bucket of the value of that rank, and
    /// grows with q.
    #[test]
    fn quantiles_lie_in_the_right_bucket(
        values in prop::collection::vec(0.01f64..900.0, 1..200),
        q in 0.0f64..=1.0,
    ) {
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = ((q * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len());
        let truth = sorted[rank - 1];

        let bounds: Vec<f64> = (0..10).map(|n| f64::from(1 << n)).collect();
        let mut counts = vec![0i64; bounds.len() + 1];
        for value in &values {
            counts[bounds.partition_point(|bound| bound < value)] += 1;
        }
        let at = bounds.partition_point(|bound| *bound < truth);
        let low = if at == 0 { 0.0 } else { bounds[at - 1] };
        let high = bounds.get(at).copied().unwrap_or(low);
        let of = [explicit(&bounds, &counts)];
        let answer = quantile(&of, q).unwrap();
        prop_assert!(low * 0.999 <= answer && answer <= high * 1.001, "{answer} of {truth}");
        prop_assert!(quantile(&of, q / 2.0).unwrap() <= answer);

        let mut sum = exponential(2, (0, &[]));
        for value in &values {
            let index = (value.log2() * 4.0).ceil() as i32 - 1;
            sum.add(&exponential(2, (index, &[1])));
        }
        let answer = quantile(&[Histogram::Exponential(sum)], q).unwrap();
        // A bucket at scale 2 is 19 % wide.
        prop_assert!(truth / 1.2 <= answer && answer <= truth * 1.2, "{answer} of {truth}");
    }
}
