//! Functions that stand in FROM, and the view `changes`.

use schema::ErrorKind;
use serde_json::{Value, json};

use super::ask::{asker, asker_with};
use super::source::{START, TestSource, log, origin, point, span};

fn nanos(seconds: i64) -> i64 {
    (START + seconds) * 1_000_000_000
}

/// A counter's point: its value and its start.
fn counted(seconds: i64, series: i64, start: i64, value: i64, fields: Value) -> Value {
    let mut row = point(seconds, "requests", series, fields);
    row["start_time_unix_nano"] = json!(nanos(start));
    row["value"] = json!(value as f64);
    row["value_int"] = json!(value);
    row
}

const RATES: &str = "SELECT time, service_name, attr('k8s.pod.name'), attributes['http.route'], value \
    FROM metric_rate('requests', '1m', '2026-11-23T10:00:00Z', '2026-11-23T10:10:00Z') \
    ORDER BY series_id, time";

/// Scenario: two pods' cumulative counters in files, staged and hot, one
/// restarting in the middle; a silence of seven minutes; other metrics beside.
/// Guarantees: a rate per pod and minute; the restart counts from zero; no row
/// where there is no point; keys are found whether they have columns or not.
#[tokio::test]
async fn rates_are_made_per_series() {
    let source = TestSource::new();
    let pod = |name: &str| json!({"k8s.pod.name": name, "http.route": "/a"});
    // One per second.
    let steady = |range: std::ops::Range<i64>| {
        range.map(move |n| counted(n * 30, 1, -60, n * 30 + 60, pod("a"))).collect::<Vec<_>>()
    };
    // Two per second, anew at 75 s.
    let restarted = (0..4).map(|n| match n {
        0..3 => counted(n * 30, 2, -60, 60 * n + 120, pod("b")),
        _ => counted(n * 30, 2, 75, 30, pod("b")),
    });
    source.commit("metrics", origin(1, 1), &steady(0..2)).await;
    source.stage("metrics", origin(2, 2), &steady(2..4)).await;
    source.hot("metrics", &restarted.collect::<Vec<_>>());
    source.hot("metrics", &[counted(540, 1, -60, 900, pod("a"))]);
    let asker = asker(&source);
    assert_eq!(
        asker.rows(RATES).await,
        [
            "2026-11-23T10:00:00Z,shop,a,/a,1.0",
            "2026-11-23T10:01:00Z,shop,a,/a,1.0",
            "2026-11-23T10:00:00Z,shop,b,/a,2.0",
            "2026-11-23T10:01:00Z,shop,b,/a,1.5",
        ]
    );
    // What a minute says does not depend on where the question begins.
    let later = RATES.replace("10:00:00Z', '", "10:01:00Z', '");
    assert_eq!(
        asker.rows(&later).await,
        ["2026-11-23T10:01:00Z,shop,a,/a,1.0", "2026-11-23T10:01:00Z,shop,b,/a,1.5",]
    );
    let summed = "SELECT time, sum(value) FROM metric_rate('requests', interval '1 minute', \
        now() - interval '1 hour', now()) GROUP BY ALL ORDER BY ALL";
    assert_eq!(asker.rows(summed).await, ["2026-11-23T10:00:00Z,3.0", "2026-11-23T10:01:00Z,2.5"]);
    let unknown = RATES.replace("requests", "request");
    assert_eq!(asker.rows(&unknown).await.len(), 0);
}

/// Scenario: delta points of a route that is rarely asked for, one sent twice;
/// counts beyond 2^53; a histogram's count; a point that says it has no value.
/// Guarantees: deltas are summed over the step, integers are exact, what is
/// empty is no zero.
#[tokio::test]
async fn deltas_and_large_counts_are_exact() {
    let source = TestSource::new();
    let delta = |seconds: i64, value: i64| {
        let mut row = counted(seconds, 1, seconds - 10, value, json!({"temporality": "DELTA"}));
        row["service_name"] = json!("delta");
        row
    };
    let high = (1i64 << 53) + 1;
    let large = |seconds: i64, value: i64| {
        counted(seconds, 2, -9_000, value, json!({"service_name": "large"}))
    };
    let mut empty = large(20, 0);
    empty["flags"] = json!(1);
    let histogram = |seconds: i64, count: i64| {
        let fields = json!({
            "service_name": "timed", "metric_kind": "HISTOGRAM", "is_monotonic": null,
            "count": count, "start_time_unix_nano": nanos(0),
        });
        point(seconds, "requests", 3, fields)
    };
    source.hot(
        "metrics",
        &[
            delta(10, 30),
            delta(10, 30),
            delta(50, 30),
            large(0, high),
            large(10, high + 1),
            empty,
            large(30, high + 3),
            histogram(20, 10),
            histogram(40, 30),
        ],
    );
    let asker = asker(&source);
    let sql = "SELECT service_name, value FROM metric_rate('requests', '1m', \
        '2026-11-23T10:00:00Z', '2026-11-23T10:01:00Z') ORDER BY 1";
    assert_eq!(asker.rows(sql).await, ["delta,1.0", "large,0.1", "timed,0.75"]);
}

