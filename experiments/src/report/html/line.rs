//! An indicator through the run: its line, the phases behind it, the tolerance,
//! and the interval that each phase was judged by.

use crate::report::chart::{Chart, Sample};
use crate::report::{Entry, Numbers, Report};

use super::markup::Markup;
use super::scale::{LEFT, RIGHT, Times, Values, place, rectangle, sheet, shown};

const TOP: f64 = 20.0;
const HEIGHT: f64 = 170.0;
const BELOW: f64 = 24.0;

/// `findings` are those of the chart's hypothesis.
pub fn line(report: &Report, chart: &Chart, findings: &[&Entry], article: &mut Markup) {
    let numbers: Vec<(&Entry, Numbers)> = findings
        .iter()
        .filter_map(|f| Some((*f, serde_json::from_value(f.numbers.clone()?).ok()?)))
        .collect();
    let seen = chart.samples.iter().filter_map(|sample| sample.value);
    let judged = numbers.iter().flat_map(|(_, n)| [n.value.low, n.value.estimate, n.value.high]);
    let all = seen.chain(judged.flatten()).chain(chart.low).chain(chart.high);
    let (times, values) = (Times::of(report), Values::of(all, TOP, HEIGHT));
    let end = |end: Option<f64>| end.map_or("open".to_owned(), |end| shown(end, &chart.unit));
    let tolerated = match (chart.low, chart.high) {
        (None, None) => String::new(),
        (low, high) => format!(", tolerated {} to {}", end(low), end(high)),
    };
    let said = format!("{} every {} s{tolerated}", chart.indicator, chart.step);
    article.within("figure", &[], |figure| {
        sheet(TOP + HEIGHT + BELOW, &said, figure, |svg| {
            times.phases(report, TOP, HEIGHT, svg);
            values.marks(&chart.unit, svg);
            times.marks(TOP, TOP + HEIGHT, svg);
            tolerance(chart, &values, svg);
            for (finding, numbers) in &numbers {
                interval(report, finding, numbers, (&times, &values), svg);
            }
            samples(chart, &times, &values, svg);
        });
        figure.within("figcaption", &[], |caption| {
            caption.text(&said);
            caption.text(
                ". Line: measured; boxes: the 95 % interval that was judged, with its estimate; \
                 dashed: the edge of the tolerance; crosses below: no row.",
            );
        });
    });
}

fn tolerance(chart: &Chart, values: &Values, svg: &mut Markup) {
    if chart.low.is_none() && chart.high.is_none() {
        return;
    }
    let top = chart.high.map_or(TOP, |high| values.y(high));
    let bottom = chart.low.map_or(TOP + HEIGHT, |low| values.y(low));
    let width = RIGHT - LEFT;
    rectangle("tolerated", (LEFT, top), (width, bottom - top), svg);
    for edge in [chart.high, chart.low].into_iter().flatten() {
        let y = place(values.y(edge));
        let (from, to) = (place(LEFT), place(RIGHT));
        let ends = [
            ("class", "limit"),
            ("x1", from.as_str()),
            ("x2", to.as_str()),
            ("y1", y.as_str()),
            ("y2", y.as_str()),
        ];
        svg.leaf("line", &ends, "");
    }
}

/// The interval of a phase as a box over it.
fn interval(
    report: &Report,
    finding: &Entry,
    numbers: &Numbers,
    (times, values): (&Times, &Values),
    svg: &mut Markup,
) {
    let phases = &report.phases;
    let span = match finding.phase.as_deref() {
        Some("baseline") => phases.baseline,
        Some("injection") => phases.injection,
        Some("recovery") => phases.recovery,
        _ => return,
    };
    let (from, to) = (times.x(span.from), times.x(span.to()));
    // What is not known has no end.
    let top = numbers.value.high.map_or(TOP, |high| values.y(high));
    let bottom = numbers.value.low.map_or(TOP + HEIGHT, |low| values.y(low));
    // An interval of nothing is seen all the same.
    let height = (bottom - top).max(1.0);
    rectangle("interval", (from, top), (to - from, height), svg);
    if let Some(estimate) = numbers.value.estimate {
        let (y, from, to) = (place(values.y(estimate)), place(from), place(to));
        let ends = [
            ("class", "estimate"),
            ("x1", from.as_str()),
            ("x2", to.as_str()),
            ("y1", y.as_str()),
            ("y2", y.as_str()),
        ];
        svg.leaf("line", &ends, "");
    }
}

fn samples(chart: &Chart, times: &Times, values: &Values, svg: &mut Markup) {
    let half = i64::from(chart.step) * 500_000_000;
    let x = |sample: &Sample| times.x(sample.at.saturating_add(half));
    let (mut drawn, mut none) = (String::new(), String::new());
    let mut last: Option<&Sample> = None;
    for sample in &chart.samples {
        match sample.value {
            Some(value) => {
                let (x, y) = (place(x(sample)), place(values.y(value)));
                let goes_on = last.is_some_and(|last| last.phase == sample.phase);
                // A point by itself is a line of no length with round ends.
                drawn.push_str(&if goes_on { format!("L{x} {y}") } else { format!("M{x} {y}h0") });
                last = Some(sample);
            }
            None => {
                let (x, y) = (x(sample), TOP + HEIGHT - 4.0);
                let corner = |dx: f64, dy: f64| format!("{} {}", place(x + dx), place(y + dy));
                none.push_str(&format!("M{}L{}", corner(-2.0, -2.0), corner(2.0, 2.0)));
                none.push_str(&format!("M{}L{}", corner(-2.0, 2.0), corner(2.0, -2.0)));
                last = None;
            }
        }
    }
    svg.leaf("path", &[("class", "measured"), ("d", &drawn)], "");
    svg.leaf("path", &[("class", "none"), ("d", &none)], "");
}
