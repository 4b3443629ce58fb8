//! SQL over a caller's rows: read-only, bounded, and with nothing else in reach.
//!
//! What a caller may see is what the session's catalogue holds: the tables are made for the call, over the people who
//! may be seen. There are no files, no URLs, no table functions, no settings and no `information_schema`. The functions
//! are those of [`functions`]; how far a statement reaches is bounded before it is optimized ([`extent`]); nothing spills
//! to disk, where it would outlive an erasure.

mod admitted;
mod catalogue;
mod extent;
mod functions;
mod hold;
mod latest;
mod local_day;
mod narrow;
mod output;
mod param;
mod placeholder;
mod plain_texts;
mod points;
mod pool;
mod pushdown;
mod query;
mod refusal;
mod shape;
mod slices;
mod tables;

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
    SchemaProvider,
};
use datafusion::common::DataFusionError;
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateDefaults;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::registry::FunctionRegistry as _;
use datafusion::prelude::SessionConfig;

use self::hold::HoldBelowWindows;
use self::latest::LatestTable;
pub use self::param::Param;
use self::plain_texts::PlainTexts;
use self::points::PointsTable;
pub use self::pool::Pieces;
use self::pool::Pool;
pub use self::query::{Permit, Query, Statement};
use self::refusal::refused;
use self::tables::{Moment, Reach};
use super::budget::{to_error, too_slow};
use crate::catalogue::Catalogue;
use crate::error::{Bound, Error, Result};
use crate::latest::Latest;

/// The catalogue of every caller's tables.
pub const CATALOG: &str = "avycenna";
/// The schema of every caller's tables.
pub const SCHEMA: &str = "public";
/// Longest text of a query, bytes.
pub const SQL_BYTES_MAX: usize = 64 << 10;
/// Most values of a query.
pub const PARAMS_MAX: usize = 1_000;
/// Most partitions of one query.
const PARTITIONS_MAX: usize = 4;

/// Bounds of one query.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// Memory of one query, bytes.
    pub(crate) memory_bytes: usize,
    /// Longest run, planning and streaming included.
    pub(crate) time_max: Duration,
    /// Most rows of an answer.
    pub(crate) rows_max: usize,
}

/// What all calls share: functions, rules and threads.
pub(crate) struct Sql {
    template: SessionState,
    pool: Arc<Pool>,
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
    /// DataFusion's, for bounds that it does not take; the system's, if it has no thread.
    pub(crate) fn new(catalogue: &Catalogue, bounds: Bounds) -> Result<Self> {
        let runtime = runtime(bounds.memory_bytes).map_err(to_error)?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut config = SessionConfig::new()
            .with_default_catalog_and_schema(CATALOG, SCHEMA)
            .with_create_default_catalog_and_schema(false)
            .with_information_schema(false)
            .with_target_partitions(threads.min(PARTITIONS_MAX));
        let options = config.options_mut();
        options.execution.enable_recursive_ctes = false;
        options.sql_parser.collect_spans = true;
        options.sql_parser.map_string_types_to_utf8view = false;
        let mut template = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_expr_planners(SessionStateDefaults::default_expr_planners())
            .with_scalar_functions(functions::scalar())
            .with_aggregate_functions(SessionStateDefaults::default_aggregate_functions())
            .with_window_functions(SessionStateDefaults::default_window_functions())
            .with_physical_optimizer_rule(Arc::new(HoldBelowWindows))
            .build();
        template.register_function_rewrite(Arc::new(PlainTexts)).map_err(to_error)?;
        Ok(Self { template, pool: Arc::new(Pool::new(threads)?), metrics: catalogue::rows(catalogue)?, bounds })
    }

    /// The configuration in which our own plans run, too.
    pub(crate) fn task(&self) -> Arc<datafusion::execution::TaskContext> {
        self.template.task_ctx()
    }

    /// Plans a query over the rows of `latest.users`. Nothing is read.
    ///
    /// # Errors
    /// [`Error::Statement`] with the planner's message, [`Error::Budget`].
    pub(crate) async fn prepare(&self, statement: Statement, latest: Latest) -> Result<Query> {
        let began = tokio::time::Instant::now();
        let Statement { sql, params, permit, .. } = statement;
        let session = self.session(&sql, latest)?;
        let (pool, bounds) = (Arc::clone(&self.pool), self.bounds.clone());
        let time_max = bounds.time_max;
        let planned = self.pool.run(async move {
            let logical = session.logical(&sql).await?;
            let extent = extent::survey(&logical, &params, bounds.memory_bytes)?;
            let logical = param::bind(logical, &params, |error| refused(error, &sql))?;
            let plan = session.state.create_physical_plan(&logical).await;
            let plan = plan.and_then(|plan| hold::counting(plan, extent.window_row_bytes));
            let plan = plan.and_then(|plan| narrow::everywhere(plan, extent)).map_err(|error| refused(error, &sql))?;
            let users = session.reach.close();
            let (context, spent) = (session.state.task_ctx(), began.elapsed());
            Ok(Query { plan, context, pool, users, bounds, spent, sql: sql.into(), permit })
        });
        tokio::time::timeout_at(began + time_max, planned).await.map_err(|_| too_slow(time_max))?
    }

