//! A trace as a tree: order, depth, self time, critical path. Pure arithmetic
//! over whatever was sent: parents that never came, two that are each other's,
//! one id twice, clocks that disagree.

use std::collections::HashMap;

/// A span, times in nanoseconds since 1970.
#[derive(Debug, Clone, Default)]
pub(super) struct Span {
    pub id: String,
    pub parent: Option<String>,
    pub start: i64,
    /// May be negative: a clock that stepped.
    pub duration: i64,
}

impl Span {
    fn end(&self) -> i64 {
        self.start.saturating_add(self.duration.max(0))
    }
}

/// Where a span stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    /// Which of the spans.
    pub span: usize,
    pub depth: i64,
    /// Nanoseconds of it that no child covers.
    pub self_time: i64,
    /// Whether the trace's root would have ended earlier had this been faster.
    pub critical: bool,
}

/// Every span once, each after its parent, siblings by their start.
///
/// A span without a parent here is a root, and so is the earliest of a circle,
/// whose own parent is then left out of account. The critical path is that of
/// the longest root, true roots before orphans.
pub(super) fn grow(spans: &[Span]) -> Vec<Placed> {
    let (children, roots) = families(spans);
    let critical = critical(spans, &children, &roots);
    let mut placed = Vec::with_capacity(spans.len());
    let mut next: Vec<(usize, i64)> = roots.iter().rev().map(|root| (*root, 0)).collect();
    while let Some((span, depth)) = next.pop() {
        let self_time = self_time(spans, span, &children[span]);
        placed.push(Placed { span, depth, self_time, critical: critical[span] });
        next.extend(children[span].iter().rev().map(|child| (*child, depth + 1)));
    }
    placed
}

/// Children of each span and the roots, both by start.
fn families(spans: &[Span]) -> (Vec<Vec<usize>>, Vec<usize>) {
    // The first of an id has the children.
    let mut by_id: HashMap<&str, usize> = HashMap::with_capacity(spans.len());
    for (at, span) in spans.iter().enumerate() {
        by_id.entry(&span.id).or_insert(at);
    }
    let parent_of = |at: usize| {
        let parent = spans[at].parent.as_deref()?;
        by_id.get(parent).copied().filter(|parent| *parent != at)
    };
    let mut parents: Vec<Option<usize>> = (0..spans.len()).map(parent_of).collect();
    cut_circles(spans, &mut parents);
    let mut children = vec![Vec::new(); spans.len()];
    let mut roots = Vec::new();
    for (at, parent) in parents.iter().enumerate() {
        match parent {
            Some(parent) => children[*parent].push(at),
            None => roots.push(at),
        }
    }
    let by_start = |a: &usize, b: &usize| {
        let key = |at: usize| (spans[at].start, -spans[at].end(), at);
        key(*a).cmp(&key(*b))
    };
    children.iter_mut().for_each(|of| of.sort_by(by_start));
    roots.sort_by(by_start);
    (children, roots)
}

/// Walks up from every span once; who meets its own walk is in a circle.
fn cut_circles(spans: &[Span], parents: &mut [Option<usize>]) {
    const UNSEEN: usize = usize::MAX;
    let mut seen_by = vec![UNSEEN; spans.len()];
    for from in 0..spans.len() {
        let mut at = from;
        while seen_by[at] == UNSEEN {
            seen_by[at] = from;
            match parents[at] {
                Some(parent) => at = parent,
                None => break,
            }
        }
        if seen_by[at] != from || parents[at].is_none() {
            continue;
        }
        let (mut earliest, mut round) = (at, at);
        while let Some(parent) = parents[round].filter(|parent| *parent != at) {
            round = parent;
            if (spans[round].start, round) < (spans[earliest].start, earliest) {
                earliest = round;
            }
        }
        parents[earliest] = None;
    }
}

fn self_time(spans: &[Span], span: usize, children: &[usize]) -> i64 {
    let (start, end) = (spans[span].start, spans[span].end());
    let (mut covered_to, mut own) = (start, 0i64);
    for child in children {
        let from = spans[*child].start.clamp(start, end);
        own += (from - covered_to).max(0);
        covered_to = covered_to.max(spans[*child].end().clamp(start, end));
    }
    own + (end - covered_to).max(0)
}

/// Backwards from a root's end: the child that ended last was waited for, and
/// before it began, the last that had ended by then.
fn critical(spans: &[Span], children: &[Vec<usize>], roots: &[usize]) -> Vec<bool> {
    let mut critical = vec![false; spans.len()];
    let rank = |root: &&usize| (spans[**root].parent.is_none(), spans[**root].duration);
    let Some(root) = roots.iter().rev().max_by_key(rank) else { return critical };
    let mut next = vec![(*root, spans[*root].start, spans[*root].end())];
    while let Some((span, from, to)) = next.pop() {
        critical[span] = true;
        let mut by_end = children[span].clone();
        by_end.sort_by_key(|child| std::cmp::Reverse((spans[*child].end(), spans[*child].start)));
        let mut until = to;
        for child in by_end {
            let (start, end) = (spans[child].start.max(from), spans[child].end().min(to));
            if start < end && end <= until {
                next.push((child, start, end));
                until = start;
            }
        }
    }
    critical
}

#[cfg(test)]
mod tests;
