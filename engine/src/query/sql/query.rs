//! A query that is planned, and its answer.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use storage::UserId;
use tokio::time::Instant;

use super::Bounds;
use super::output::{plain_batch, plain_schema};
use super::param::Param;
use super::pool::{Pieces, Pool};
use super::refusal::refused;
use crate::error::Result;
use crate::query::budget::{Bounded, too_slow};
use crate::render::table::{Encoder, Format};

/// The right to run, kept until nothing of a query runs any more.
pub type Permit = Arc<dyn Any + Send + Sync>;

/// Bytes of an encoded answer that are handed on at once.
const PIECE_BYTES: usize = 64 << 10;

/// A question.
#[derive(Clone)]
pub struct Statement {
    /// Whose rows there are; sorted, distinct.
    pub visible: Arc<[UserId]>,
    /// One statement that reads.
    pub sql: String,
    /// The values of `$1`, `$2` … or of each `?`.
    pub params: Vec<Param>,
    /// Kept until the query has ended, also where nobody waits for it any more.
    pub permit: Option<Permit>,
}

impl std::fmt::Debug for Statement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Statement").field("sql", &self.sql).finish_non_exhaustive()
    }
}

/// A query that is planned and has read nothing yet.
pub struct Query {
    pub(super) plan: Arc<dyn ExecutionPlan>,
    pub(super) context: Arc<TaskContext>,
    pub(super) pool: Arc<Pool>,
    pub(super) users: Arc<[UserId]>,
    pub(super) bounds: Bounds,
    /// What planning took of the time.
    pub(super) spent: Duration,
    pub(super) sql: Arc<str>,
    pub(super) permit: Option<Permit>,
}

impl std::fmt::Debug for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Query").field("sql", &self.sql).field("users", &self.users.len()).finish_non_exhaustive()
    }
}

impl Query {
    /// The columns of [`Self::batches`].
    pub fn schema(&self) -> SchemaRef {
        plain_schema(&self.plan.schema())
    }

    /// Whose rows the query can read: all who are visible, less those whom its own filters on `user_id` leave out.
    /// Nobody for one that reads no points.
    pub fn users(&self) -> &Arc<[UserId]> {
        &self.users
    }

    /// Keeps another permit until the query has ended, or none while it waits.
    pub fn hold(&mut self, permit: Option<Permit>) {
        self.permit = permit;
    }

    /// Runs it. Texts are plain columns. The stream ends with an error when it hits a bound; dropped, it ends the query.
    pub fn batches(self) -> Pieces<RecordBatch> {
        let (pool, schema) = (Arc::clone(&self.pool), self.schema());
        pool.pipe(move |outlet| async move {
            let Running { mut batches, sql, time, _permit } = self.begin()?;
            while let Some(batch) = batches.next().await {
                let batch = batch.map_err(|error| refused(error, &sql))?;
                let batch = plain_batch(&batch, &schema).map_err(|error| refused(error.into(), &sql))?;
                if !time.of(outlet.put(batch)).await? {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Runs it and writes the answer in a format, in pieces. The stream ends with an error when it hits a bound, which
    /// leaves a part of a document; dropped, it ends the query.
    pub fn encoded(self, format: Format) -> Pieces<Bytes> {
        let pool = Arc::clone(&self.pool);
        pool.pipe(move |outlet| async move {
            let plain = self.schema();
            let Running { mut batches, sql, time, _permit } = self.begin()?;
            let mut encoder = Encoder::new(format, &batches.schema(), &plain)?;
            while let Some(batch) = batches.next().await {
                let batch = batch.map_err(|error| refused(error, &sql))?;
                let batch = if encoder.wants_plain() {
                    plain_batch(&batch, &plain).map_err(|error| refused(error.into(), &sql))?
                } else {
                    batch
                };
                encoder.rows(&batch)?;
                let full = encoder.take(PIECE_BYTES);
                if !full.is_empty() && !time.of(outlet.put(full)).await? {
                    return Ok(());
                }
            }
            let rest = encoder.finish()?;
            if !rest.is_empty() {
                time.of(outlet.put(rest)).await?;
            }
            Ok(())
        })
    }

    fn begin(self) -> Result<Running> {
        let max = self.bounds.time_max;
        let time = Time { until: Instant::now() + max.saturating_sub(self.spent), max };
        let batches = execute_stream(self.plan, self.context).map_err(|error| refused(error, &self.sql))?;
        let batches = Box::pin(Bounded::new(batches, time.until, max, self.bounds.rows_max));
        Ok(Running { batches, sql: self.sql, time, _permit: self.permit })
    }
}

/// A query that runs.
struct Running {
    batches: SendableRecordBatchStream,
    sql: Arc<str>,
    time: Time,
    _permit: Option<Permit>,
}

/// The time that a query has.
#[derive(Debug, Clone, Copy)]
struct Time {
    until: Instant,
    max: Duration,
}

impl Time {
    /// Waits for a client, but no longer than the query may run: one that takes nothing keeps no place.
    async fn of<T>(self, taken: impl Future<Output = T>) -> Result<T> {
        tokio::time::timeout_at(self.until, taken).await.map_err(|_| too_slow(self.max))
    }
}
