//! `pg_catalog`: what PostgreSQL's clients read to learn what there is.
//!
//! | file | what |
//! | --- | --- |
//! | this | [`PgCatalog`]: the schema; which table is whose |
//! | [`columns`] | `information_schema.columns`, where clients look for types |
//! | [`comments`] | functions that say what tables and columns mean |
//! | [`functions`] | `pg_proc`, with what telemetry is asked for with |
//! | [`relations`] | tables, views and columns, as the catalogs number them |
//! | [`tables`] | `pg_class`, `pg_attribute` and the others that say what is here |
//! | [`types`] | Arrow types as PostgreSQL's, for the catalogs and the wire |
//!
//! What is the same in every PostgreSQL (types, operators, collations) comes
//! from `datafusion-pg-catalog`. Nothing here takes a snapshot: looking around
//! pins no rows.

pub(super) mod columns;
mod comments;
pub(crate) mod functions;
mod relations;
mod tables;
pub(crate) mod types;

use std::sync::{Arc, LazyLock};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{
    SchemaProvider, TableFunction, TableFunctionArgs, TableFunctionImpl, TableProvider,
};
use datafusion::common::{DataFusionError, plan_datafusion_err};
use datafusion::datasource::TableType;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion_pg_catalog::pg_catalog::catalog_info::CatalogInfo;
use datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_pg_catalog::pg_catalog::oid_type_planner::PgOidTypePlanner;
use datafusion_pg_catalog::pg_catalog::{
    PG_CATALOG_TABLES, PgCatalogSchemaProvider, PgCatalogStaticTables,
};

use super::View;

/// The tables that are the same everywhere.
fn fixed() -> Result<&'static PgCatalogStaticTables, DataFusionError> {
    static TABLES: LazyLock<Result<PgCatalogStaticTables, String>> =
        LazyLock::new(|| PgCatalogStaticTables::try_new().map_err(|error| error.to_string()));
    TABLES.as_ref().map_err(|error| plan_datafusion_err!("pg_catalog cannot be read: {error}"))
}

/// Adds to a session what is no table: `regclass` and its like as types, and
/// `pg_get_keywords()`, which psql completes words with.
pub(crate) fn prepare(mut builder: SessionStateBuilder) -> SessionStateBuilder {
    let name = "pg_get_keywords".to_owned();
    let keywords = TableFunction::new(name.clone(), Arc::new(Keywords));
    builder.table_functions().get_or_insert_default().insert(name, Arc::new(keywords));
    builder.with_type_planner(Arc::new(PgOidTypePlanner))
}

/// The fixed tables are megabytes, which nobody needs who does not ask.
#[derive(Debug)]
struct Keywords;

impl TableFunctionImpl for Keywords {
    fn call_with_args(
        &self,
        args: TableFunctionArgs,
    ) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        fixed()?.pg_get_keywords.call_with_args(args)
    }
}

/// Adds the functions that answer for one session.
pub(super) fn register(state: &mut SessionState, view: &Arc<View>) {
    let own = comments::functions(view).into_iter();
    for function in own.chain(crate::functions::postgres::connected(view.connection)) {
        if let Err(error) = state.register_udf(function) {
            tracing::warn!(%error, "a function of the session is left out");
        }
    }
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
