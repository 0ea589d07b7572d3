//! `system.attributes`: which keys there are, by looking.

use std::fmt::Write;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::DataFusionError;
use datafusion::datasource::ViewTable;
use schema::table::Scope;
use schema::{ColumnType, TableDef};

use super::View;

/// Reads every attribute of every signal once: a statement for exploring, to
/// be narrowed by nothing but its table (the view is pruned per table).
pub(super) async fn table(view: &Arc<View>) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    let plan = super::planned(view, &sql(&view.pins.defs())).await?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

fn sql(defs: &[Arc<TableDef>]) -> String {
    let mut parts = Vec::new();
    for def in defs.iter().filter(|def| def.signal.is_some()) {
        for scope in [Scope::Resource, Scope::Scope, Scope::Record] {
            parts.push(in_maps(def.name, scope));
        }
        if !def.promotions.is_empty() {
            parts.push(in_columns(def));
        }
    }
    format!(
        "SELECT a.table_name, a.scope, a.key, a.promoted, a.\"rows\", \
         arrow_cast(a.distinct_about, 'Int64') AS distinct_about, \
         arrow_cast(a.bytes, 'Int64') AS bytes, u.at AS last_queried \
         FROM ({}) a LEFT JOIN system.attribute_uses u ON a.scope = u.scope AND a.key = u.key",
        parts.join(" UNION ALL ")
    )
}

/// The keys that are in a map column, one row per key.
fn in_maps(table: &str, scope: Scope) -> String {
    let (map, name) = (scope.map_column(), scope.as_str());
    format!(
        "SELECT '{table}' AS table_name, '{name}' AS scope, key, false AS promoted, \
         count(*) AS \"rows\", approx_distinct(value) AS distinct_about, \
         sum(octet_length(key) + coalesce(octet_length(value), 0)) AS bytes \
         FROM (SELECT unnest(map_keys({map})) AS key, unnest(map_values({map})) AS value FROM {table}) \
         GROUP BY key"
    )
}

/// The promoted keys of a table in one pass, turned into a row each.
fn in_columns(def: &TableDef) -> String {
    let mut lists: [String; 5] = Default::default();
    for promotion in &def.promotions {
        let column = format!("\"{}\"", promotion.column.replace('"', "\"\""));
        let text = match promotion.kind {
            ColumnType::Text => column.clone(),
            _ => format!("CAST({column} AS VARCHAR)"),
        };
        let items = [
            format!("'{}'", promotion.scope.as_str()),
            format!("'{}'", promotion.key.replace('\'', "''")),
            format!("count({column})"),
            format!("approx_distinct({text})"),
            format!("coalesce(sum(octet_length({text})), 0)"),
        ];
        for (list, item) in lists.iter_mut().zip(items) {
            let comma = if list.is_empty() { "" } else { ", " };
            // Writing to a String cannot fail.
            write!(list, "{comma}{item}").ok();
        }
    }
    let [scopes, keys, rows, distinct, bytes] = lists;
    let name = def.name;
    format!(
        "SELECT '{name}' AS table_name, scope, key, true AS promoted, \"rows\", distinct_about, bytes \
         FROM (SELECT unnest(make_array({scopes})) AS scope, unnest(make_array({keys})) AS key, \
         unnest(make_array({rows})) AS \"rows\", unnest(make_array({distinct})) AS distinct_about, \
         unnest(make_array({bytes})) AS bytes FROM {name}) WHERE \"rows\" > 0"
    )
}
