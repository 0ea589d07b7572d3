use proptest::prelude::*;

use super::bootstrap::{self, Cells};
use super::interval::{Interval, Standing};
use super::random::Random;
use super::ratio::Share;
use super::{multiple, normal, power, rank, rate, ratio};
use crate::document::tolerance::Limits;

#[track_caller]
fn near(found: f64, expected: f64, digits: i32) {
    let error = (found - expected).abs();
    assert!(error < 0.5 * 10f64.powi(-digits), "{found}, expected {expected}");
}

#[track_caller]
fn spans(found: Interval, expected: [f64; 3], digits: i32) {
    near(found.estimate, expected[0], digits);
    near(found.low, expected[1], digits);
    near(found.high, expected[2], digits);
}

/// Scenario: values from tables of the normal, gamma and beta distributions.
/// Guarantees: the distributions agree to the digits given.
#[test]
fn distributions_agree_with_tables() {
    near(normal::cdf(1.96), 0.975_002_104_851_78, 12);
    near(normal::tail(3.0), 1.349_898_031_630_09e-3, 14);
    near(normal::tail(5.0) * 1e7, 2.866_515_718_791_94, 10);
    near(normal::quantile(0.975), 1.959_963_984_540_05, 12);
    near(normal::quantile(0.001), -3.090_232_306_167_81, 12);
    near(normal::ln_gamma(10.5), 13.940_625_219_403_76, 10);
    near(normal::ln_choose(40, 20).exp() / 137_846_528_820.0, 1.0, 9);
    near(normal::beta(0.5, 2.0, 3.0), 0.6875, 12);
    near(normal::beta(0.1, 0.5, 0.5), 0.204_832_764_699_13, 10);
}

/// Scenario: two published samples, small and without ties.
/// Guarantees: Mann-Whitney, Hodges-Lehmann and its interval are those that R
/// gives for its own example (`wilcox.test`, Hollander and Wolfe's permeability),
/// and scipy for its.
#[test]
fn ranks_agree_with_published_examples() {
    let x = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46];
    let y = [1.15, 0.88, 0.90, 0.74, 1.21];
    let test = rank::mann_whitney(&y, &x, 1.0);
    assert_eq!((test.u, test.exact), (35.0, true));
    near(test.greater, 0.1272, 4);
    near(test.two_sided(), 0.2544, 4);
    spans(rank::hodges_lehmann(&y, &x, 1.0), [0.305, -0.15, 0.76], 9);
    let (males, females) = ([19.0, 22.0, 16.0, 29.0, 24.0], [20.0, 11.0, 17.0, 12.0]);
    let test = rank::mann_whitney(&females, &males, 1.0);
    assert_eq!(test.u, 17.0);
    near(test.two_sided(), 0.111_111_111_111, 9);
    near(rank::a12(&[1.0, 2.0, 3.0], &[2.0, 3.0, 4.0]), 7.0 / 9.0, 12);
}

/// Scenario: samples with ties, against every way to divide them.
/// Guarantees: the exact p-values are those of the enumeration.
#[test]
fn exact_p_values_are_enumerated() {
    let (before, after) = ([1.0, 2.0, 2.0, 3.0], [2.0, 3.0, 3.0, 4.0, 2.0]);
    let all: Vec<f64> = before.iter().chain(&after).copied().collect();
    let u = |chosen: u32| {
        let side = |which: bool| {
            (0..9).filter(move |at| (chosen >> at & 1 == 1) == which).map(|at| all[at])
        };
        let pairs = side(true).flat_map(|a| side(false).map(move |b| (a, b)));
        pairs.map(|(a, b)| f64::from(a > b) + f64::from(a == b) / 2.0).sum::<f64>()
    };
    let draws: Vec<f64> = (0..512u32).filter(|c| c.count_ones() == 5).map(u).collect();
    let test = rank::mann_whitney(&before, &after, 1.0);
    let share = |count: usize| count as f64 / draws.len() as f64;
    near(test.greater, share(draws.iter().filter(|d| **d >= test.u).count()), 12);
    near(test.less, share(draws.iter().filter(|d| **d <= test.u).count()), 12);
}

