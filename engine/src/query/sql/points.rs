//! The table `points` of one caller: the rows of the people who may be seen, and no others, below everything else.

use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::{StreamExt, TryStreamExt, stream};
use storage::schema::text_type;
use storage::{Columns, Selection, TimeRange, UserId, Users};

use super::pushdown::Narrowed;
use super::slices::slices;
use super::tables::{Moment, Reach};
use crate::query::leaf::{LeafExec, Source, external, properties};
use crate::query::malformed;
use crate::query::metrics::Metrics;

/// From this many users on, one metric's read is split between partitions.
const SPLIT_USERS_MIN: usize = 16;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("metric", text_type(), false),
        Field::new("user_id", text_type(), false),
        Field::new("recorded_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        Field::new("value", DataType::Float64, false),
        Field::new("unit", text_type(), false),
        Field::new("source", text_type(), false),
        Field::new("source_device_id", text_type(), true),
    ]))
});

/// Where a column of the table comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Metric,
    UserId,
    RecordedAt,
    Value,
    Unit,
    Source,
    Device,
}

const ALL: [Column; 7] =
    [Column::Metric, Column::UserId, Column::RecordedAt, Column::Value, Column::Unit, Column::Source, Column::Device];

/// The points of `visible`.
#[derive(Debug)]
pub(super) struct PointsTable {
    /// What exists.
    pub(super) moment: Moment,
    /// The catalogue's metrics.
    pub(super) metrics: Arc<Metrics>,
    /// Whose rows there are; sorted, distinct.
    pub(super) visible: Arc<[UserId]>,
    /// Whom a plan reaches.
    pub(super) reach: Reach,
}

#[async_trait]
impl TableProvider for PointsTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&SCHEMA)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters.iter().map(|filter| Narrowed::grade(filter)).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let narrowed = Narrowed::by(filters);
        let columns: Vec<Column> = match projection {
            Some(places) => places.iter().filter_map(|place| ALL.get(*place).copied()).collect(),
            None => ALL.to_vec(),
        };
        let schema = match projection {
            Some(places) => Arc::new(SCHEMA.project(places)?),
            None => Arc::clone(&SCHEMA),
        };
        let users: Arc<[UserId]> = match &narrowed.users {
            Some(wanted) => self.visible.iter().filter(|user| wanted.contains(user.as_str())).copied().collect(),
            None => Arc::clone(&self.visible),
        };
        self.reach.add(&users).map_err(external)?;
        let is_wanted = |key: &str| narrowed.metrics.as_ref().is_none_or(|wanted| wanted.contains(key));
        let metrics = (0..).zip(self.metrics.entries()).filter(|(_, entry)| is_wanted(&entry.key));
        let metrics: Vec<i32> = metrics.map(|(place, _)| place).collect();
        let pieces = pieces(&metrics, &users, state.config().target_partitions().max(1));
        let properties = properties(Arc::clone(&schema), pieces.len());
        let points = Points {
            moment: self.moment.clone(),
            metrics: Arc::clone(&self.metrics),
            pieces,
            times: narrowed.times,
            columns: columns.into(),
            schema,
            counted: ExecutionPlanMetricsSet::new(),
        };
        Ok(LeafExec::new(points, properties))
    }
}

/// Shares the work between at most `partitions`: by metric, and where one metric is asked of many people, by person.
fn pieces(metrics: &[i32], users: &Arc<[UserId]>, partitions: usize) -> Vec<Vec<Piece>> {
    if users.is_empty() || metrics.is_empty() {
        return vec![Vec::new()];
    }
    let parts = if metrics.len() < partitions && users.len() >= SPLIT_USERS_MIN { partitions } else { 1 };
    let groups: Vec<Arc<[UserId]>> = users.chunks(users.len().div_ceil(parts)).map(Arc::from).collect();
    let mut shares = vec![Vec::new(); partitions.min(metrics.len() * groups.len())];
    let all = metrics.iter().flat_map(|metric| groups.iter().map(|users| (*metric, users)));
    let count = shares.len();
    for (nth, (metric, users)) in all.enumerate() {
        if let Some(share) = shares.get_mut(nth % count) {
            share.push(Piece { metric, users: Arc::clone(users) });
        }
    }
    shares
}

/// One read.
#[derive(Debug, Clone)]
struct Piece {
    /// Its place in the catalogue.
    metric: i32,
    users: Arc<[UserId]>,
}

