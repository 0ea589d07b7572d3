//! Trees against what was drawn.

use super::{Span, grow};

fn span(id: &str, parent: &str, start: i64, end: i64) -> Span {
    let parent = (!parent.is_empty()).then(|| parent.to_owned());
    Span { id: id.into(), parent, start, duration: end - start }
}

/// A line per span: dashes for its depth, its id, its own time, `*` if critical.
fn drawn(spans: &[Span]) -> Vec<String> {
    let placed = grow(spans);
    assert_eq!(placed.len(), spans.len(), "each span once");
    let line = |at: &super::Placed| {
        let dashes = "-".repeat(at.depth as usize);
        let star = if at.critical { "*" } else { "" };
        format!("{dashes}{} {}{star}", spans[at.span].id, at.self_time)
    };
    placed.iter().map(line).collect()
}

/// Scenario: a request with two parallel calls, then a third; one of the first
/// two is waited for by nobody.
/// Guarantees: order, depth, time of its own, and the path of what was waited for.
#[test]
fn a_tree_has_its_critical_path() {
    let spans = [
        span("late", "root", 60, 95),
        span("root", "", 0, 100),
        span("fast", "root", 10, 30),
        span("slow", "root", 10, 50),
        span("db", "slow", 20, 45),
    ];
    assert_eq!(drawn(&spans), ["root 25*", "-slow 15*", "--db 25*", "-fast 20", "-late 35*"]);
}

/// Scenario: an orphan, a circle of two with a child, a span that is its own
/// parent, an id that came twice, and no true root.
/// Guarantees: every span is there once; the circle is cut at its earliest.
#[test]
fn broken_parents_do_not_break_the_tree() {
    let spans = [
        span("b", "a", 5, 9),
        span("a", "b", 1, 9),
        span("c", "b", 6, 7),
        span("own", "own", 20, 21),
        span("orphan", "gone", 30, 70),
        span("twice", "orphan", 31, 40),
        span("twice", "orphan", 41, 50),
        span("below", "twice", 32, 33),
    ];
    assert_eq!(
        drawn(&spans),
        ["a 4", "-b 3", "--c 1", "own 1", "orphan 22*", "-twice 8*", "--below 1*", "-twice 9*",]
    );
    assert!(grow(&[]).is_empty());
}

/// Scenario: children that begin before their parent, end after it, lie
/// outside of it, and a duration below zero.
/// Guarantees: no time is counted twice or below zero; the path stays within.
#[test]
fn clocks_that_disagree_are_cut_to_fit() {
    let spans = [
        span("root", "", 100, 200),
        span("early", "root", 50, 120),
        span("over", "root", 180, 260),
        span("outside", "root", 300, 400),
        span("back", "root", 150, 140),
    ];
    assert_eq!(drawn(&spans), ["root 60*", "-early 70*", "-back 0", "-over 80*", "-outside 100"]);
}

/// Scenario: a chain of 100,000 spans.
/// Guarantees: no recursion, no quadratic walk.
#[test]
fn a_deep_trace_is_walked_without_recursion() {
    let id = |n: i64| format!("{n:08}");
    let spans: Vec<Span> = (0..100_000)
        .map(|n| span(&id(n), &if n == 0 { String::new() } else { id(n - 1) }, n, 200_000))
        .collect();
    let placed = grow(&spans);
    assert_eq!(placed.last().map(|at| (at.depth, at.critical)), Some((99_999, true)));
}