/// Scenario: ratios of Newcombe's and Wilson's papers, Fisher's tea, and exact
/// intervals of textbooks.
/// Guarantees: the intervals and p-values are the published ones.
#[test]
fn ratios_agree_with_published_values() {
    spans(ratio::newcombe(Share::new(48, 80), Share::new(56, 70)), [0.2, 0.0524, 0.3339], 4);
    spans(ratio::newcombe(Share::new(3, 10), Share::new(9, 10)), [0.6, 0.1705, 0.8090], 4);
    spans(ratio::newcombe(Share::new(0, 10), Share::new(10, 10)), [1.0, 0.6075, 1.0], 4);
    spans(ratio::wilson(Share::new(10, 100)), [0.1, 0.0552, 0.1744], 4);
    spans(ratio::wilson(Share::new(81, 263)), [0.3080, 0.2553, 0.3662], 4);
    spans(ratio::clopper_pearson(Share::new(0, 10)), [0.0, 0.0, 0.3085], 4);
    spans(ratio::clopper_pearson(Share::new(10, 100)), [0.1, 0.0490, 0.1762], 4);
    near(ratio::fisher((8, 10), (1, 6)), 0.034_965_034_965, 9);
    near(ratio::fisher((3, 4), (1, 4)), 0.485_714_285_714, 9);
}

/// Scenario: adjusted p-values as R's `p.adjust` gives them.
/// Guarantees: Holm and Benjamini-Hochberg agree.
#[test]
fn multiplicity_agrees_with_r() {
    let p = [0.01, 0.04, 0.03, 0.005];
    let close = |found: Vec<f64>, expected: [f64; 4]| {
        found.iter().zip(expected).for_each(|(f, e)| near(*f, e, 12));
    };
    close(multiple::holm(&p), [0.03, 0.06, 0.06, 0.02]);
    close(multiple::benjamini_hochberg(&p), [0.02, 0.04, 0.04, 0.02]);
}

/// Scenario: samples that are drawn again and again from one distribution, and
/// buckets that follow their neighbours.
/// Guarantees: 95 % intervals hold the truth about that often, dependent buckets
/// are worth fewer, and dispersed counts widen their interval.
#[test]
fn intervals_cover_what_they_say() {
    let mut random = Random::new(7);
    let mut gauss = move || (0..12).map(|_| random.unit()).sum::<f64>() - 6.0;
    let mut covered = [0, 0];
    for round in 0..200 {
        let before: Vec<f64> = (0..30).map(|_| gauss()).collect();
        let after: Vec<f64> = (0..20).map(|_| gauss() + 1.0).collect();
        let shift = rank::hodges_lehmann(&before, &after, 1.0);
        covered[0] += u32::from(shift.low <= 1.0 && 1.0 <= shift.high);
        let cells: Vec<[(f64, f64); 1]> = (0..60).map(|_| [(gauss(), 1.0)]).collect();
        let cells: Vec<&Cells> = cells.iter().map(|c| &c[..]).collect();
        let middle = bootstrap::interval(&cells, 0.5, round);
        covered[1] += u32::from(middle.low <= 0.0 && 0.0 <= middle.high);
    }
    assert!(covered[0] >= 184, "{covered:?}");
    assert!(covered[1] >= 174, "{covered:?}");
    let mut value = 0.0;
    let walk: Vec<f64> = (0..200)
        .map(|_| {
            value = 0.7 * value + gauss();
            value
        })
        .collect();
    let worth = rank::effective(&walk);
    assert!(worth > 20.0 && worth < 70.0, "{worth}");
    let free: Vec<f64> = (0..200).map(|_| gauss()).collect();
    assert!(rank::effective(&free) > 150.0);
    let (even, lumpy) = ([10.0; 20], [0.0, 20.0].repeat(10));
    let width = |interval: Interval| interval.high - interval.low;
    assert!(width(rate::mean(&lumpy, 1.0)) > 2.0 * width(rate::mean(&even, 1.0)));
    let times = |after: &[f64]| width(rate::ratio(&even, after, [1.0; 2]));
    assert!(times(&lumpy) > 2.0 * times(&even));
    assert!(width(rate::mean(&even, 16.0)) > 3.0 * width(rate::mean(&even, 1.0)));
    assert_eq!(ratio::dispersion(&[(1.0, 10.0), (1.0, 10.0)]), 1.0);
    assert!(ratio::dispersion(&[(0.0, 10.0), (10.0, 10.0), (0.0, 10.0), (10.0, 10.0)]) > 5.0);
}

