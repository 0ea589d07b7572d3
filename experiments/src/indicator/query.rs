//! A document's own SQL.

use super::text::Stretch;
use crate::window::Span;

/// `{window}` stands for the rows of the phase that were known when it was judged.
pub fn statement(query: &str, span: Span, judged: i64) -> String {
    let stretch = Stretch::new(span, judged);
    query.replace("{window}", &format!("({})", stretch.window()))
}

/// Rows of any signal in a stretch: proof that it was looked at.
pub fn scanned(span: Span, judged: i64) -> String {
    let window = Stretch::new(span, judged).window();
    let count = |table| format!("(SELECT count(*) FROM {table} WHERE {window})");
    format!("SELECT {} + {} + {} AS n", count("spans"), count("logs"), count("metrics"))
}