/// Scenario: a rate of a gauge, of a sum that falls, a quantile of a counter.
/// Guarantees: refused by name, with what to do instead.
#[tokio::test]
async fn what_has_no_rate_is_refused() {
    let source = TestSource::new();
    source.hot(
        "metrics",
        &[
            point(0, "memory", 1, json!({"metric_kind": "GAUGE", "value": 1.0})),
            point(0, "queue", 2, json!({"is_monotonic": false, "value": 1.0})),
            point(0, "requests", 3, json!({"value": 1.0})),
            point(0, "latency", 4, json!({"metric_kind": "SUMMARY", "count": 1})),
        ],
    );
    let asker = asker(&source);
    let range = "'1m', '2026-11-23T10:00:00Z', '2026-11-23T10:01:00Z'";
    let rate = |name: &str| format!("SELECT * FROM metric_rate('{name}', {range})");
    let error = asker.error(&rate("memory")).await;
    assert_eq!(error.to_string(), "memory of service shop is a gauge and has no rate");
    assert!(error.hint().is_some_and(|hint| hint.contains("avg(value)")), "{error:?}");
    let error = asker.error(&rate("queue")).await;
    assert!(error.to_string().contains("also falls"), "{error}");
    for name in ["requests", "latency"] {
        let sql = format!("SELECT * FROM metric_quantile('{name}', 0.5, {range})");
        let error = asker.error(&sql).await;
        assert!(error.to_string().contains(name) && error.hint().is_some(), "{error:?}");
    }
}

/// Scenario: files of three metrics and of two days.
/// Guarantees: name, time and service leave files unopened.
#[tokio::test]
async fn a_rate_opens_only_its_own_files() {
    let source = TestSource::new();
    for (at, name) in ["apples", "requests", "zebras"].into_iter().enumerate() {
        for day in 0..2i64 {
            let position = at as u64 * 10 + day as u64 + 1;
            let fields = |n: i64| json!({"value": n as f64, "start_time_unix_nano": nanos(-60)});
            let rows: Vec<Value> =
                (0..3).map(|n| point(day * 86_400 + n * 20, name, 1, fields(n))).collect();
            source.commit("metrics", origin(position, position), &rows).await;
        }
    }
    let asker = asker(&source);
    let (rows, summary) = asker.ask(RATES).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((summary.files_read, summary.files_pruned), (1, 5), "{summary:?}");
    let other = "SELECT * FROM metric_rate('requests', '1m', now() - interval '1 hour', now()) \
        WHERE service_name = 'other'";
    let (rows, summary) = asker.ask(other).await;
    assert_eq!((rows.len(), summary.files_read), (0, 0), "{summary:?}");
}

/// Scenario: histograms of both kinds, cumulative with a restart and delta.
/// Guarantees: quantiles of what was observed in each step; a step in which
/// nothing was observed has no quantile, and is no zero.
#[tokio::test]
async fn quantiles_follow_what_was_observed() {
    let source = TestSource::new();
    let explicit = |seconds: i64, start: i64, counts: [i64; 3]| {
        let fields = json!({
            "metric_kind": "HISTOGRAM", "is_monotonic": null, "service_name": "explicit",
            "start_time_unix_nano": nanos(start), "explicit_bounds": [10.0, 20.0],
            "bucket_counts": counts, "count": counts.iter().sum::<i64>(),
        });
        point(seconds, "latency", 1, fields)
    };
    let exponential = |seconds: i64, scale: i32, offset: i32, counts: &[i64]| {
        let fields = json!({
            "metric_kind": "EXPONENTIAL_HISTOGRAM", "is_monotonic": null, "service_name": "exponential",
            "temporality": "DELTA", "start_time_unix_nano": nanos(seconds - 10), "scale": scale,
            "zero_count": 0, "zero_threshold": 0.0, "positive_offset": offset,
            "positive_counts": counts, "negative_offset": 0, "negative_counts": [],
        });
        point(seconds, "latency", 2, fields)
    };
    source.hot(
        "metrics",
        &[
            explicit(0, -9_000, [100, 0, 0]),
            explicit(30, -9_000, [100, 4, 0]),
            // A restart: four in the first bucket.
            explicit(70, 65, [4, 0, 0]),
            explicit(130, 65, [4, 0, 0]),
            exponential(20, 0, 0, &[4]),
            exponential(40, 1, 2, &[4, 4]),
        ],
    );
    let asker = asker(&source);
    let sql = "SELECT service_name, time, value FROM metric_quantile('latency', 0.5, '1m', \
        '2026-11-23T10:00:00Z', '2026-11-23T10:10:00Z') ORDER BY ALL";
    assert_eq!(
        asker.rows(sql).await,
        [
            "explicit,2026-11-23T10:00:00Z,15.0",
            "explicit,2026-11-23T10:01:00Z,5.0",
            "explicit,2026-11-23T10:02:00Z,",
            // 4 in (1, 2], 8 in (2, 4]: the sixth is a quarter into the second.
            "exponential,2026-11-23T10:00:00Z,2.5",
        ]
    );
}

