//! The engine as a whole: what the server calls.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use jiff::tz::TimeZone;
use storage::{Clock, Deletion, Health, PointBatch, Snapshot, Storage, StorageConfig, TimeRange, UserId};

use crate::catalogue::Catalogue;
use crate::error::{Error, Fault, FaultKind, Loc, Result};
use crate::export::Export;
use crate::import::batch::Collector;
use crate::ingest;
use crate::ingest::stream::StreamMetrics;
use crate::latest::{Latest, LatestCache};
use crate::observe::{Observations, ObserveQuery};
use crate::query::bucket::Buckets;
use crate::query::budget::to_error;
use crate::query::cursor::Position;
use crate::query::metrics::Metrics;
use crate::query::sql::{Bounds, Pieces, Query, Sql, Statement};
use crate::query::window::Window;
use crate::query::{Aggregate, BucketQuery, JsonBody, WindowQuery};
use crate::render::body::{BucketPieces, WindowPieces, whole_or_stream};
use crate::render::json::{BucketWriter, WindowWriter, write_latest};

/// Budgets and the catalogue.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The storage's budgets.
    pub storage: StorageConfig,
    /// The metrics.
    pub catalogue: Catalogue,
    /// Memory of the last-value cache, bytes.
    pub latest_cache_bytes: usize,
    /// Memory of one SQL query, bytes.
    pub query_memory_bytes: usize,
    /// Longest run of one query.
    pub query_time_max: std::time::Duration,
    /// Most rows of one SQL answer.
    pub query_rows_max: usize,
}

/// Ingest and queries over one open storage. Share it behind an `Arc`.
#[derive(Debug)]
pub struct Engine {
    storage: Arc<Storage>,
    clock: Arc<dyn Clock>,
    catalogue: Catalogue,
    metrics: Arc<Metrics>,
    cache: Arc<LatestCache>,
    pub(crate) sql: Sql,
    /// In which our own plans run; made once.
    task: Arc<TaskContext>,
}

impl Engine {
    /// Opens the storage and registers the catalogue's metrics. Blocks while the log is replayed.
    ///
    /// Metrics that are on disk and no longer in the catalogue stay there, unseen.
    ///
    /// # Errors
    /// As [`Storage::open`].
    pub fn open(place: storage::Place, config: EngineConfig) -> Result<Self> {
        let clock = Arc::clone(&place.clock);
        let cache = Arc::new(LatestCache::new(config.latest_cache_bytes));
        let observer = {
            let (cache, clock) = (Arc::clone(&cache), Arc::clone(&clock));
            Box::new(move |event: storage::Event<'_>| cache.observe(&event, clock.now_us()))
        };
        let storage = Arc::new(Storage::open(place, config.storage, observer)?);
        let metrics = Arc::new(Metrics::register(&config.catalogue, &storage)?);
        let bounds = Bounds {
            memory_bytes: config.query_memory_bytes,
            time_max: config.query_time_max,
            rows_max: config.query_rows_max,
        };
        let sql = Sql::new(&config.catalogue, bounds)?;
        let task = sql.task();
        Ok(Self { storage, clock, catalogue: config.catalogue, metrics, cache, sql, task })
    }

    /// The metrics.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The storage below, for flush, compact, verify, metrics.
    pub fn storage(&self) -> &Arc<Storage> {
        &self.storage
    }

    /// Whether points are taken.
    pub fn health(&self) -> Health {
        self.storage.health()
    }

    /// Parses and validates a body `{"data_points":[…]}` of 1 to 500 points. `body` is scratch afterwards.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] with every fault located, at most 20.
    pub fn parse_bulk(&self, user: UserId, body: &mut [u8]) -> Result<PointBatch> {
        ingest::parse_bulk(&self.catalogue, self.metrics.ids(), user, self.clock.now_us(), body)
    }

    /// Parses and validates a body that is one point. `body` is scratch afterwards.
    ///
    /// # Errors
    /// As [`Self::parse_bulk`].
    pub fn parse_single(&self, user: UserId, body: &mut [u8]) -> Result<PointBatch> {
        ingest::parse_single(&self.catalogue, self.metrics.ids(), user, self.clock.now_us(), body)
    }

    /// What the points of a stream are checked against, for [`crate::ingest::stream::Decoder`].
    pub fn stream_metrics(&self) -> StreamMetrics<'_> {
        StreamMetrics { catalogue: &self.catalogue, ids: &self.metrics }
    }

