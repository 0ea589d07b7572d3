//! What a plan may use: functions, rules, settings, memory, disk and stores.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use chrono::DateTime;
use datafusion::catalog::CatalogProviderList;
use datafusion::config::{Dialect, SpillCompression};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::prelude::SessionConfig;
use schema::ErrorKind;
use storage::Source;

use super::checkpoint::Checkpoint;
use super::share::Share;
use super::stop::Stop;
use super::watch::Watch;
use super::zone::Zoned;
use crate::codes::{ByCode, Codes};
use crate::runs::ByRuns;
use crate::sandbox::functions::guard;
use crate::sandbox::stores::Stores;
use crate::{Error, Settings, attributes, functions};

/// What DataFusion calls its temporary folders.
const SPILL_PREFIX: &str = "datafusion-";

/// The part of a session that all statements share.
#[derive(Debug)]
pub(crate) struct Base {
    /// Made for the first statement: a node that is not asked does without the
    /// memory for all that DataFusion can do.
    state: OnceLock<SessionState>,
    settings: Settings,
    env: RuntimeEnv,
    pub stores: Arc<Stores>,
    pub promoted: attributes::Promoted,
}

impl Base {
    pub fn new(source: &dyn Source, settings: &Settings) -> Result<Base, Error> {
        clear_spill(&settings.spill_dir)?;
        let stores = Arc::new(Stores::of(source));
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![settings.spill_dir.clone()]))
            .with_max_temp_directory_size(settings.spill_bytes);
        let env = RuntimeEnvBuilder::new()
            .with_disk_manager_builder(disk)
            .with_object_store_registry(stores.clone())
            .build()?;
        let tables = source.catalog().tables().iter();
        let promotions = tables.flat_map(|def| &def.promotions);
        let promoted = promotions.map(|p| (p.scope, p.key.clone())).collect();
        let (settings, promoted) = (settings.clone(), Arc::new(promoted));
        Ok(Base { state: OnceLock::new(), settings, env, stores, promoted })
    }

    fn state(&self) -> &SessionState {
        self.state.get_or_init(|| state(&self.settings))
    }

    /// An environment that holds at most its share.
    pub fn env(&self, share: &Share) -> Arc<RuntimeEnv> {
        Arc::new(RuntimeEnv { memory_pool: share.pool(), ..self.env.clone() })
    }

    /// From now on all statements together spill at most `room` more bytes,
    /// within their own bound: a disk that runs short is left to ingest.
    pub fn bound_spill(&self, room: u64) -> Result<(), Error> {
        let disk = &self.env.disk_manager;
        let most = disk.used_disk_space().saturating_add(room).min(self.settings.spill_bytes);
        Ok(disk.set_max_temp_directory_size(most)?)
    }

    /// A session over a catalog. `now()` is the moment the statement began,
    /// by the given clock; `zone` is UTC if absent.
    pub fn session(
        &self,
        catalog: Arc<dyn CatalogProviderList>,
        env: Arc<RuntimeEnv>,
        rewrite: attributes::Rewrite,
        stop: &Stop,
        now_unix_nano: i64,
        zone: Option<&str>,
    ) -> SessionState {
        let state = self.state();
        let mut rules = state.analyzer().rules.clone();
        // Before types are settled: what it emits has to be coerced as well.
        rules.insert(0, Arc::new(rewrite));
        if let Some(zone) = zone {
            rules.insert(0, Arc::new(Zoned(zone.into())));
        }
        // After that, and before anything is evaluated.
        rules.push(Arc::new(guard::Early));
        let mut optimizers = state.optimizers().to_vec();
        let codes = ByCode(Codes::new(&env.memory_pool));
        // Before what the scan can compute is moved into it.
        let leaves = optimizers.iter().position(|rule| rule.name() == "extract_leaf_expressions");
        optimizers.insert(leaves.unwrap_or(optimizers.len()), Arc::new(codes));
        let checkpoint = Checkpoint::new(stop);
        let rules = Checkpoint::between(&rules, checkpoint.clone());
        let optimizers = Checkpoint::between(&optimizers, checkpoint.clone());
        let physical = Checkpoint::between(state.physical_optimizers(), checkpoint);
        let mut config = state.config().clone();
        config.options_mut().extensions.insert(stop.clone());
        let now = DateTime::from_timestamp_nanos(now_unix_nano);
        if let Some(zone) = zone {
            config.options_mut().execution.time_zone = Some(zone.to_owned());
        }
        let mut props = ExecutionProps::new().with_query_execution_start_time(now);
        // Functions would be given the defaults otherwise.
        props.config_options = Some(config.options().clone());
        SessionStateBuilder::new_from_existing(state.clone())
            .with_config(config)
            .with_catalog_list(catalog)
            .with_runtime_env(env)
            .with_analyzer_rules(rules)
            .with_optimizer_rules(optimizers)
            .with_physical_optimizer_rules(physical)
            .with_physical_optimizer_rule(Arc::new(ByRuns))
            .with_physical_optimizer_rule(Arc::new(Watch(stop.clone())))
            .with_execution_props(props)
            .build()
    }
}

