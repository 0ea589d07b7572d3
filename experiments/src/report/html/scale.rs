//! Times and values on paper, and in words.

use crate::report::Report;
use crate::window::{Phase, Span};

use super::markup::Markup;

/// The sheet on which everything along the run is drawn, in pixels.
pub const WIDTH: f64 = 860.0;
pub const LEFT: f64 = 74.0;
pub const RIGHT: f64 = WIDTH - 12.0;

/// Steps between marks on the axis of time, in seconds.
const STEPS: [i64; 14] =
    [5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 86_400];
const MOST_MARKS: i64 = 10;

/// Times from left to right.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    from: i64,
    to: i64,
    inject: i64,
    /// A baseline of another day, and by how much later it is drawn.
    moved: Option<(Span, i64)>,
}

impl Times {
    pub fn of(report: &Report) -> Times {
        let (phases, window) = (&report.phases, &report.window);
        let moved = phases
            .season()
            .map(|_| (phases.baseline, window.inject.saturating_sub(phases.baseline.to())));
        let from = phases.baseline.from.saturating_add(moved.map_or(0, |(_, by)| by));
        let from = from.min(window.inject);
        let to = phases.end().max(window.recover).max(from.saturating_add(1));
        Times { from, to, inject: window.inject, moved }
    }

    /// The place of a time; one beyond the run is at its edge.
    pub fn x(&self, at: i64) -> f64 {
        let at = match self.moved {
            Some((span, by)) if at <= span.to() => at.saturating_add(by),
            _ => at,
        };
        let of = at.clamp(self.from, self.to).saturating_sub(self.from) as f64;
        let whole = self.to.saturating_sub(self.from) as f64;
        LEFT + of / whole * (RIGHT - LEFT)
    }

    /// Marks with the time since the injection, and the lines under them.
    pub fn marks(&self, top: f64, bottom: f64, svg: &mut Markup) {
        const SECOND: i64 = 1_000_000_000;
        let whole = self.to.saturating_sub(self.from) / SECOND;
        let step = STEPS.into_iter().find(|step| whole / step < MOST_MARKS);
        // A run may be said to last for ever.
        let step = step.unwrap_or(whole / MOST_MARKS).max(1);
        let begin = self.from.saturating_sub(self.inject) / SECOND / step;
        for mark in begin..=begin.saturating_add(MOST_MARKS + 1) {
            let since = mark.saturating_mul(step);
            let at = self.inject.saturating_add(since.saturating_mul(SECOND));
            if !(self.from..=self.to).contains(&at) {
                continue;
            }
            let x = place(self.x(at));
            let ends = [("y1", place(top)), ("y2", place(bottom))];
            vertical("mark", &x, &ends, svg);
            let y = place(bottom + 14.0);
            let place = [("class", "tick middle"), ("x", x.as_str()), ("y", y.as_str())];
            svg.leaf("text", &place, &since_injection(since));
        }
    }

    /// The phases as bands with their names.
    pub fn phases(&self, report: &Report, top: f64, height: f64, svg: &mut Markup) {
        for phase in [Phase::Baseline, Phase::Injection, Phase::Recovery] {
            let span: Span = report.phases.get(phase);
            if span.buckets == 0 {
                continue;
            }
            let (from, to) = (self.x(span.from), self.x(span.to()));
            let class = format!("phase {}", phase.name());
            rectangle(&class, (from, top), (to - from, height), svg);
            let (x, y) = (place(f64::midpoint(from, to)), place(top - 5.0));
            let at = [("class", "tick middle"), ("x", x.as_str()), ("y", y.as_str())];
            svg.leaf("text", &at, phase.name());
        }
        let stopped = report.window.aborted.is_some();
        let edges = [
            (report.window.inject, "edge"),
            (report.window.recover, if stopped { "edge stop" } else { "edge" }),
        ];
        for (at, class) in edges {
            let ends = [("y1", place(top)), ("y2", place(top + height))];
            vertical(class, &place(self.x(at)), &ends, svg);
        }
    }
}

fn since_injection(seconds: i64) -> String {
    let (sign, length) = (if seconds < 0 { "−" } else { "+" }, seconds.unsigned_abs());
    match length {
        0 => "injection".into(),
        s if s % 3_600 == 0 => format!("{sign}{} h", s / 3_600),
        s if s % 60 == 0 => format!("{sign}{} min", s / 60),
        s => format!("{sign}{s} s"),
    }
}