/// The scan below a caller's query.
#[derive(Debug)]
struct Points {
    moment: Moment,
    metrics: Arc<Metrics>,
    /// Per partition.
    pieces: Vec<Vec<Piece>>,
    times: TimeRange,
    columns: Arc<[Column]>,
    schema: SchemaRef,
    counted: ExecutionPlanMetricsSet,
}

impl Source for Points {
    const NAME: &'static str = "PointsExec";

    fn open(&self, partition: usize) -> Result<SendableRecordBatchStream> {
        let wants = |column| self.columns.contains(&column);
        let columns = Columns {
            user_id: wants(Column::UserId),
            source: wants(Column::Source),
            source_device_id: wants(Column::Device),
            acceptance: false,
        };
        let (snapshot, times) = (self.moment.snapshot().clone(), self.times);
        let table = Table {
            metrics: Arc::clone(&self.metrics),
            read: columns.schema(),
            columns: Arc::clone(&self.columns),
            schema: Arc::clone(&self.schema),
        };
        let table = Arc::new(table);
        let rows = MetricBuilder::new(&self.counted).output_rows(partition);
        let pieces = self.pieces.get(partition).cloned().unwrap_or_default();
        let batches = stream::iter(pieces).flat_map(move |Piece { metric, users }| {
            let table = Arc::clone(&table);
            let Some(entry) = usize::try_from(metric).ok().and_then(|place| table.metrics.entries().get(place)) else {
                return stream::empty().boxed();
            };
            let (id, snapshot) = (entry.id, snapshot.clone());
            let slices = slices(snapshot.live_files(), &entry.key, &users, times);
            let batches = stream::iter(slices).flat_map(move |slice| {
                let users = match *slice.users {
                    [user] => Users::One(user),
                    _ => Users::Sorted(slice.users),
                };
                snapshot.read(Selection { metric: id, users, times: slice.times }, columns).map_err(external)
            });
            let rows = rows.clone();
            let counted = move |batch: RecordBatch| {
                rows.add(batch.num_rows());
                futures::future::ready(table.rows(&batch, metric))
            };
            batches.and_then(counted).boxed()
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.counted.clone_inner())
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>();
        write!(f, "columns=[{}], times={}..{}", columns.join(", "), self.times.start, self.times.end)
    }
}

/// The way from a batch of the storage to one of the table.
struct Table {
    metrics: Arc<Metrics>,
    /// Schema of the storage's batches.
    read: SchemaRef,
    columns: Arc<[Column]>,
    schema: SchemaRef,
}

impl Table {
    fn rows(&self, batch: &RecordBatch, metric: i32) -> Result<RecordBatch> {
        let stored = |name: &str| -> Result<&ArrayRef> {
            let place = self.read.index_of(name)?;
            batch.columns().get(place).ok_or_else(|| external(malformed(name)))
        };
        let constant = |values: &ArrayRef| -> Result<ArrayRef> {
            let value = values.slice(usize::try_from(metric).unwrap_or_default(), 1);
            let keys = Int32Array::from(vec![0; batch.num_rows()]);
            Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, value)?))
        };
        let columns = self.columns.iter().map(|column| match column {
            Column::Metric => constant(self.metrics.keys()),
            Column::Unit => constant(self.metrics.units()),
            Column::RecordedAt => stored("recorded_at").cloned(),
            Column::Value => stored("value").cloned(),
            Column::UserId => only_used(stored("user_id")?),
            Column::Source => only_used(stored("source")?),
            Column::Device => only_used(stored("source_device_id")?),
        });
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let columns = columns.collect::<Result<_>>()?;
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &rows)?)
    }
}

/// The same texts over a dictionary that holds no others: one read from a file can hold those of other people, and
/// dictionaries travel whole.
fn only_used(texts: &ArrayRef) -> Result<ArrayRef> {
    let texts = texts.as_dictionary_opt::<Int32Type>().ok_or_else(|| external(malformed("column of texts")))?;
    let mut place_of = vec![None; texts.values().len()];
    let mut used: Vec<i32> = Vec::new();
    let mut keys: Vec<Option<i32>> = Vec::with_capacity(texts.len());
    for key in texts.keys() {
        let Some(key) = key else {
            keys.push(None);
            continue;
        };
        let place = usize::try_from(key).ok().and_then(|key| place_of.get_mut(key));
        let place = place.ok_or_else(|| external(malformed("key of a text")))?;
        let at = *place.get_or_insert_with(|| {
            used.push(key);
            i32::try_from(used.len() - 1).unwrap_or_default()
        });
        keys.push(Some(at));
    }
    let values = take(texts.values(), &Int32Array::from(used), None)?;
    Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(Int32Array::from(keys), values)?))
}