    /// Appends; the points are durable and visible when it returns `Ok`.
    ///
    /// # Errors
    /// As [`Storage::append`].
    pub async fn append(&self, batch: PointBatch) -> Result<()> {
        Ok(self.storage.append(batch)?.await?)
    }

    /// For what an importer finds, checked as of now.
    pub fn collector(&self) -> Collector {
        Collector::new(self.catalogue.clone(), self.metrics.ids(), self.clock.now_us())
    }

    /// `{"latest":{…}}` of a user: newest per metric, nothing later than now.
    ///
    /// # Errors
    /// I/O, when the cache does not know and a scan fails.
    pub async fn latest(&self, user: UserId) -> Result<JsonBody> {
        let mut batches = self.execute(self.latest_of(Arc::new([user])).plan())?;
        let batch = batches.next().await.transpose().map_err(to_error)?;
        let mut out = Vec::with_capacity(1_024);
        write_latest(batch.as_ref(), &self.metrics, &mut out)?;
        Ok(JsonBody::Whole(out.into()))
    }

    /// `{"metric","unit","data_points":[…]}`, newest first.
    ///
    /// # Errors
    /// [`crate::Error::UnknownMetric`]; [`crate::Error::Invalid`] for a cursor that is not ours; I/O.
    pub async fn window(&self, user: UserId, query: WindowQuery) -> Result<JsonBody> {
        let metric = self.metrics.get(&query.metric)?;
        let limit = query.limit;
        let batches = self.window_batches(self.storage.snapshot(), user, query)?;
        whole_or_stream(WindowPieces::new(batches, WindowWriter::new(metric), &metric.key, limit)).await
    }

    /// The points of a window of a snapshot, before they become JSON: columns `recorded_at`, `value`, `source`,
    /// `source_device_id`; the newest batch first, the rows of each ascending. With a limit one row more comes, if there
    /// is one.
    ///
    /// # Errors
    /// As [`Self::window`].
    pub fn window_batches(
        &self,
        snapshot: Snapshot,
        user: UserId,
        query: WindowQuery,
    ) -> Result<SendableRecordBatchStream> {
        let metric = self.metrics.get(&query.metric)?;
        let after = query.cursor.map(|cursor| Position::decode(&cursor, &metric.key)).transpose()?;
        let window = Window {
            snapshot,
            metric: metric.id,
            user,
            times: query.times,
            source: query.source,
            after,
            // One more tells whether a next page is there.
            limit: query.limit.map(|limit| limit.saturating_add(1)),
        };
        self.execute(window.plan())
    }

    /// `{"metric","unit","bucket","tz","buckets":[…]}`, newest first.
    ///
    /// # Errors
    /// [`crate::Error::UnknownMetric`]; [`crate::Error::Invalid`] for an unknown time zone; I/O.
    pub async fn bucket(&self, user: UserId, query: BucketQuery) -> Result<JsonBody> {
        let metric = self.metrics.get(&query.metric)?;
        let tz = time_zone(&query.tz)?;
        let name = tz.iana_name().unwrap_or(&query.tz).to_owned();
        let mut aggregates: Vec<Aggregate> = Vec::with_capacity(query.aggregates.len());
        for aggregate in query.aggregates {
            if !aggregates.contains(&aggregate) {
                aggregates.push(aggregate);
            }
        }
        let aggregates: Arc<[Aggregate]> = aggregates.into();
        let buckets = Buckets {
            snapshot: self.storage.snapshot(),
            metric: metric.id,
            user,
            times: query.times,
            source: query.source,
            width: query.width,
            tz,
            aggregates: Arc::clone(&aggregates),
        };
        let batches = self.execute(buckets.plan())?;
        let writer = BucketWriter::new(metric, query.width, &name, aggregates);
        whole_or_stream(BucketPieces::new(batches, writer)).await
    }

