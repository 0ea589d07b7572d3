//! Plans behind `attributes['k']`.

use serde_json::json;

use super::ask::asker;
use super::source::{TestSource, origin, span};

/// Scenario: a filter on a promoted key is explained.
/// Guarantees: the part about the column reaches the Parquet reader, and the
/// plan shows no path (S23).
#[tokio::test]
async fn sec_s23_a_promoted_key_is_pushed_into_the_reader_and_plans_hide_paths() {
    let source = TestSource::new();
    source.commit("spans", origin(1, 1), &[span(0, json!({"http.route": "/a"}))]).await;
    let asker = asker(&source);
    let sql = "EXPLAIN SELECT name FROM spans WHERE attributes['http.route'] = '/a'";
    let plan = asker.rows(sql).await.join("\n");
    let pushed = plan.split(", predicate=").nth(1).unwrap_or_default();
    let pushed = pushed.split(", pruning_predicate=").next().unwrap_or_default();
    assert!(pushed.contains("= /a OR http.route@"), "{plan}");
    assert!(plan.contains("<file>"), "{plan}");
    assert!(!plan.contains(".parquet") && !plan.contains("date="), "{plan}");
}

/// Scenario: the map of an outer query is used where it has lost the promoted
/// column for good.
/// Guarantees: that is an error that says what to do, never a silent NULL.
#[tokio::test]
async fn a_map_that_lost_its_column_is_an_error() {
    let source = TestSource::new();
    source.hot("spans", &[span(0, json!({"http.route": "/a", "attributes": {"x": "1"}}))]);
    let asker = asker(&source);
    let through_union = "SELECT a['http.route'] FROM \
        (SELECT attributes AS a FROM spans UNION ALL SELECT attributes FROM spans)";
    let error = asker.error(through_union).await;
    assert!(error.to_string().contains("UNION"), "{error}");
    let unpromoted = through_union.replace("http.route", "x");
    assert_eq!(asker.rows(&unpromoted).await, ["1", "1"]);
    let correlated = "SELECT (SELECT max(l.body) FROM logs l WHERE l.body = s.attributes['http.route']) FROM spans s";
    let error = asker.error(correlated).await;
    assert!(error.to_string().contains("correlated"), "{error}");
}
