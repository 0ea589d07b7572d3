//! Alerts along the run: a bar per rule and fingerprint.

use crate::alert::State;
use crate::report::{Alarm, Report};

use super::markup::Markup;
use super::scale::{LEFT, Times, cut, place, rectangle, sheet};

const TOP: f64 = 20.0;
const ROW: f64 = 20.0;
const MOST_ROWS: usize = 24;
const NAME: usize = 46;

pub fn lane(report: &Report, section: &mut Markup) {
    let mut rows: Vec<(&str, &str)> = Vec::new();
    for alarm in &report.alerts {
        let row = (alarm.rule.as_str(), alarm.fingerprint.as_str());
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    let left_out = rows.len().saturating_sub(MOST_ROWS);
    rows.truncate(MOST_ROWS);
    let height = ROW * rows.len().max(1) as f64;
    let times = Times::of(report);
    let said = match rows.len() {
        0 => "No alert fired in the run.".to_owned(),
        n => format!("{n} alerts fired or could not be evaluated in the run."),
    };
    section.within("figure", &[], |figure| {
        sheet(TOP + height + 24.0, &said, figure, |svg| {
            times.phases(report, TOP, height, svg);
            times.marks(TOP, TOP + height, svg);
            for (at, row) in rows.iter().enumerate() {
                let top = TOP + ROW * at as f64;
                let of = |alarm: &&Alarm| (alarm.rule.as_str(), alarm.fingerprint.as_str()) == *row;
                report.alerts.iter().filter(of).for_each(|alarm| bar(alarm, &times, top, svg));
                let (x, y) = (place(LEFT + 4.0), place(top + 14.0));
                let place = [("class", "name"), ("x", x.as_str()), ("y", y.as_str())];
                svg.leaf("text", &place, &cut(row.0, NAME));
            }
        });
        figure.within("figcaption", &[], |caption| {
            caption.text(&said);
            if !rows.is_empty() {
                caption.text(" Full bars: firing; hollow: the rule could not be evaluated.");
            }
            if left_out > 0 {
                caption.text(&format!(" {left_out} more are in report.json."));
            }
        });
    });
}

fn bar(alarm: &Alarm, times: &Times, top: f64, svg: &mut Markup) {
    let (from, to) = (times.x(alarm.from), times.x(alarm.to.unwrap_or(i64::MAX)));
    let class = if alarm.state == State::Firing { "alarm" } else { "alarm blind" };
    rectangle(class, (from, top + 3.0), ((to - from).max(2.0), ROW - 6.0), svg);
}