    /// The columns that a statement gives, and those that it takes: its parameters.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub(crate) async fn describe(&self, statement: Statement, latest: Latest) -> Result<(SchemaRef, SchemaRef)> {
        let Statement { sql, permit, .. } = statement;
        let session = self.session(&sql, latest)?;
        let memory_bytes = self.bounds.memory_bytes;
        let described = self.pool.run(async move {
            let _permit = permit;
            let plan = session.logical(&sql).await?;
            extent::survey(&plan, &[], memory_bytes)?;
            let params = param::shape(&plan).map_err(|error| refused(error, &sql))?;
            Ok((output::plain_schema(plan.schema().as_arrow()), params))
        });
        let time_max = self.bounds.time_max;
        tokio::time::timeout(time_max, described).await.map_err(|_| too_slow(time_max))?
    }

    /// Does other work on the same threads.
    ///
    /// # Errors
    /// An internal one if the work panicked.
    pub(crate) async fn beside<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T> {
        self.pool.run(async move { Ok(work.await) }).await
    }

    /// A state in which the caller's tables are all there is.
    fn session(&self, sql: &str, latest: Latest) -> Result<Session> {
        if sql.len() > SQL_BYTES_MAX {
            return Err(Error::Budget { bound: Bound::Size, what: format!("{SQL_BYTES_MAX} bytes of SQL") });
        }
        let reach = Reach::new();
        let catalogs = self.catalogs(latest, &reach).map_err(to_error)?;
        let env = RuntimeEnvBuilder::from_runtime_env(self.template.runtime_env())
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(self.bounds.memory_bytes)))
            .build_arc()
            .map_err(to_error)?;
        let mut state = SessionStateBuilder::new_from_existing(self.template.clone()).with_runtime_env(env).build();
        state.register_catalog_list(catalogs);
        // What `now()` is.
        state.mark_start_execution();
        Ok(Session { state, reach })
    }

    /// The tables of one caller, and nothing else.
    fn catalogs(&self, latest: Latest, reach: &Reach) -> Result<Arc<dyn CatalogProviderList>, DataFusionError> {
        let points = PointsTable {
            moment: Moment::of(&latest.storage),
            metrics: Arc::clone(&latest.metrics),
            visible: Arc::clone(&latest.users),
            reach: reach.clone(),
        };
        let metrics = MemTable::try_new(self.metrics.schema(), vec![vec![self.metrics.clone()]])?;
        let schema = MemorySchemaProvider::new();
        schema.register_table("points".to_owned(), Arc::new(points))?;
        schema.register_table("latest".to_owned(), Arc::new(LatestTable { all: latest, reach: reach.clone() }))?;
        schema.register_table("metrics".to_owned(), Arc::new(metrics))?;
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema(SCHEMA, Arc::new(schema))?;
        let catalogs = MemoryCatalogProviderList::new();
        catalogs.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
        Ok(Arc::new(catalogs))
    }
}

/// Where one statement is planned.
struct Session {
    state: SessionState,
    reach: Reach,
}

impl Session {
    /// The plan of a statement that reads, its parameters open.
    async fn logical(&self, sql: &str) -> Result<LogicalPlan> {
        let dialect = self.state.config().options().sql_parser.dialect;
        let mut statement = self.state.sql_to_statement(sql, &dialect).map_err(|error| refused(error, sql))?;
        admitted::check(&statement, sql, &|name| self.state.scalar_functions().contains_key(name))?;
        let planned = async {
            placeholder::number(&mut statement)?;
            let mut plan = self.state.statement_to_plan(statement).await?;
            if let LogicalPlan::DescribeTable(described) = &mut plan {
                described.schema = output::plain_schema(&described.schema);
            }
            SQLOptions::new()
                .with_allow_ddl(false)
                .with_allow_dml(false)
                .with_allow_statements(false)
                .verify_plan(&plan)?;
            Ok(plan)
        };
        Box::pin(planned).await.map_err(|error| refused(error, sql))
    }
}

fn runtime(memory_bytes: usize) -> Result<Arc<RuntimeEnv>, DataFusionError> {
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(memory_bytes)))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
        .build_arc()
}

#[cfg(test)]
mod tests;
