//! `pg_catalog`: what PostgreSQL's clients read to learn what there is.
//!
//! | file | what |
//! | --- | --- |
//! | this | [`PgCatalog`]: the schema; which table is whose |
//! | [`relations`] | tables, views and columns, as the catalogs number them |
//! | [`tables`] | `pg_class`, `pg_attribute` and the others that say what is here |
//! | [`types`] | Arrow types as PostgreSQL's, for the catalogs and the wire |
//!
//! What is the same in every PostgreSQL (types, operators, collations) comes
//! from `datafusion-pg-catalog`. Nothing here takes a snapshot: looking around
//! pins no rows.

pub(super) mod relations;
mod tables;
pub(crate) mod types;

use std::sync::{Arc, LazyLock};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, plan_datafusion_err};
use datafusion::datasource::TableType;
use datafusion_pg_catalog::pg_catalog::catalog_info::CatalogInfo;
use datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_pg_catalog::pg_catalog::{
    ArrowTable, PG_CATALOG_TABLES, PgCatalogSchemaProvider, PgCatalogStaticTables,
};

use super::View;

pub(super) const NAME: &str = "pg_catalog";

/// The tables that are the same everywhere.
fn fixed() -> Result<&'static PgCatalogStaticTables, DataFusionError> {
    static TABLES: LazyLock<Result<PgCatalogStaticTables, String>> =
        LazyLock::new(|| PgCatalogStaticTables::try_new().map_err(|error| error.to_string()));
    TABLES.as_ref().map_err(|error| plan_datafusion_err!("pg_catalog cannot be read: {error}"))
}

/// The words of SQL, which `pg_get_keywords()` lists.
pub(crate) fn keywords() -> Result<Arc<ArrowTable>, DataFusionError> {
    Ok(fixed()?.pg_get_keywords.clone())
}

#[derive(Debug)]
pub(super) struct PgCatalog(pub Arc<View>);

impl PgCatalog {
    /// What it has no tables for, `datafusion-pg-catalog` answers.
    async fn elsewhere(
        &self,
        name: &str,
    ) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let fixed = Arc::new(fixed()?.clone());
        PgCatalogSchemaProvider::try_new(Nothing, fixed, EmptyContextProvider)?.table(name).await
    }
}

#[async_trait]
impl SchemaProvider for PgCatalog {
    fn table_names(&self) -> Vec<String> {
        let own = tables::NAMES.iter().filter(|name| !PG_CATALOG_TABLES.contains(name));
        PG_CATALOG_TABLES.iter().chain(own).map(|name| (*name).to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        match tables::table(&self.0, name)? {
            Some(table) => Ok(Some(table)),
            None => self.elsewhere(name).await,
        }
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>, DataFusionError> {
        Ok(self.table_exist(name).then_some(TableType::View))
    }

    fn table_exist(&self, name: &str) -> bool {
        tables::NAMES.contains(&name) || PG_CATALOG_TABLES.contains(&name)
    }
}

/// No catalogs: what is here, [`tables`] says.
#[derive(Debug, Clone)]
struct Nothing;

#[async_trait]
impl CatalogInfo for Nothing {
    async fn catalog_names(&self) -> Result<Vec<String>, DataFusionError> {
        Ok(Vec::new())
    }

    async fn schema_names(&self, _: &str) -> Result<Option<Vec<String>>, DataFusionError> {
        Ok(None)
    }

    async fn table_names(&self, _: &str, _: &str) -> Result<Option<Vec<String>>, DataFusionError> {
        Ok(None)
    }

    async fn table_schema(
        &self,
        _: &str,
        _: &str,
        _: &str,
    ) -> Result<Option<SchemaRef>, DataFusionError> {
        Ok(None)
    }

    async fn table_type(
        &self,
        _: &str,
        _: &str,
        _: &str,
    ) -> Result<Option<TableType>, DataFusionError> {
        Ok(None)
    }
}
