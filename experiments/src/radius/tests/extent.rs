//! How far a fault reached, over generated days.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;
use futures::executor::block_on;
use serde_json::{Value, json};

use super::super::extent::{Extent, Masked, People, measure};
use super::super::{history, statement};
use crate::Error;
use crate::indicator::{Ask, Table};
use crate::statistics::random::Random;
use crate::verdict::tests::shop::{DOCUMENT, Harm, run};
use crate::window::{BUCKET, Phases};

/// Answers in the order of the questions.
struct Answers(Mutex<VecDeque<Table>>);

#[async_trait]
impl Ask for Answers {
    async fn ask(&self, _: &str) -> Result<Table, Error> {
        Ok(self.0.lock().unwrap().pop_front().unwrap_or_default())
    }
}

fn table(rows: Vec<Vec<Value>>) -> Table {
    Table { rows, ..Table::default() }
}

/// Requests of users (`web /`) and of services (`pay charge`) in each bucket; so
/// many times as slow, and this share of those of users failing.
fn requests(random: &mut Random, buckets: i64, slow: f64, fail: f64) -> Table {
    let mut rows = Vec::new();
    for bucket in 0..buckets {
        for (service, operation, root) in [("web", "/", 1), ("pay", "charge", 0)] {
            for _ in 0..6 {
                let gauss = (0..4).map(|_| random.unit()).sum::<f64>() - 2.0;
                let cell = ((20e6 * slow * (0.3 * gauss).exp()).ln() * 100.0).floor() as i64;
                let failed = i64::from(root == 1 && random.unit() < fail);
                rows.push(vec![
                    json!(service),
                    json!(operation),
                    json!(root),
                    json!(failed),
                    json!(bucket),
                    json!(cell),
                    json!(1),
                ]);
            }
        }
    }
    table(rows)
}

fn day(seed: u64, slow: f64, fail: f64) -> Extent {
    let run = run(DOCUMENT, 1, Harm::default());
    let phases = Phases::of(&run.window, &run.experiment.window);
    let judged = phases.end();
    let reach = history::reach(&phases, judged);
    let hour = (phases.start() - 3_600_000_000_000 - reach.from) / BUCKET.nanos();
    let recorded = (hour..hour + 720).map(|at| vec![json!(at), json!(12)]).collect();
    let random = &mut Random::new(seed);
    let people = [200, 60, 40, 8, 0, 0].map(|n| json!(n)).to_vec();
    let answers = [
        table(recorded),
        requests(random, 800, 1.0, 0.01),
        requests(random, i64::from(phases.baseline.buckets), 1.0, 0.01),
        requests(random, i64::from(phases.injection.buckets), slow, fail),
        table(vec![people]),
        table(vec![
            vec![json!("pay"), json!(40), json!(39)],
            vec![json!("web"), json!(40), json!(1)],
        ]),
    ];
    let ask = Answers(Mutex::new(answers.into()));
    block_on(measure(&run.experiment, &run.window, judged, &ask)).unwrap()
}

/// Scenario: twenty days without a fault; three on which a third of the requests
/// of users fail; three on which everything takes four times as long.
/// Guarantees: at most one calm day shows an endpoint that stands out, and none a
/// grown share of affected requests; each other day shows the endpoint that users
/// ask for, and the share within a tenth.
#[test]
fn affected_requests_are_counted() {
    let mut flagged = 0;
    for seed in 0..20 {
        let calm = day(seed, 1.0, 0.01);
        assert!(calm.noise.is_calibrated());
        flagged += usize::from(calm.endpoints.iter().any(|endpoint| endpoint.stands_out));
        let grown = calm.traces.grown.unwrap();
        assert!(grown.high < 0.1 && grown.low <= 0.01, "{grown:?}");
        if seed >= 3 {
            continue;
        }
        for (harm, share) in [(day(seed, 1.0, 0.34), 0.33), (day(seed, 4.0, 0.01), 0.99)] {
            let first = harm.endpoints.iter().find(|endpoint| endpoint.service == "web").unwrap();
            assert!(first.stands_out && first.user_visible, "{first:?}");
            let grown = harm.traces.grown.unwrap();
            assert!((grown.estimate - share).abs() < 0.1, "{grown:?}");
        }
    }
    assert!(flagged <= 1, "{flagged}");
}

/// Scenario: spans that name users and no tenants, though twice as many felt it as
/// there are; errors of two services, of which the root of one in twenty knows, and
/// of all but one.
/// Guarantees: users are told and never more of them felt it than there are, who is
/// not told of is missing and not zero; only errors that no user saw are masked.
#[test]
fn users_and_masked_errors_are_told() {
    let found = day(1, 1.0, 0.01);
    assert_eq!(found.users, Some(People { all: 40, felt: 8 }));
    assert_eq!(found.tenants, None);
    let masked: Vec<&str> =
        found.masked.iter().filter(|m| m.is_masked()).map(|m| m.service.as_str()).collect();
    assert_eq!(masked, ["pay"]);
    let of = |traces, masked| Masked { service: "s".into(), traces, masked }.is_masked();
    assert!(of(20, 19) && !of(20, 18) && !of(2, 2) && !of(0, 0));
}

/// Scenario: names with quotes among the endpoints that are told what slow is, and
/// no endpoint at all.
/// Guarantees: they are literals, and the list is never empty.
#[test]
fn thresholds_are_literals() {
    let span = crate::window::Span { from: 0, buckets: 12 };
    let listed = [("we'b".to_owned(), "GET /'; --".to_owned(), 7)];
    let sql = statement::reach(span, &listed, 0);
    assert!(sql.contains("(VALUES ('we''b', 'GET /''; --', 7), ('', '', 0))"), "{sql}");
    assert!(statement::reach(span, &[], 0).contains("(VALUES ('', '', 0))"));
}
