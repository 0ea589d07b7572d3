//! What a statement can name, and one moment of it.
//!
//! A [`View`] is made per statement. It pins one snapshot per table when that
//! table is first named, so that two mentions of a table see the same rows
//! (S2); it holds the tables of one tenant and no others (S11).
//!
//! | file | what |
//! | --- | --- |
//! | this | [`View`], and the three schemas as DataFusion wants them |
//! | [`pins`] | [`Pins`](pins::Pins): snapshots, each taken once |
//! | [`public`] | the tables, the columns computed on `spans` |
//! | [`views`] | `traces` and `usage`, merged from their parts; `changes` |
//! | [`latest`] | the latest revisions of the tables that have some |
//! | [`system`] | `system.ledger`, `files`, `wal`, `queries` |
//! | [`attributes`] | `system.attributes`, by a scan |
//! | [`describe`] | tables with their meaning and counts, for `/api/v1/tables` |
//! | [`information`] | `information_schema` |
//! | `postgres` | `pg_catalog`, and types by PostgreSQL's names; with that door |

mod attributes;
pub(crate) mod describe;
mod information;
mod latest;
pub(crate) mod pins;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
mod public;
mod system;
mod views;

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, internal_err};
use datafusion::datasource::TableType;
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionState;
use futures::FutureExt;
use schema::Tenant;
use tokio::time::Instant;

use crate::Error;
use crate::attributes::Rewrite;
use crate::engine::{Core, Given, Query, Stats, share::Share, stop::Stop};
use crate::functions;
use pins::Pins;

pub(crate) const CATALOG: &str = "cloudsail";
pub(crate) const PUBLIC: &str = "public";
const SYSTEM: &str = "system";
const INFORMATION: &str = "information_schema";
const PG_CATALOG: &str = "pg_catalog";
pub(crate) const SCHEMAS: [&str; 3] = [PUBLIC, SYSTEM, INFORMATION];

/// Everything one statement can see.
pub(crate) struct View {
    pub core: Arc<Core>,
    pub tenant: Tenant,
    pub pins: Arc<Pins>,
    /// Values for parameters of functions in FROM.
    pub given: Given,
    env: Arc<RuntimeEnv>,
    stop: Stop,
    now_unix_nano: i64,
    zone: Option<Arc<str>>,
    connection: Option<i32>,
}

impl View {
    /// What a statement sees. A parameter without a value is given one while it
    /// is only `described`.
    pub fn new(
        core: Arc<Core>,
        query: &Query,
        env: Arc<RuntimeEnv>,
        stop: Stop,
        now_unix_nano: i64,
        described: bool,
    ) -> Arc<View> {
        let stores = core.base.stores.clone();
        let (tenant, limit) = (query.tenant.clone(), core.settings.pinned);
        let stats = stop.stats().clone();
        let pins = Pins::new(core.source.clone(), stores, tenant.clone(), stats, limit);
        let given = Given::new(query.params.clone(), described);
        let (zone, connection) = (query.zone.clone(), query.connection);
        let pins = Arc::new(pins);
        Arc::new(View { core, tenant, pins, given, env, stop, now_unix_nano, zone, connection })
    }

    /// A view for looking at tables rather than rows.
    pub fn aside(core: &Arc<Core>, tenant: &Tenant) -> Arc<View> {
        let env = core.base.env(&Share::new(&core.memory));
        let now = core.clock.now_unix_nano();
        let limit = core.settings.timeout;
        let stop = core.stop(Instant::now() + limit, limit, &Stats::begin());
        let query = Query { tenant: tenant.clone(), ..Query::new("", "inside") };
        View::new(core.clone(), &query, env, stop, now, false)
    }

    /// A session that plans and runs over this view.
    pub fn session(self: &Arc<Self>) -> SessionState {
        let list = Arc::new(List(self.clone()));
        let core = &self.core;
        let promoted = core.base.promoted.clone();
        let tenant = self.tenant.clone();
        let rewrite = Rewrite::new(core.uses.clone(), tenant, self.now_unix_nano, promoted);
        let (env, zone) = (self.env.clone(), self.zone.as_deref());
        let stop = &self.stop;
        let mut state = core.base.session(list, env, rewrite, stop, self.now_unix_nano, zone);
        functions::table::register(&mut state, self);
        #[cfg(feature = "postgres")]
        postgres::register(&mut state, self);
        state
    }

    fn schema(self: &Arc<Self>, name: &str, columns_only: bool) -> Option<Arc<dyn SchemaProvider>> {
        let view = self.clone();
        match name {
            PUBLIC | SYSTEM => {
                Some(Arc::new(Tables { view, system: name == SYSTEM, columns_only }))
            }
            INFORMATION if !columns_only => Some(Arc::new(information::Information(view))),
            #[cfg(feature = "postgres")]
            PG_CATALOG if !columns_only => Some(Arc::new(postgres::PgCatalog(view))),
            _ => None,
        }
    }

