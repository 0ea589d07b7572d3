use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::document::guard::Watch;
use crate::document::provider::{Measure, Provider};
use crate::guard::ring::Ring;
use crate::guard::tally::Tally;
use crate::indicator::text::{CELLS, cell_millis};
use crate::statistics::bootstrap;

const NOW: i64 = 1_795_168_800 * SECOND + 700_000_000;
const WINDOW: i64 = 10;
const LATE: i64 = 60 * SECOND;

fn measure(guard: &str) -> Measure {
    let experiment = experiment(guard);
    match &experiment.guard[0].watch {
        Watch::Threshold(threshold) => match &threshold.provider {
            Provider::Measure(measure) => measure.clone(),
            Provider::Sql { .. } => panic!("no measure"),
        },
        _ => panic!("no threshold"),
    }
}

fn row() -> impl Strategy<Value = Row> {
    let service = prop::sample::select(vec!["shop", "pay"]);
    let kind = prop::sample::select(vec!["SERVER", "CONSUMER", "CLIENT", "INTERNAL"]);
    let name = prop::sample::select(vec!["GET /", "POST /cart"]);
    let when = (0..16 * SECOND, -2 * SECOND..70 * SECOND, 0..5 * SECOND);
    (service, kind, name, 0u64..40, any::<bool>(), any::<bool>(), when).prop_map(
        |(service, kind, name, id, parent, error, (ago, age, duration))| {
            let received = NOW - ago;
            let state = (id % 7 == 0).then_some("ot=th:c");
            let time = received - age - duration;
            Row { service, kind, name, id, parent, error, time, duration, received, state }
        },
    )
}

/// The judge's definition over rows of the window, written down plainly:
/// `SELECT DISTINCT trace_id, span_id, time_unix_nano, duration_ns, is_error,
/// trace_state … WHERE service_name = … AND kind IN ('SERVER', 'CONSUMER')`.
fn model(rows: &[Row], subject: &Subject) -> Tally {
    let mut tally = Tally::default();
    let last = NOW.div_euclid(SECOND);
    let mut distinct = BTreeSet::new();
    for row in rows {
        let second = row.received.div_euclid(SECOND);
        let named = subject.endpoint.as_deref().is_none_or(|name| name == row.name);
        let counts = match subject.stream {
            subject::Stream::Served => matches!(row.kind, "SERVER" | "CONSUMER"),
            subject::Stream::Roots => !row.parent,
            subject::Stream::Logs => true,
        };
        let ended = row.time + row.duration;
        let current = second > last - WINDOW && ended >= second * SECOND - LATE;
        let key = (row.id, row.time, row.duration, row.error);
        if row.service == subject.service && named && counts && current && distinct.insert(key) {
            // th:c rejects three of four.
            let weight = if row.state.is_some() { 4.0 } else { 1.0 };
            tally.n += 1;
            tally.all += weight;
            tally.errors += if row.error { weight } else { 0.0 };
            tally.traced += weight;
            let cell = ((row.duration.max(1_000) as f64).ln() * CELLS).floor() as u16;
            *tally.cells.entry(cell).or_default() += weight;
        }
    }
    tally
}

proptest! {
    /// Scenario: spans of two services of all kinds, early, late and sent twice, in
    /// batches as they arrive; guards of each streamed kind, with and without endpoint.
    /// Guarantees: what was streamed is what the judge's SQL counts over the same
    /// rows, by number, errors and quantiles, sampled ones as what they stand for.
    #[test]
    fn a_streamed_value_is_the_one_of_the_sql(mut rows in vec(row(), 1..120), cuts in vec(1usize..30, 1..40)) {
        rows.sort_by_key(|row| row.received);
        // Sent again at once, as after a broken connection.
        for at in (0..rows.len()).step_by(5) {
            let again = rows[at].clone();
            rows.insert(at + 1, again);
        }
        for guard in [
            "{service: shop, indicator: error_ratio, when: \"> 0.05\"}",
            "{service: shop, endpoint: \"POST /cart\", indicator: p95, when: \"> 1s\"}",
            "{service: pay, indicator: trace.root_success, when: \"< 0.5\"}",
        ] {
            let measure = measure(guard);
            let subject = Subject::of(&measure).unwrap();
            let plan = plan([Tenant::default()], [(Tenant::default(), subject.clone())]);
            let mut ring = Ring::new(WINDOW, LATE, NOW - 60 * SECOND);
            let (mut rest, mut cuts) = (&rows[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (part, left) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                for arrival in hear(&plan, "spans", part).arrivals {
                    ring.take(arrival.second, &arrival.marks);
                }
                rest = left;
            }
            ring.forget(NOW.div_euclid(SECOND));
            let (streamed, modelled) = (ring.window(NOW, WINDOW), model(&rows, &subject));
            prop_assert_eq!(&streamed, &modelled);
            let cells: BTreeMap<u16, f64> = modelled.cells.clone();
            let cells: Vec<(f64, f64)> =
                cells.iter().map(|(c, n)| (cell_millis(i64::from(*c)), *n)).collect();
            let n = modelled.all;
            let expected = match measure.indicator.to_string().as_str() {
                "error_ratio" => modelled.errors / n,
                "root_success" => (modelled.all - modelled.errors) / n,
                _ => bootstrap::quantile(&cells, 0.95),
            };
            match streamed.value(&measure, WINDOW as f64) {
                Some(value) => prop_assert!((value - expected).abs() < 1e-9),
                None => prop_assert_eq!(modelled.n, 0),
            }
        }
    }
}

/// Scenario: log records of two services, some of them errors, one sent twice.
/// Guarantees: a service's error ratio counts ERROR and FATAL of all its records.
#[test]
fn log_records_are_counted_by_severity() {
    let measure = measure("{service: pay, indicator: log.error_ratio, when: \"> 0.1\"}");
    let subject = Subject::of(&measure).unwrap();
    let plan = plan([Tenant::default()], [(Tenant::default(), subject)]);
    let log = |id: u64, error: bool| Row { error, ..Row::served("pay", id, NOW) };
    let rows = [log(1, true), log(2, false), log(2, false), log(3, false), log(4, false)];
    let other = Row::served("shop", 9, NOW);
    let heard = hear(&plan, "logs", &[&rows[..], &[other]].concat());
    let mut ring = Ring::new(WINDOW, LATE, NOW - 60 * SECOND);
    heard.arrivals.iter().for_each(|arrival| ring.take(arrival.second, &arrival.marks));
    assert_eq!(ring.window(NOW, WINDOW).value(&measure, 10.0), Some(0.25));
    assert_eq!((heard.rows, heard.services), (6, vec![("pay".into(), 5)]));
}
