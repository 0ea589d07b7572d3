//! Promoted or not, pruned or not: the same answer.

use serde_json::{Value, json};

use super::ask::asker;
use super::source::{TestSource, origin, span};

/// A small generator, seeded: every run asks the same.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        // Knuth's MMIX multiplier; the high bits are the good ones.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }
}

const TEXTS: [&str; 5] = ["", "/a", "/b", "/cart", "200"];
const CODES: [&str; 8] = ["200", "404", "500", "0500", "5xx", "9", "-1", "9007199254740993"];
const ITEMS: [&str; 5] = ["3", "12", "many", "2.5", "true"];

/// A span as storage keeps it, and the same with every attribute in the map.
/// In a dense file every promoted value that fits is in its column.
fn both(chance: &mut Chance, n: usize, dense: bool) -> (Value, Value) {
    let mut stored = json!({"span_id": format!("{n:03}"), "attributes": {}});
    let mut plain = stored.clone();
    let keys: [(&str, &[&str]); 3] =
        [("http.route", &TEXTS), ("http.response.status_code", &CODES), ("cart.items", &ITEMS)];
    for (key, values) in keys {
        if !dense && chance.below(4) == 0 {
            continue;
        }
        let text = chance.of(values);
        plain["attributes"][key] = json!(text);
        let int = text.parse::<i64>().ok().filter(|int| int.to_string() == text);
        match (key, int) {
            // Sometimes a value is in the map although it would fit, as in
            // files from before the promotion.
            _ if !dense && chance.below(5) == 0 => stored["attributes"][key] = json!(text),
            ("http.route", _) => stored[key] = json!(text),
            ("http.response.status_code", Some(int)) => stored[key] = json!(int),
            _ => stored["attributes"][key] = json!(text),
        }
    }
    (span(n as i64, stored), span(n as i64, plain))
}

fn predicate(chance: &mut Chance, depth: usize) -> String {
    if depth > 0 && chance.below(2) == 0 {
        let (left, right) = (predicate(chance, depth - 1), predicate(chance, depth - 1));
        return match chance.below(3) {
            0 => format!("({left} AND {right})"),
            1 => format!("({left} OR {right})"),
            _ => format!("NOT ({left})"),
        };
    }
    let (key, values) = chance.of(&[
        ("http.route", &TEXTS[..]),
        ("http.response.status_code", &CODES[..]),
        ("cart.items", &ITEMS[..]),
    ]);
    let access = match chance.below(2) {
        0 => format!("attributes['{key}']"),
        _ => format!("attributes->>'{key}'"),
    };
    let text = format!("'{}'", chance.of(values));
    let number = chance.of(&["3", "200", "404.5", "-1", "9007199254740993"]);
    let op = chance.of(&["=", "<>", "<", "<=", ">", ">="]);
    match chance.below(8) {
        0 | 1 => format!("{access} {op} {text}"),
        2 => format!("{text} {op} {access}"),
        3 => format!("{access} {op} {number}"),
        4 => format!("{access} IN ({text}, '/b', '404', 'x')"),
        5 => format!("{access} NOT IN ({number}, 500)"),
        6 => format!("{access} BETWEEN {number} AND 500"),
        _ => chance.of(&[
            format!("{access} IS NULL"),
            format!("{access} LIKE '%0%'"),
            format!("{access} IS DISTINCT FROM {text}"),
        ]),
    }
}

/// Scenario: the same rows twice: in files with statistics, staged and hot,
/// with promoted columns; and all in memory with every attribute in its map.
/// Two dozen seeded predicates over promoted and other keys are asked of both.
/// Guarantees: the answers are equal, so no rewrite, pruning or pushdown
/// changes what `attributes['k']` means.
#[tokio::test]
async fn promoted_and_pruned_answers_are_the_plain_ones() {
    let mut chance = Chance(20_261_123);
    let (stored, plain) = (TestSource::new(), TestSource::new());
    for file in 0..8u64 {
        let rows = (0..4).map(|n| both(&mut chance, file as usize * 4 + n, file % 2 == 0));
        let (kept, model): (Vec<_>, Vec<_>) = rows.unzip();
        match file {
            6 => stored.stage("spans", origin(7, 7), &kept).await,
            7 => stored.hot("spans", &kept),
            _ => stored.commit("spans", origin(file + 1, file + 1), &kept).await,
        }
        plain.hot("spans", &model);
    }
    let (stored, plain) = (asker(&stored), asker(&plain));
    let mut pruned = 0;
    for _ in 0..24 {
        let predicate = predicate(&mut chance, 2);
        let sql = format!("SELECT span_id FROM spans WHERE {predicate} ORDER BY span_id");
        let (rows, summary) = stored.ask(&sql).await;
        assert_eq!(rows, plain.rows(&sql).await, "{predicate}");
        // As a value, where no filter guards it.
        let value = format!("SELECT span_id, {predicate} FROM spans ORDER BY span_id");
        assert_eq!(stored.rows(&value).await, plain.rows(&value).await, "{predicate}");
        pruned += summary.files_pruned;
    }
    assert!(pruned > 0, "nothing was ever pruned");
}