/// Scenario: six buckets and eight, of a process that remembers; their move
/// widened by what they show of that.
/// Guarantees: the interval is told, far from a step that never was, and where
/// memory was seen it holds the truth as often as it says; more dependence never
/// narrows it.
#[test]
fn few_dependent_buckets_still_tell_a_step_from_a_stir() {
    let mut random = Random::new(11);
    let mut gauss = move || (0..12).map(|_| random.unit()).sum::<f64>() - 6.0;
    let mut drawn = |memory: f64, count: usize| {
        let mut value = gauss();
        let next = |_| {
            value = memory * value + (1.0 - memory * memory).sqrt() * gauss();
            value
        };
        (0..count).map(next).collect::<Vec<f64>>()
    };
    for memory in [0.0, 0.3, 0.6] {
        let mut dependent = [0, 0];
        for _ in 0..200 {
            let (before, after) = (drawn(memory, 6), drawn(memory, 8));
            let worth = rank::effective(&after) / after.len() as f64;
            let inflation = (1.0 / worth).sqrt();
            let moved = rank::hodges_lehmann(&before, &after, inflation);
            assert!(moved.is_known() && moved.high < 40.0 && moved.low > -40.0, "{moved:?}");
            let more = rank::hodges_lehmann(&before, &after, inflation * 1.5);
            assert!(more.low <= moved.low && more.high >= moved.high, "{moved:?} {more:?}");
            let holds = moved.low <= 0.0 && moved.high >= 0.0;
            dependent[0] += u32::from(inflation > 1.0);
            dependent[1] += u32::from(inflation > 1.0 && holds);
        }
        let [seen, held] = dependent;
        assert!(seen > 0 && held * 20 >= seen * 19, "{memory}: {held} of {seen}");
    }
}

/// Scenario: no values, one value, NaN, no events.
/// Guarantees: J2: nothing is known of them, so that no tolerance holds or is broken.
#[test]
fn inv_j2_nothing_is_known_of_nothing() {
    let open = Limits { low: Some(-1e9), high: Some(1e9) };
    let unclear = |interval: Interval| assert_eq!(interval.standing(open), Standing::Unclear);
    unclear(rank::hodges_lehmann(&[], &[1.0], 1.0));
    unclear(rank::hodges_lehmann(&[1.0], &[1.0], 1.0));
    unclear(rank::hodges_lehmann(&[1.0, f64::NAN, 2.0], &[1.0; 30], 1.0));
    unclear(ratio::interval(Share::default()));
    unclear(ratio::difference(Share::default(), Share::new(1, 100)));
    unclear(rate::mean(&[], 1.0));
    unclear(rate::ratio(&[], &[1.0], [1.0; 2]));
    unclear(bootstrap::interval(&[&[(1.0, 9.0)]], 0.5, 1));
    unclear(Interval::new(f64::NAN, 0.0, 0.0));
    assert_eq!(rank::mann_whitney(&[], &[1.0], 1.0).two_sided(), 1.0);
    assert_eq!(ratio::fisher((0, 0), (1, 2)), 1.0);
}

/// Scenario: the smallest effect that samples can show.
/// Guarantees: it is near n samples' 7.85/(n + 7.85) at none, and shrinks with more.
#[test]
fn the_detectable_effect_shrinks_with_samples() {
    near(power::detectable_ratio(100.0, 0.0), 7.849 / 107.849, 4);
    assert!(power::detectable_ratio(10_000.0, 0.01) < 0.004);
    assert!(power::detectable_ratio(0.0, 0.0) > 0.99);
    near(power::detectable(&Interval::new(0.0, -1.96, 1.96)), 2.8016, 3);
}

