//! SQL over a caller's rows: read-only, bounded, and with nothing else in reach.
//!
//! What a caller may see is what the session's catalogue holds: the tables are made for the call, over the people who
//! may be seen. There are no files, no URLs, no table functions, no settings and no `information_schema`. Functions
//! whose result can be far larger than their input, without the memory budget noticing, are left out
//! ([`FUNCTIONS_LEFT_OUT`]); nothing spills to disk, where it would outlive an erasure.

mod catalogue;
mod latest;
mod points;
mod pushdown;

use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
    SchemaProvider,
};
use datafusion::common::DataFusionError;
use datafusion::datasource::MemTable;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::execution::{SendableRecordBatchStream, SessionStateDefaults};
use datafusion::prelude::{SessionConfig, SessionContext};
use storage::Snapshot;

use self::latest::LatestTable;
use self::points::PointsTable;
use super::budget::{Bounded, to_error, too_slow};
use crate::catalogue::Catalogue;
use crate::error::{Error, Result};
use crate::latest::Latest;

const CATALOG: &str = "avycenna";
const SCHEMA: &str = "public";
/// Longest text of a query, bytes.
const SQL_BYTES_MAX: usize = 64 << 10;
/// Most partitions of one query.
const PARTITIONS_MAX: usize = 4;

/// Scalar functions that make much of little (`repeat('x', 1000000000)`) or speak of files.
const FUNCTIONS_LEFT_OUT: [&str; 10] = [
    "repeat",
    "lpad",
    "rpad",
    "replace",
    "range",
    "generate_series",
    "array_repeat",
    "array_resize",
    "input_file_name",
    "file_row_index",
];

/// Bounds of one query.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// Memory of all queries that run, bytes.
    pub(crate) memory_bytes: usize,
    /// Longest run, planning and streaming included.
    pub(crate) time_max: Duration,
    /// Most rows of an answer.
    pub(crate) rows_max: usize,
}

/// What all calls share: functions, rules and the memory budget.
pub(crate) struct Sql {
    template: SessionState,
    metrics: RecordBatch,
    bounds: Bounds,
}

impl std::fmt::Debug for Sql {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sql").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

impl Sql {
    /// Prepares sessions.
    ///
    /// # Errors
    /// DataFusion's, for bounds that it does not take.
    pub(crate) fn new(catalogue: &Catalogue, bounds: Bounds) -> Result<Self> {
        let runtime = runtime(bounds.memory_bytes).map_err(to_error)?;
        let partitions = std::thread::available_parallelism().map_or(1, usize::from).min(PARTITIONS_MAX);
        let mut config = SessionConfig::new()
            .with_default_catalog_and_schema(CATALOG, SCHEMA)
            .with_create_default_catalog_and_schema(false)
            .with_information_schema(false)
            .with_target_partitions(partitions);
        config.options_mut().execution.enable_recursive_ctes = false;
        let functions = SessionStateDefaults::default_scalar_functions();
        let is_left_out = |name: &str| FUNCTIONS_LEFT_OUT.contains(&name);
        let functions = functions.into_iter().filter(|function| !is_left_out(function.name())).collect();
        let template = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_expr_planners(SessionStateDefaults::default_expr_planners())
            .with_scalar_functions(functions)
            .with_aggregate_functions(SessionStateDefaults::default_aggregate_functions())
            .with_window_functions(SessionStateDefaults::default_window_functions())
            .build();
        Ok(Self { template, metrics: catalogue::rows(catalogue)?, bounds })
    }

    /// The budget and configuration in which our own plans run, too.
    pub(crate) fn task(&self) -> Arc<datafusion::execution::TaskContext> {
        self.template.task_ctx()
    }

    /// Plans and begins one query over the rows of `latest.users`.
    ///
    /// # Errors
    /// [`Error::Query`] with the planner's message, [`Error::Budget`].
    pub(crate) async fn run(&self, sql: &str, snapshot: Snapshot, latest: Latest) -> Result<SendableRecordBatchStream> {
        if sql.len() > SQL_BYTES_MAX {
            return Err(Error::Budget { what: format!("{SQL_BYTES_MAX} bytes of SQL") });
        }
        let deadline = tokio::time::Instant::now() + self.bounds.time_max;
        let begun = tokio::time::timeout_at(deadline, Box::pin(self.begin(sql, snapshot, latest))).await;
        let stream = begun.map_err(|_| too_slow(self.bounds.time_max))?.map_err(to_error)?;
        Ok(Box::pin(Bounded::new(stream, deadline, self.bounds.time_max, self.bounds.rows_max)))
    }

    async fn begin(
        &self,
        sql: &str,
        snapshot: Snapshot,
        latest: Latest,
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        let mut state = self.template.clone();
        state.register_catalog_list(self.catalogs(snapshot, latest)?);
        let plan = state.create_logical_plan(sql).await?;
        SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false)
            .verify_plan(&plan)?;
        let frame = SessionContext::new_with_state(state).execute_logical_plan(plan).await?;
        frame.execute_stream().await
    }

    /// The tables of one caller, and nothing else.
    fn catalogs(&self, snapshot: Snapshot, latest: Latest) -> Result<Arc<dyn CatalogProviderList>, DataFusionError> {
        let points = PointsTable { snapshot, metrics: Arc::clone(&latest.metrics), visible: Arc::clone(&latest.users) };
        let metrics = MemTable::try_new(self.metrics.schema(), vec![vec![self.metrics.clone()]])?;
        let schema = MemorySchemaProvider::new();
        schema.register_table("points".to_owned(), Arc::new(points))?;
        schema.register_table("latest".to_owned(), Arc::new(LatestTable { all: latest }))?;
        schema.register_table("metrics".to_owned(), Arc::new(metrics))?;
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema(SCHEMA, Arc::new(schema))?;
        let catalogs = MemoryCatalogProviderList::new();
        catalogs.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
        Ok(Arc::new(catalogs))
    }
}

fn runtime(memory_bytes: usize) -> Result<Arc<RuntimeEnv>, DataFusionError> {
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(memory_bytes)))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
        .build_arc()
}