fn traced(id: &str, parent: &str, seconds: i64, millis: i64, fields: Value) -> Value {
    let parent = if parent.is_empty() { Value::Null } else { json!(parent) };
    let mut row = span(
        seconds,
        json!({
            "trace_id": "aa", "span_id": id, "parent_span_id": parent, "name": id,
            "duration_ns": millis * 1_000_000,
        }),
    );
    for (name, value) in fields.as_object().unwrap() {
        row[name] = value.clone();
    }
    row
}

/// A request through three services, a database, a queue and a stranger.
fn request() -> Vec<Value> {
    let client = |service: &str, attributes: Value| json!({"kind": "CLIENT", "service_name": service, "attributes": attributes});
    vec![
        traced("GET /", "", 0, 6_000, json!({"service_name": "web"})),
        traced("call cart", "GET /", 1, 3_000, client("web", json!({"peer.service": "never"}))),
        traced(
            "POST /items",
            "call cart",
            1,
            2_000,
            json!({"service_name": "cart", "is_error": true}),
        ),
        traced(
            "SELECT",
            "POST /items",
            2,
            1_000,
            json!({
                "kind": "CLIENT", "service_name": "cart", "db.system.name": "postgresql",
                "attributes": {"db.namespace": "carts"}, "server.address": "10.0.0.1",
            }),
        ),
        traced("work", "GET /", 4, 500, json!({"kind": "INTERNAL", "service_name": "web"})),
        traced(
            "send",
            "work",
            4,
            100,
            json!({"kind": "PRODUCER", "service_name": "web", "messaging.destination.name": "orders"}),
        ),
        traced("pay", "GET /", 5, 900, client("web", json!({"net.peer.name": "bank.example"}))),
        traced("dns", "pay", 5, 10, json!({"kind": "INTERNAL", "service_name": "web"})),
        traced("who knows", "GET /", 5, 1, client("web", json!({}))),
    ]
}

/// Scenario: that request.
/// Guarantees: seen edges by the callee's span, inferred ones by what the
/// caller says, each once; a call whose child answers is not inferred.
#[tokio::test]
async fn the_graph_has_seen_and_inferred_edges() {
    let source = TestSource::new();
    source.flush(origin(1, 1), &request()).await;
    let asker = asker(&source);
    let sql = "SELECT caller, callee, operation, calls, errors, p50_ms, p99_ms, inferred \
        FROM service_graph(now() - interval '1 hour', now()) ORDER BY ALL";
    assert_eq!(
        asker.rows(sql).await,
        [
            "cart,postgresql/carts,SELECT,1,0,1000.0,1000.0,true",
            "web,bank.example,pay,1,0,900.0,900.0,true",
            "web,cart,POST /items,1,1,2000.0,2000.0,false",
            "web,orders,send,1,0,100.0,100.0,true",
        ]
    );
    // The callee alone is within the range; its caller is found.
    let edge =
        "SELECT caller, callee FROM service_graph('2026-11-23T10:00:01Z', '2026-11-23T10:00:02Z')";
    assert_eq!(asker.rows(edge).await, ["web,cart"]);
}

/// Scenario: that request, asked for by its id in capitals; an unknown id.
/// Guarantees: rows in the order of the tree.
#[tokio::test]
async fn a_trace_comes_as_a_tree() {
    let source = TestSource::new();
    source.flush(origin(1, 1), &request()[..4]).await;
    source.hot("spans", &request()[4..]);
    let asker = asker(&source);
    let sql =
        "SELECT repeat('-', depth) || name, self_time_ms, critical_path FROM trace_tree('AA')";
    assert_eq!(
        asker.rows(sql).await,
        [
            "GET /,1600.0,true",
            "-call cart,1000.0,true",
            "--POST /items,1000.0,true",
            "---SELECT,1000.0,true",
            "-work,400.0,true",
            "--send,100.0,true",
            "-pay,890.0,true",
            "--dns,10.0,true",
            "-who knows,1.0,false",
        ]
    );
    let last =
        "SELECT position, depth, duration_ms FROM trace_tree('aa') ORDER BY position DESC LIMIT 1";
    assert_eq!(asker.rows(last).await, ["9,1,1.0"]);
    assert_eq!(asker.rows("SELECT * FROM trace_tree('ab')").await.len(), 0);
}