fn state(settings: &Settings) -> SessionState {
    let mut builder = SessionStateBuilder::new_with_default_features();
    // Nothing is ever created or written, so nothing that could is there.
    builder.table_factories().get_or_insert_default().clear();
    builder.file_formats().get_or_insert_default().clear();
    let all = builder.scalar_functions().take().unwrap_or_default();
    *builder.scalar_functions() = Some(functions::scalar(all));
    builder.aggregate_functions().get_or_insert_default().extend(functions::aggregate());
    let planners = builder.expr_planners().get_or_insert_default();
    planners.insert(0, Arc::new(attributes::MapAccess));
    let builder = builder.with_optimizer_rule(Arc::new(guard::Late));
    #[cfg(feature = "postgres")]
    let builder = crate::catalog::postgres::prepare(builder);
    builder.with_config(config(settings)).build()
}

fn config(settings: &Settings) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_target_partitions(settings.threads)
        // Half the default: rows are wide, and merging spilled runs holds
        // several batches per thread.
        .with_batch_size(4_096)
        .with_default_catalog_and_schema(crate::catalog::CATALOG, crate::catalog::PUBLIC)
        .with_create_default_catalog_and_schema(false)
        // The catalog brings its own, which leaves the settings out.
        .with_information_schema(false);
    let options = config.options_mut();
    options.sql_parser.dialect = Dialect::PostgreSQL;
    // For the position in errors.
    options.sql_parser.collect_spans = true;
    // `now()` is an instant, not a wall clock's reading.
    options.execution.time_zone = Some("UTC".into());
    options.execution.enable_recursive_ctes = false;
    // Each thread's part of a sort sets this aside for merging what it spilled:
    // with the default of 10 MiB, many threads would use up a share by that.
    let aside = settings.share() / (16 * settings.threads.max(1));
    let execution = &mut options.execution;
    execution.sort_spill_reservation_bytes = execution.sort_spill_reservation_bytes.min(aside);
    // The disk is the log's too: what is spilled delays every fsync before an ack.
    execution.spill_compression = SpillCompression::Lz4Frame;
    // A filtered top 100 fell from 138 to 22 ms with these (stack.md).
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    config
}

/// Removes what a killed process left; running ones remove their own.
fn clear_spill(dir: &Path) -> Result<(), Error> {
    let failed = |error: std::io::Error| {
        let dir = dir.display();
        Error::new(
            ErrorKind::Unavailable,
            format!("the spill directory {dir} cannot be used: {error}"),
        )
        .with_hint("let this process write there, or set query.spill_dir to another folder")
    };
    std::fs::create_dir_all(dir).map_err(failed)?;
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let ours = entry.file_name().to_string_lossy().starts_with(SPILL_PREFIX);
        if ours && entry.file_type().map_err(failed)?.is_dir() {
            std::fs::remove_dir_all(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}