/// Values from bottom to top.
#[derive(Debug, Clone, Copy)]
pub struct Values {
    low: f64,
    high: f64,
    top: f64,
    height: f64,
}

impl Values {
    /// Room for all of these. Zero is always seen: an axis that begins elsewhere
    /// makes small moves look large.
    pub fn of(values: impl Iterator<Item = f64>, top: f64, height: f64) -> Values {
        let finite = values.filter(|value| value.is_finite() && value.abs() < 1e300);
        let (low, high) = finite.fold((0.0f64, 0.0f64), |(l, h), v| (l.min(v), h.max(v)));
        let high = if high > low { high + (high - low) * 0.05 } else { low + 1.0 };
        Values { low, high, top, height }
    }

    /// The place of a value; one beyond the axis is at its edge.
    pub fn y(&self, value: f64) -> f64 {
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        self.top + self.height * (1.0 - if share.is_nan() { 0.0 } else { share })
    }

    pub fn marks(&self, unit: &str, svg: &mut Markup) {
        let raw = (self.high - self.low) / 4.0;
        let power = 10f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|by| by * power).find(|step| *step >= raw);
        let Some(step) = step.filter(|step| step.is_finite() && *step > 0.0) else { return };
        let first = (self.low / step).ceil();
        for mark in 0..6 {
            let value = (first + f64::from(mark)) * step;
            if value > self.high {
                break;
            }
            let y = place(self.y(value));
            let (from, to) = (place(LEFT), place(RIGHT));
            let line = [
                ("class", "mark"),
                ("x1", from.as_str()),
                ("x2", to.as_str()),
                ("y1", y.as_str()),
                ("y2", y.as_str()),
            ];
            svg.leaf("line", &line, "");
            let (x, y) = (place(LEFT - 6.0), place(self.y(value) + 4.0));
            let at = [("class", "tick end"), ("x", x.as_str()), ("y", y.as_str())];
            svg.leaf("text", &at, &shown(value, unit));
        }
    }
}

/// A picture as wide as the sheet, said in words to whoever cannot see it.
pub fn sheet(height: f64, said: &str, place: &mut Markup, draw: impl FnOnce(&mut Markup)) {
    let view = format!("0 0 {WIDTH} {height}");
    let attributes = [("viewBox", view.as_str()), ("role", "img"), ("aria-label", said)];
    place.within("svg", &attributes, |svg| {
        svg.leaf("title", &[], said);
        draw(svg);
    });
}

pub fn rectangle(class: &str, at: (f64, f64), size: (f64, f64), svg: &mut Markup) {
    let [x, y] = [at.0, at.1].map(place);
    let [width, height] = [size.0, size.1].map(|length| place(length.max(0.0)));
    let attributes = [
        ("class", class),
        ("x", x.as_str()),
        ("y", y.as_str()),
        ("width", width.as_str()),
        ("height", height.as_str()),
    ];
    svg.leaf("rect", &attributes, "");
}

fn vertical(class: &str, x: &str, ends: &[(&'static str, String); 2], svg: &mut Markup) {
    let [(first, a), (second, b)] = ends;
    let attributes = [("class", class), ("x1", x), ("x2", x), (*first, a), (*second, b)];
    svg.leaf("line", &attributes, "");
}

/// A coordinate: a tenth of a pixel is enough, and a number is always one.
pub fn place(at: f64) -> String {
    format!("{:.1}", if at.is_finite() { at } else { 0.0 })
}

/// A value in its unit, as a person reads it.
pub fn shown(value: f64, unit: &str) -> String {
    match unit {
        "ms" if value.abs() >= 1_000.0 => format!("{} s", digits(value / 1e3)),
        "ms" => format!("{} ms", digits(value)),
        "ratio" => format!("{} %", digits(value * 100.0)),
        _ => digits(value),
    }
}

/// Four digits that count, without zeros that do not.
fn digits(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".into() } else { value.to_string() };
    }
    let whole = value.abs().log10().floor();
    if !(-6.0..9.0).contains(&whole) {
        return format!("{value:.3e}");
    }
    let after = (3.0 - whole).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.after$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// The beginning of a text that must fit.
pub fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}
