//! Bodies of the store that are not what was stored (F25), as statements meet
//! them: through what storage puts before a remote store, and a faulty one behind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use query::Error;
use schema::ErrorKind;
use serde_json::json;
use storage::store::Whole;
use tokio::time::timeout;

use super::ask::{Asker, asker};
use super::faulty::{Fault, Faulty, Op, Rule};
use super::source::{START, TestSource, origin, span};

/// Together they read footers, page indexes, bloom filters, dictionaries, pages
/// by lookup and by times, and the index of traces.
fn statements() -> [String; 7] {
    let (from, to) = (START + 60, START + 900);
    [
        "SELECT count(*), count(DISTINCT span_id), sum(duration_ns), max(name) FROM spans".into(),
        "SELECT span_id, attributes FROM spans WHERE duration_ns > 29000 ORDER BY span_id".into(),
        "SELECT service_name, count(*) FROM spans GROUP BY service_name ORDER BY 1".into(),
        "SELECT span_id FROM spans WHERE attributes['user.id'] = 'u77' ORDER BY span_id".into(),
        "SELECT count(*), min(name) FROM spans WHERE trace_id = '00000000000000000000000000000007'"
            .into(),
        "SELECT time, span_id FROM spans ORDER BY time DESC, span_id LIMIT 3".into(),
        format!(
            "SELECT count(*), sum(duration_ns) FROM spans \
             WHERE time >= to_timestamp({from}) AND time < to_timestamp({to})"
        ),
    ]
}

/// Four files of spans, one of them with more than a page, and their index.
async fn source() -> Arc<TestSource> {
    let source = TestSource::new();
    for file in 0..4i64 {
        let rows = if file == 0 { 5_000 } else { 100 };
        let spans = (file * 10_000..file * 10_000 + rows).map(|id| {
            span(
                id % 10_000,
                json!({
                    "trace_id": format!("{:032x}", id / 10), "span_id": format!("{id:016x}"),
                    "service_name": format!("service-{}", id % 5),
                    "name": format!("GET /{}", id % 31), "duration_ns": id,
                    "attributes": {"user.id": format!("u{}", id % 400), "n": id.to_string()},
                }),
            )
        });
        let at = file as u64 + 1;
        source.flush(origin(at, at), &spans.collect::<Vec<_>>()).await;
    }
    source
}

async fn answered(asker: &Asker, sql: &str) -> Result<Vec<String>, Error> {
    let asked = timeout(Duration::from_secs(60), asker.try_ask(sql)).await;
    asked.unwrap_or_else(|_| panic!("no end: {sql}")).map(|(rows, _)| rows)
}

/// Each statement, with the fault at each of its reads in turn, judged by what it
/// should have answered. Afterwards the store is sound: the same engine must
/// answer right.
async fn at_each_read(fault: Fault, judge: impl Fn(bool, &Result<Vec<String>, Error>) -> bool) {
    let source = source().await;
    let mut told = BTreeMap::new();
    for sql in statements() {
        let right = asker(&source).rows(&sql).await;
        // Reads that come late are much alike.
        for nth in (1..10).chain((10..200).step_by(7)) {
            let bent = Faulty::new(source.sound(), 25 + nth);
            bent.rule(Rule::new(fault).on(&[Op::Get]).nth(nth));
            source.wrap(Arc::new(Whole::new(Arc::new(bent.clone()))));
            let asker = asker(&source);
            let answer = answered(&asker, &sql).await;
            if bent.did(fault.name()) == 0 {
                assert!(nth > 1, "{sql} reads nothing");
                break;
            }
            let same = answer.as_ref().is_ok_and(|rows| *rows == right);
            assert!(judge(same, &answer), "{fault:?} at read {nth} of {sql}: {answer:?}");
            let said = answer.map_or_else(|error| error.to_string(), |_| format!("right: {same}"));
            *told.entry(said).or_insert(0) += 1;
            assert_eq!(asker.rows(&sql).await, right, "{fault:?} at {nth} stays: {sql}");
        }
        source.wrap(source.sound());
    }
    assert!(told.len() > 1, "{fault:?} changed nothing: {told:?}");
}

/// A refusal that says what is wrong with the store or the file.
fn is_told(answer: &Result<Vec<String>, Error>) -> bool {
    let of = |error: &Error| matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Corrupt);
    answer.as_ref().is_err_and(|error| of(error) && error.hint().is_some())
}

/// Scenario: a body breaks off, ends early without a word, or is an error's
/// document; at every read of statements that read in every way there is.
/// Guarantees: F25: the answer is right, or an error that says what is wrong;
/// and right again as soon as the store is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f25_statements_believe_no_body_that_is_not_whole() {
    for fault in [Fault::Cut, Fault::Short, Fault::Lies] {
        at_each_read(fault, |right, answer| right || is_told(answer)).await;
    }
}

/// Scenario: one bit of a body is another, at every read of the same statements.
/// Guarantees: F25: what does not decode is told, and nothing of it stays. A bit
/// of a page, a bloom filter or a bound that still decodes is another value:
/// Parquet's own checksums cannot be written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f25_a_flipped_bit_costs_one_statement_at_most() {
    at_each_read(Fault::Flips, |_, answer| answer.is_ok() || is_told(answer)).await;
}

/// Scenario: files of which the log says a row more than they have, that were cut in
/// half, that are gone; and sound ones, read for a filter that divides by zero.
/// Guarantees: F25: no row is answered of files that are not what the log says, and
/// what a statement does wrong is not said of its files.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f25_a_file_that_is_not_what_its_log_says_is_not_read() {
    let all = "SELECT count(span_id) FROM spans";
    let source = source().await;
    source.relist("spans", |file| file.rows += 1);
    let error = asker(&source).error(all).await;
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    source.relist("spans", |file| file.rows -= 1);
    assert_eq!(asker(&source).rows(all).await, ["5300"]);
    let own = "SELECT count(*) FROM spans WHERE 1 / (duration_ns - 7) > 0";
    let error = asker(&source).error(own).await;
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    source.cut_objects("spans").await;
    let error = asker(&source).error(all).await;
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    source.lose_objects("spans").await;
    let error = asker(&source).error(all).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("is gone"), "{error}");
}