    /// Deletes a user's points of one metric in a range.
    ///
    /// # Errors
    /// [`crate::Error::UnknownMetric`]; as [`Storage::delete`].
    pub async fn delete(&self, user: UserId, metric: &str, times: TimeRange) -> Result<()> {
        let metric = self.metrics.get(metric)?.id;
        let storage = Arc::clone(&self.storage);
        let deletion = Deletion::Range { user, metric, times };
        let done = tokio::task::spawn_blocking(move || storage.delete(deletion)).await;
        // Also after a failure: what is known may no longer hold.
        self.cache.forget(user, Some(metric));
        match done {
            Ok(done) => Ok(done?),
            // The runtime is going down, or the deletion panicked.
            Err(_) => Err(storage::Error::Closed.into()),
        }
    }

    /// Deletes a user's points of one metric in a range, all but those that `kept` finds. Blocks.
    ///
    /// # Errors
    /// As [`Self::delete`] and [`Storage::delete_but`].
    pub(crate) fn delete_but(
        &self,
        user: UserId,
        metric: &str,
        times: TimeRange,
        kept: impl FnMut(Snapshot) -> Result<Vec<PointBatch>>,
    ) -> Result<()> {
        let metric = self.metrics.get(metric)?.id;
        let done = self.storage.delete_but(user, metric, times, kept);
        // Also after a failure: what is known may no longer hold.
        self.cache.forget(user, Some(metric));
        done
    }

    /// Plans read-only SQL over `points`, `latest`, `metrics`, limited to the rows of `statement.visible`. Nothing is read
    /// before the query runs.
    ///
    /// # Errors
    /// [`crate::Error::Statement`] with the planner's message, [`crate::Error::Budget`] for a bound that was hit.
    pub async fn prepare(&self, statement: Statement) -> Result<Query> {
        let latest = self.latest_of(Arc::clone(&statement.visible));
        self.sql.prepare(statement, latest).await
    }

    /// The columns that a statement gives, and those that it takes: its parameters, named `$1` …
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub async fn describe(&self, statement: Statement) -> Result<(SchemaRef, SchemaRef)> {
        let latest = self.latest_of(Arc::clone(&statement.visible));
        self.sql.describe(statement, latest).await
    }

    /// Does what belongs to a query in SQL on the threads of SQL, which step back before requests and the log: looking
    /// through a thousand grants, say. Stops it when the returned future is dropped.
    ///
    /// # Errors
    /// An internal one if the work panicked.
    pub async fn beside<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T> {
        self.sql.beside(work).await
    }

    /// Runs SQL without parameters; see [`Self::prepare`].
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub async fn sql(&self, visible: Arc<[UserId]>, sql: &str) -> Result<Pieces<RecordBatch>> {
        let statement = Statement { visible, sql: sql.to_owned(), params: Vec::new(), permit: None };
        Ok(self.prepare(statement).await?.batches())
    }

    /// All points of a user, metric by metric, to be read at the caller's own pace.
    ///
    /// # Errors
    /// As [`Storage::metric`].
    pub fn export(&self, user: UserId) -> Result<Export> {
        Export::new(&self.storage, &self.metrics, user)
    }

    /// A user's points of several metrics in the order of their times, with when each was accepted and whether it was
    /// corrected.
    ///
    /// # Errors
    /// [`crate::Error::UnknownMetric`].
    pub fn observe(&self, user: UserId, query: ObserveQuery) -> Result<Observations> {
        Observations::new(&self.storage, &self.metrics, user, query)
    }

    /// Stops taking points and closes the storage.
    pub fn close(&self) {
        self.storage.close();
    }

    fn latest_of(&self, users: Arc<[UserId]>) -> Latest {
        Latest {
            storage: Arc::clone(&self.storage),
            cache: Arc::clone(&self.cache),
            metrics: Arc::clone(&self.metrics),
            users,
            now_us: self.clock.now_us(),
        }
    }

    fn execute(&self, plan: Arc<dyn ExecutionPlan>) -> Result<SendableRecordBatchStream> {
        execute_stream(plan, Arc::clone(&self.task)).map_err(to_error)
    }
}

/// A time zone by its IANA name.
fn time_zone(name: &str) -> Result<TimeZone> {
    TimeZone::get(name).map_err(|_| {
        let loc = vec![Loc::Key("query"), Loc::Key("tz")];
        let msg = Cow::Borrowed("not a time zone of the IANA database, such as `Europe/Berlin`");
        Error::Invalid(vec![Fault { loc, msg, kind: FaultKind::Value }])
    })
}

#[cfg(test)]
mod tests;
