//! Tables and columns as text, from what `GET /api/v1/tables` says.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use serde_json::Value;

pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

pub fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// As it is written in SQL: `system.files`, `spans`.
pub fn sql_name(table: &Value) -> String {
    match text(table, "schema") {
        "public" | "" => text(table, "name").to_owned(),
        schema => format!("{schema}.{}", text(table, "name")),
    }
}

/// All tables, or those of a kind.
pub fn tables(tables: &Value, kind: Option<&str>) -> String {
    let wanted = |table: &&Value| kind.is_none_or(|kind| text(table, "kind") == kind);
    let rows = list(tables, "tables").iter().filter(wanted).map(|table| {
        let rows = table.get("rows").and_then(Value::as_u64);
        [
            sql_name(table),
            text(table, "kind").to_owned(),
            rows.map_or_else(String::new, |rows| rows.to_string()),
            text(table, "doc").to_owned(),
        ]
    });
    aligned(["name", "kind", "rows", "meaning"], rows.collect())
}

pub fn schemas(tables: &Value) -> String {
    let schemas: BTreeSet<&str> =
        list(tables, "tables").iter().map(|t| text(t, "schema")).collect();
    aligned(["schema"], schemas.into_iter().map(|schema| [schema.to_owned()]).collect())
}

pub fn columns(tables: &Value, name: &str) -> Result<String> {
    let tables = list(tables, "tables");
    let wanted = |table: &&Value| {
        let schema = text(table, "schema");
        let bare = text(table, "name");
        sql_name(table) == name || bare == name || format!("{schema}.{bare}") == name
    };
    let table = tables.iter().find(wanted);
    let table = table.with_context(|| format!("there is no table {name}; \\d lists them"))?;
    let rows = list(table, "columns")
        .iter()
        .map(|column| ["name", "type", "doc"].map(|key| text(column, key).to_owned()));
    let doc = text(table, "doc");
    let head = if doc.is_empty() { String::new() } else { format!("{doc}\n\n") };
    Ok(head + &aligned(["column", "type", "meaning"], rows.collect()))
}

/// Columns side by side; the last one as long as it likes.
fn aligned<const N: usize>(head: [&str; N], rows: Vec<[String; N]>) -> String {
    let lines: Vec<[String; N]> = [head.map(str::to_owned)].into_iter().chain(rows).collect();
    let width = |column: usize| {
        lines.iter().map(|line| line[column].chars().count()).filter(|width| *width < 60).max()
    };
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Names in as many columns as 80 cells take.
pub fn side_by_side(names: &[String]) -> String {
    let width = names.iter().map(|name| name.chars().count() + 2).max().unwrap_or(1);
    let mut text = String::new();
    for line in names.chunks((80 / width).max(1)) {
        let cells: String = line.iter().map(|name| format!("{name:<width$}")).collect();
        text.push_str(cells.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
pub mod tests {
    use serde_json::json;

    use super::*;

    pub fn some_tables() -> Value {
        json!({"tables": [
            {"name": "spans", "schema": "public", "kind": "table", "rows": 7, "doc": "One row per span.",
             "columns": [{"name": "name", "type": "text", "doc": "Span name."},
                         {"name": "http.route", "type": "text", "doc": "Route."}]},
            {"name": "files", "schema": "system", "kind": "view", "rows": null, "doc": "Files.", "columns": []},
        ]})
    }

    /// Scenario: `\d`, `\dt`, `\dn`, and `\d` of a table that is and one that is not there.
    /// Guarantees: tables and columns with their meaning; an error that says what to do.
    #[test]
    fn tables_and_columns_are_described() {
        assert!(tables(&some_tables(), None).contains("system.files  view"));
        let only = tables(&some_tables(), Some("table"));
        assert!(only.contains("spans") && !only.contains("system.files"), "{only}");
        assert_eq!(schemas(&some_tables()), "schema\npublic\nsystem\n");
        for name in ["spans", "public.spans"] {
            let columns = columns(&some_tables(), name).unwrap();
            assert!(columns.starts_with("One row per span.\n\ncolumn"), "{columns}");
            assert!(columns.contains("http.route  text  Route.\n"), "{columns}");
        }
        let error = columns(&some_tables(), "nothing").unwrap_err().to_string();
        assert!(error.contains("\\d lists"), "{error}");
        assert!(columns(&some_tables(), "system.files").is_ok());
    }
}