/// Scenario: spans of all kinds in one and a half minutes, the range ending in
/// the middle of a step.
/// Guarantees: what was served counts once; a part of a step is divided by
/// that part.
#[tokio::test]
async fn red_counts_what_was_served() {
    let source = TestSource::new();
    let served = |n: i64| {
        let kind = if n % 2 == 0 { "SERVER" } else { "CONSUMER" };
        let fields = json!({"kind": kind, "is_error": n % 10 == 0, "duration_ns": 5_000_000});
        span(n, fields)
    };
    let mut rows: Vec<Value> = (0..90).map(served).collect();
    rows.extend((0..90).map(|n| span(n, json!({"kind": "CLIENT"}))));
    rows.extend((0..90).map(|n| span(n, json!({"kind": "INTERNAL"}))));
    source.commit("spans", origin(1, 1), &rows).await;
    let asker = asker(&source);
    let sql =
        "SELECT * FROM red('1m', '2026-11-23T10:00:00Z', '2026-11-23T10:01:30Z') ORDER BY time";
    assert_eq!(
        asker.rows(sql).await,
        [
            "2026-11-23T10:00:00Z,shop,60,6,1.0,0.1,5.0,5.0,5.0",
            "2026-11-23T10:01:00Z,shop,30,3,1.0,0.1,5.0,5.0,5.0",
        ]
    );
}

/// Scenario: a service that changes its version while its logs and metrics go
/// on, and a pipeline that tells of it.
/// Guarantees: each is there at its first sight in any signal, the event too.
#[tokio::test]
async fn changes_are_first_sights_and_events() {
    let source = TestSource::new();
    let of = |version: &str| json!({"service_version": version, "deployment_environment": "live"});
    source.commit("spans", origin(1, 1), &[span(5, of("1")), span(60, of("2"))]).await;
    source.hot("logs", &[log(3, of("1")), log(70, of("2"))]);
    source.hot("metrics", &[point(50, "requests", 1, of("2"))]);
    let event = json!({
        "service_name": "ci", "event_name": "cicd.pipeline.run.finished", "body": "2 is out",
    });
    source.hot("logs", &[log(55, event)]);
    let asker = asker(&source);
    let sql = "SELECT time, change, service_name, value, body FROM changes ORDER BY ALL";
    assert_eq!(
        asker.rows(sql).await,
        [
            "2026-11-23T10:00:03Z,environment,shop,live,",
            "2026-11-23T10:00:03Z,service,shop,shop,",
            "2026-11-23T10:00:03Z,version,shop,1,",
            "2026-11-23T10:00:50Z,version,shop,2,",
            "2026-11-23T10:00:55Z,event,ci,cicd.pipeline.run.finished,2 is out",
            "2026-11-23T10:00:55Z,service,ci,ci,",
        ]
    );
}

/// Scenario: more points than a statement's share holds, and a trace that is
/// larger than it.
/// Guarantees: S22, points are sorted on disk and the rates are right; the
/// trace, which has to be whole, fails alone and says what it lacks.
#[tokio::test]
async fn sec_s22_functions_hold_what_they_may() {
    let source = TestSource::new();
    let points = (0..60_000i64).map(|n| {
        let fields = json!({"attributes": {"pad": format!("{n:0>64}")}});
        counted(n / 300 * 10, n % 300, -60, (n / 300 + 6) * 10, fields)
    });
    source.commit("metrics", origin(1, 1), &points.collect::<Vec<_>>()).await;
    let large = (0..40_000).map(|n| traced(&format!("{n:016x}"), "", 0, 1, json!({})));
    source.commit("spans", origin(1, 1), &large.collect::<Vec<_>>()).await;
    let asker = asker_with(&source, |s| {
        s.concurrency = 1;
        s.memory = 8 << 20;
        // What merges two sorts holds eight batches, more than is set aside of so little.
        s.threads = 1;
    });
    let sql = "SELECT count(*), min(value), max(value), count(DISTINCT series_id) FROM \
        metric_rate('requests', '1m', now() - interval '1 hour', now())";
    let (rows, summary) = asker.ask(sql).await;
    // 2,000 s are 34 steps.
    assert_eq!(rows, ["10200,1.0,1.0,300"]);
    assert!(summary.peak_memory_bytes <= 8 << 20, "{summary:?}");
    let error = asker.error("SELECT count(*) FROM trace_tree('aa')").await;
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error:?}");
    assert!(error.to_string().contains("trace_tree"), "{error}");
}
