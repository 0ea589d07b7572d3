//! Every schema, held.

use std::collections::HashSet;

use crate::Catalog;
use crate::table::{ColumnType, PARTITION, Promotion, Scope};

/// Scenario: the catalog is built with its fixed promotions.
/// Guarantees: names are unique without regard to case (SQL folds it), `date`
/// is last, and every column that a table names elsewhere exists.
#[test]
fn tables_are_consistent() {
    for table in Catalog::default().tables() {
        let mut seen = HashSet::new();
        for column in &table.columns {
            assert!(seen.insert(column.name.to_lowercase()), "{}.{}", table.name, column.name);
            assert!(!column.doc.is_empty());
        }
        assert_eq!(table.columns.last().unwrap().name, PARTITION);
        let keys = table.latest.map_or(&[] as &[&str], |latest| latest.key);
        let named = table.sort.iter().chain(table.bloom).chain(keys).map(|name| name.to_string());
        for name in named.chain(table.promotions.iter().map(|p| p.column.clone())) {
            assert!(table.schema.column_with_name(&name).is_some(), "{}.{name}", table.name);
        }
    }
}

/// Scenario: a user promotes a new key, and one that is promoted already.
/// Guarantees: the first gets a column before `date`, the second changes nothing.
#[test]
fn configured_promotions_add_columns_once() {
    let extra = ["app.tier", "http.route"].map(|key| Promotion {
        scope: Scope::Record,
        key: key.into(),
        kind: ColumnType::Text,
        column: key.into(),
    });
    let spans = Catalog::new(&extra).get("spans").unwrap().clone();
    let count = |name: &str| spans.columns.iter().filter(|c| c.name == name).count();
    assert_eq!((count("app.tier"), count("http.route")), (1, 1));
    assert_eq!(spans.columns.len(), Catalog::default().get("spans").unwrap().columns.len() + 1);
}

/// Scenario: the schemas as they were last written.
/// Guarantees: a column is added, never changed or removed (data-model.md).
#[test]
fn schemas_only_grow() {
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("golden.json")).expect("golden.json is JSON");
    for table in Catalog::default().tables() {
        let held = golden[table.name].as_object().expect("every table is held in golden.json");
        for (name, data_type) in held {
            let field = table.schema.field_with_name(name).expect("a held column still exists");
            assert_eq!(&field.data_type().to_string(), data_type, "{}.{name}", table.name);
        }
        assert_eq!(held.len(), table.columns.len(), "{}: hold the new columns too", table.name);
    }
}
