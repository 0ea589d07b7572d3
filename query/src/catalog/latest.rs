//! Tables of revisions, seen at their latest.

use std::sync::Arc;

use schema::TableDef;

use super::View;

pub(super) fn names(view: &View) -> impl Iterator<Item = &'static str> {
    view.pins.defs().into_iter().filter_map(|def| def.latest.map(|latest| latest.view))
}

/// The table of revisions behind a view.
pub(super) fn revisions(view: &View, name: &str) -> Option<Arc<TableDef>> {
    view.pins.revised(name)
}

/// A judging writes many rows of one revision: all of the highest are the latest.
/// Of two writers of one revision the later holds, so that nothing is seen twice.
pub(super) fn sql(revisions: &TableDef) -> String {
    let key = revisions.latest.map_or_else(String::new, |latest| latest.key.join(", "));
    let columns: Vec<&str> = revisions.columns.iter().map(|c| c.name.as_str()).collect();
    format!(
        "SELECT {} FROM (SELECT *, rank() OVER (PARTITION BY {key} ORDER BY revision DESC, time DESC, node_id DESC) AS newest FROM {}) WHERE newest = 1",
        columns.join(", "),
        revisions.name
    )
}
