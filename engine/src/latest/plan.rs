//! The plan behind `latest`: one batch per user, from the cache where it knows.

use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, DictionaryArray, Float64Array, Int32Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{PlanProperties, SendableRecordBatchStream};
use futures::{FutureExt, StreamExt, stream};
use storage::schema::text_type;
use storage::{MetricId, Storage, UserId};

use super::cache::{LatestCache, Newest, Reading};
use super::scan;
use crate::query::leaf::{LeafExec, Source, external, properties};
use crate::query::metrics::Metrics;

/// Column of the metric's key.
pub(crate) const METRIC: usize = 0;
/// Column of the value.
pub(crate) const VALUE: usize = 2;
/// Column of the time.
pub(crate) const RECORDED_AT: usize = 4;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("metric", text_type(), false),
        Field::new("user_id", text_type(), false),
        Field::new("value", DataType::Float64, false),
        Field::new("unit", text_type(), false),
        Field::new("recorded_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
    ]))
});

static PROPERTIES: LazyLock<Arc<PlanProperties>> = LazyLock::new(|| properties(schema(), 1));

/// The schema of the batches.
pub(crate) fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// The newest point of every metric of some users, as of now: metrics in the catalogue's order, those without points
/// absent. One batch per user.
#[derive(Debug, Clone)]
pub(crate) struct Latest {
    /// Where to scan what the cache does not know.
    pub(crate) storage: Arc<Storage>,
    /// What is known.
    pub(crate) cache: Arc<LatestCache>,
    /// The catalogue's metrics.
    pub(crate) metrics: Arc<Metrics>,
    /// Whose.
    pub(crate) users: Arc<[UserId]>,
    /// The moment; microseconds UTC.
    pub(crate) now_us: i64,
}

/// The plan over [`Latest`].
pub(crate) type LatestExec = LeafExec<Latest>;

impl Latest {
    /// The plan. Cost: one allocation.
    pub(crate) fn plan(self) -> Arc<LatestExec> {
        LeafExec::new(self, Arc::clone(&PROPERTIES))
    }

    async fn of(self, user: UserId) -> Result<RecordBatch> {
        let ids = self.metrics.ids();
        let mut readings = Vec::with_capacity(ids.len());
        self.cache.look_up(user, ids, self.now_us, &mut readings);
        let mut points = Vec::with_capacity(ids.len());
        for (place, (metric, reading)) in ids.iter().zip(readings).enumerate() {
            let newest = match reading {
                Reading::Known(newest) => newest,
                Reading::Unknown => self.scan(user, *metric).await?,
            };
            points.extend(newest.map(|newest| (place, newest)));
        }
        batch(&self.metrics, user, &points)
    }

    async fn scan(&self, user: UserId, metric: MetricId) -> Result<Option<Newest>> {
        let token = self.cache.mark(user, metric, self.now_us);
        // Only now: what comes after the mark is added to it.
        let snapshot = self.storage.snapshot();
        let found = scan::newest(&snapshot, user, metric, self.now_us).await.map_err(external)?;
        if let Some(token) = token {
            self.cache.put_back(user, metric, token, found);
        }
        Ok(found.newest)
    }
}

/// The batch of one user: `points` with their place in the catalogue.
fn batch(metrics: &Metrics, user: UserId, points: &[(usize, Newest)]) -> Result<RecordBatch> {
    let places: Int32Array = points.iter().map(|(place, _)| i32::try_from(*place).unwrap_or_default()).collect();
    let dictionary = |keys: Int32Array, values: &ArrayRef| -> Result<ArrayRef> {
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, Arc::clone(values))?))
    };
    let of_user: ArrayRef = Arc::new(arrow::array::StringArray::from_iter_values([user.as_str()]));
    let values: Float64Array = points.iter().map(|(_, newest)| newest.value).collect::<Vec<_>>().into();
    let times: TimestampMicrosecondArray =
        points.iter().map(|(_, newest)| newest.recorded_at).collect::<Vec<_>>().into();
    Ok(RecordBatch::try_new(
        schema(),
        vec![
            dictionary(places.clone(), metrics.keys())?,
            dictionary(Int32Array::from(vec![0; points.len()]), &of_user)?,
            Arc::new(values),
            dictionary(places, metrics.units())?,
            Arc::new(times.with_timezone("UTC")),
        ],
    )?)
}

impl Source for Latest {
    const NAME: &'static str = "LatestExec";

    fn open(&self, _partition: usize) -> Result<SendableRecordBatchStream> {
        let source = self.clone();
        let batches: stream::BoxStream<'static, _> = if let [user] = *self.users {
            source.of(user).into_stream().boxed()
        } else {
            let users = Arc::clone(&self.users);
            let users = (0..users.len()).filter_map(move |at| users.get(at).copied());
            stream::iter(users).then(move |user| source.clone().of(user)).boxed()
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema(), batches)))
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "users={}", self.users.len())
    }
}