    /// Adds what the user probably meant to an error about a missing table.
    pub fn suggest(&self, error: DataFusionError) -> Error {
        let error = Error::from(error);
        let text = error.to_string();
        let missing =
            |what: &str| text.strip_prefix(what).and_then(|rest| rest.strip_suffix("' not found"));
        if let Some(name) = missing("table function '") {
            return functions::table::unknown(name).at(error.position());
        }
        let Some(missing) = missing("table '") else { return error };
        let name = missing.trim_start_matches("cloudsail.");
        let (schema, bare) = name.rsplit_once('.').unwrap_or((PUBLIC, name));
        let said =
            Error::invalid(format!("there is no table {}", name.trim_start_matches("public.")))
                .at(error.position());
        if let Some(form) = functions::table::named(bare) {
            return said.with_hint(format!("it is a function: SELECT * FROM {form}"));
        }
        let system = system::NAMES.map(|table| format!("{SYSTEM}.{table}"));
        let public = public::names(self);
        // Someone who asks for `ledger` means `system.ledger`.
        if let Some(full) = system.iter().find(|full| full.ends_with(&format!(".{bare}"))) {
            return said.with_hint(format!("did you mean {full}?"));
        }
        let known: Vec<&str> = match schema {
            SYSTEM => system::NAMES.to_vec(),
            _ => public.iter().map(String::as_str).collect(),
        };
        match crate::sandbox::nearest(bare, known.iter().copied()) {
            Some(near) if schema == SYSTEM => {
                said.with_hint(format!("did you mean {SYSTEM}.{near}?"))
            }
            Some(near) => said.with_hint(format!("did you mean {near}?")),
            None => {
                said.with_hint(format!("there are {}; SHOW TABLES lists all", public.join(", ")))
            }
        }
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct List(Arc<View>);

impl CatalogProviderList for List {
    /// Nothing can be registered: the catalog offered comes back.
    fn register_catalog(
        &self,
        _: String,
        catalog: Arc<dyn CatalogProvider>,
    ) -> Option<Arc<dyn CatalogProvider>> {
        Some(catalog)
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.into()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        let catalog = Schemas { view: self.0.clone(), columns_only: false };
        (name == CATALOG).then(|| Arc::new(catalog) as Arc<dyn CatalogProvider>)
    }
}

/// The list that `information_schema` reads: listing columns pins nothing.
#[derive(Debug)]
struct ColumnsOnly(Arc<View>);

impl CatalogProviderList for ColumnsOnly {
    fn register_catalog(
        &self,
        _: String,
        catalog: Arc<dyn CatalogProvider>,
    ) -> Option<Arc<dyn CatalogProvider>> {
        Some(catalog)
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.into()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        let catalog = Schemas { view: self.0.clone(), columns_only: true };
        (name == CATALOG).then(|| Arc::new(catalog) as Arc<dyn CatalogProvider>)
    }
}

#[derive(Debug)]
struct Schemas {
    view: Arc<View>,
    columns_only: bool,
}

impl CatalogProvider for Schemas {
    fn schema_names(&self) -> Vec<String> {
        let postgres = cfg!(feature = "postgres").then_some(PG_CATALOG);
        [PUBLIC, SYSTEM, INFORMATION].into_iter().chain(postgres).map(String::from).collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        self.view.schema(name, self.columns_only)
    }
}

/// `public` or `system`.
#[derive(Debug)]
struct Tables {
    view: Arc<View>,
    system: bool,
    columns_only: bool,
}

#[async_trait]
impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        match self.system {
            true => system::NAMES.map(String::from).to_vec(),
            false => public::names(&self.view),
        }
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        if self.columns_only {
            let schema = match self.system {
                true => system::schema(name),
                false => public::schema(&self.view, name),
            };
            return Ok(schema.map(|schema| Arc::new(EmptyTable::new(schema)) as _));
        }
        match self.system {
            true => system::table(&self.view, name).await,
            false => public::table(&self.view, name).await,
        }
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>, DataFusionError> {
        let derived = self.system || self.view.pins.def(name).is_none();
        let kind = if derived { TableType::View } else { TableType::Base };
        Ok(self.table_exist(name).then_some(kind))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|known| known == name)
    }
}

/// Plans a view's SQL over the same pinned snapshots as the statement.
async fn planned(
    view: &Arc<View>,
    sql: &str,
) -> Result<datafusion::logical_expr::LogicalPlan, DataFusionError> {
    let state = view.session();
    debug_assert_eq!(state.config().target_partitions(), view.core.settings.threads);
    state.create_logical_plan(sql).await
}

/// The same for who cannot wait: nothing that a plan is made of does.
pub(crate) fn planned_at_once(
    view: &Arc<View>,
    sql: &str,
) -> Result<datafusion::logical_expr::LogicalPlan, DataFusionError> {
    match planned(view, sql).now_or_never() {
        Some(plan) => plan,
        None => internal_err!("the planning of a view waited for something"),
    }
}