fn values() -> impl Strategy<Value = Vec<f64>> {
    // Few values, so that ties are common.
    prop::collection::vec((0..12).prop_map(f64::from), 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Scenario: any two samples with ties.
    /// Guarantees: exchanging them mirrors test, shift and effect; p-values are
    /// chances; the shift lies in its interval and follows a shift of the data.
    #[test]
    fn ranks_are_symmetric(before in values(), after in values(), by in -5i32..5) {
        let (one, other) =
            (rank::mann_whitney(&before, &after, 1.0), rank::mann_whitney(&after, &before, 1.0));
        prop_assert!((one.greater - other.less).abs() < 1e-9);
        prop_assert!((0.0..=1.0).contains(&one.greater) && (0.0..=1.0).contains(&one.less));
        prop_assert!((rank::a12(&before, &after) + rank::a12(&after, &before) - 1.0).abs() < 1e-9);
        let there = rank::hodges_lehmann(&before, &after, 1.0);
        let back = rank::hodges_lehmann(&after, &before, 1.0);
        prop_assert!((there.estimate + back.estimate).abs() < 1e-9);
        prop_assert!(there.low <= there.estimate && there.estimate <= there.high);
        let moved: Vec<f64> = after.iter().map(|v| v + f64::from(by)).collect();
        let moved = rank::hodges_lehmann(&before, &moved, 1.0);
        prop_assert!((moved.estimate - there.estimate - f64::from(by)).abs() < 1e-9);
        let wide = rank::hodges_lehmann(&before, &after, 2.0);
        prop_assert!(wide.low <= there.low && wide.high >= there.high);
        let firm = rank::mann_whitney(&before, &after, 1.5);
        prop_assert!(firm.greater >= one.greater.min(0.5) - 1e-9);
    }

    /// Scenario: any two shares.
    /// Guarantees: intervals hold their estimate, stay within what is possible,
    /// narrow with more samples, and the difference mirrors.
    #[test]
    fn ratios_are_sound(n in 1u64..400, m in 1u64..400, a in 0.0..1.0f64, b in 0.0..1.0f64) {
        let (one, other) = (
            Share::new((a * n as f64) as u64, n),
            Share::new((b * m as f64) as u64, m),
        );
        for interval in [ratio::wilson(one), ratio::clopper_pearson(one)] {
            prop_assert!(interval.low <= interval.estimate + 1e-12);
            prop_assert!(interval.high >= interval.estimate - 1e-12);
            prop_assert!(interval.low >= 0.0 && interval.high <= 1.0);
        }
        let tenfold = Share { hits: one.hits * 10.0, n: one.n * 10.0 };
        let width = |i: Interval| i.high - i.low;
        prop_assert!(width(ratio::wilson(tenfold)) <= width(ratio::wilson(one)) + 1e-12);
        prop_assert!(width(ratio::wilson(one.over(3.0))) >= width(ratio::wilson(one)) - 1e-12);
        let (there, back) = (ratio::newcombe(one, other), ratio::newcombe(other, one));
        prop_assert!((there.low + back.high).abs() < 1e-9);
        prop_assert!(there.low >= -1.0 - 1e-9 && there.high <= 1.0 + 1e-9);
        let (x, y) = ((one.hits as u64, n), (other.hits as u64, m));
        prop_assert!((ratio::fisher(x, y) - ratio::fisher(y, x)).abs() < 1e-6);
    }

    /// Scenario: any p-values.
    /// Guarantees: adjusted ones are no smaller, keep their order, and Holm is
    /// the stricter.
    #[test]
    fn adjusted_p_values_keep_their_order(p in prop::collection::vec(0.0..1.0f64, 1..20)) {
        let (holm, bh) = (multiple::holm(&p), multiple::benjamini_hochberg(&p));
        let all: Vec<[f64; 3]> =
            p.iter().zip(&holm).zip(&bh).map(|((p, holm), bh)| [*p, *holm, *bh]).collect();
        for [p, holm, bh] in &all {
            prop_assert!(holm >= &(p - 1e-12) && holm >= &(bh - 1e-12) && bh >= &(p - 1e-12));
            for [other, larger, also] in all.iter().filter(|[other, ..]| p < other) {
                prop_assert!(holm <= &(larger + 1e-12) && bh <= &(also + 1e-12), "{p} {other}");
            }
        }
    }

    /// Scenario: any interval and tolerance.
    /// Guarantees: it is never inside and outside, and widening it never makes it either.
    #[test]
    fn widening_never_decides(
        at in -10.0..10.0f64, half in 0.0..5.0f64, low in -10.0..0.0f64, high in 0.0..10.0f64
    ) {
        let limits = Limits { low: Some(low), high: Some(high) };
        let narrow = Interval::new(at, at - half, at + half);
        let wide = narrow.widened(3.0);
        match wide.standing(limits) {
            Standing::Unclear => {}
            decided => prop_assert_eq!(narrow.standing(limits), decided),
        }
    }

    /// Scenario: the same buckets and seed, twice, and another seed.
    /// Guarantees: J1: the same interval, and the estimate does not depend on the seed.
    #[test]
    fn inv_j1_the_bootstrap_is_seeded(
        raw in prop::collection::vec(prop::collection::vec((0u32..50, 1u64..5), 1..5), 3..30),
        seed in any::<u64>()
    ) {
        let buckets: Vec<Vec<(f64, f64)>> = raw
            .into_iter()
            .map(|mut cells| {
                cells.sort_unstable();
                cells.into_iter().map(|(v, n)| (f64::from(v), n as f64)).collect()
            })
            .collect();
        let buckets: Vec<&Cells> = buckets.iter().map(Vec::as_slice).collect();
        let once = bootstrap::interval(&buckets, 0.9, seed);
        prop_assert_eq!(once, bootstrap::interval(&buckets, 0.9, seed));
        let other = bootstrap::interval(&buckets, 0.9, seed ^ 1);
        prop_assert_eq!(once.estimate, other.estimate);
        prop_assert!(once.low <= once.estimate && once.estimate <= once.high);
    }
}
