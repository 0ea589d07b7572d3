//! `information_schema`: DataFusion's, without the engine's settings (S20); with
//! the Postgres door its columns have PostgreSQL's names for types.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use datafusion::catalog::information_schema::InformationSchemaProvider;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::datasource::MemTable;

use super::{ColumnsOnly, View};

const SETTINGS: &str = "df_settings";

/// What has no rows here: nothing is constrained, granted or triggered.
const EMPTY: [(&str, &[&str]); 8] = [
    (
        "table_constraints",
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "table_catalog",
            "table_schema",
            "table_name",
            "constraint_type",
            "is_deferrable",
            "initially_deferred",
            "enforced",
        ],
    ),
    (
        "key_column_usage",
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "table_catalog",
            "table_schema",
            "table_name",
            "column_name",
            "ordinal_position",
            "position_in_unique_constraint",
        ],
    ),
    (
        "constraint_column_usage",
        &[
            "table_catalog",
            "table_schema",
            "table_name",
            "column_name",
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
        ],
    ),
    (
        "referential_constraints",
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "unique_constraint_catalog",
            "unique_constraint_schema",
            "unique_constraint_name",
            "match_option",
            "update_rule",
            "delete_rule",
        ],
    ),
    (
        "table_privileges",
        &["grantor", "grantee", "table_catalog", "table_schema", "table_name", "privilege_type"],
    ),
    ("sequences", &["sequence_catalog", "sequence_schema", "sequence_name", "data_type"]),
    ("triggers", &["trigger_catalog", "trigger_schema", "trigger_name", "event_object_table"]),
    (
        "check_constraints",
        &["constraint_catalog", "constraint_schema", "constraint_name", "check_clause"],
    ),
];

#[derive(Debug)]
pub(super) struct Information(pub Arc<View>);

impl Information {
    fn inner(&self) -> InformationSchemaProvider {
        InformationSchemaProvider::new(Arc::new(ColumnsOnly(self.0.clone())))
    }
}

#[async_trait]
impl SchemaProvider for Information {
    fn table_names(&self) -> Vec<String> {
        let own = EMPTY.iter().map(|(name, _)| (*name).to_owned());
        self.inner().table_names().into_iter().filter(|name| name != SETTINGS).chain(own).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let name = name.to_ascii_lowercase();
        if name == SETTINGS {
            return Ok(None);
        }
        #[cfg(feature = "postgres")]
        if name == "columns" {
            return super::postgres::columns::table(&self.0).map(Some);
        }
        if let Some((_, names)) = EMPTY.iter().find(|(known, _)| *known == name) {
            let fields = names.iter().map(|name| Field::new(*name, DataType::Utf8, true));
            let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            return Ok(Some(Arc::new(MemTable::try_new(schema, vec![Vec::new()])?)));
        }
        self.inner().table(&name).await
    }

    fn table_exist(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        name != SETTINGS
            && (EMPTY.iter().any(|(known, _)| *known == name) || self.inner().table_exist(&name))
    }
}
