//! Figures per bucket of one user and metric, newest bucket first.
//!
//! Points come ascending and sorted, so a bucket is a stretch of rows: its end is found by binary search, its figures
//! by loops over slices, and no row is looked at twice. Long windows of narrow buckets go through slices of time from
//! the newest to the oldest, cut where a bucket begins, so that at most [`BUCKETS_MAX`] are held at once.

pub(crate) mod figures;
pub(crate) mod grid;

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, StringArray, TimestampMicrosecondArray};
use arrow::compute::filter;
use arrow::datatypes::{
    DataType, Field, Float64Type, Int32Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, stream};
use jiff::tz::TimeZone;
use storage::{Columns, MetricId, Selection, Snapshot, TimeRange, UserId, Users};

use self::figures::{Figures, Needs};
use self::grid::{Bucket, Grid};
use super::leaf::{LeafExec, Source, external, properties};
use super::{Aggregate, BucketWidth, malformed};
use crate::time::{DAY_US, HOUR_US, MINUTE_US};

/// Most buckets of the narrow widths that one slice of time can have, or nearly: a slice ends where a bucket begins.
const BUCKETS_MAX: i64 = 16_384;

/// Column of a bucket's first moment; the figures follow in the order asked.
pub(crate) const START: usize = 0;

/// A question for buckets. The batches have `start` and one column per figure, null where it is not defined.
#[derive(Debug, Clone)]
pub(crate) struct Buckets {
    /// What exists.
    pub(crate) snapshot: Snapshot,
    /// The metric.
    pub(crate) metric: MetricId,
    /// Whose.
    pub(crate) user: UserId,
    /// When measured: points outside do not count, even where their bucket is there.
    pub(crate) times: TimeRange,
    /// Only this source.
    pub(crate) source: Option<String>,
    /// How wide.
    pub(crate) width: BucketWidth,
    /// Whose days.
    pub(crate) tz: TimeZone,
    /// Which figures, in this order.
    pub(crate) aggregates: Arc<[Aggregate]>,
}

/// The plan over [`Buckets`].
pub(crate) type BucketExec = LeafExec<Buckets>;

impl Buckets {
    /// The plan.
    pub(crate) fn plan(self) -> Arc<BucketExec> {
        let properties = properties(self.schema(), 1);
        LeafExec::new(self, properties)
    }

    fn schema(&self) -> SchemaRef {
        let start = Field::new("start", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false);
        let figures = self.aggregates.iter().map(|figure| Field::new(figure.as_str(), DataType::Float64, true));
        Arc::new(Schema::new(std::iter::once(start).chain(figures).collect::<Vec<_>>()))
    }

    fn select(&self, times: TimeRange) -> Selection {
        Selection { metric: self.metric, users: Users::One(self.user), times }
    }

    /// How long a slice may be.
    fn slice_us(&self) -> i64 {
        let bucket_us = match self.width {
            BucketWidth::QuarterHour => 15 * MINUTE_US,
            BucketWidth::Hour => HOUR_US,
            BucketWidth::Day | BucketWidth::Week | BucketWidth::Month => DAY_US,
        };
        bucket_us * BUCKETS_MAX
    }
}

impl Source for Buckets {
    const NAME: &'static str = "BucketExec";

    fn open(&self, _partition: usize) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let walk = Walk { question: self.clone(), schema: Arc::clone(&schema), left: None };
        let batches = stream::try_unfold(walk, |mut walk| async move {
            let batch = walk.next().await.map_err(external)?;
            Ok(batch.map(|batch| (batch, walk)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "times={}..{}, width={:?}", self.times.start, self.times.end, self.width)
    }
}

/// The way through the slices.
struct Walk {
    question: Buckets,
    schema: SchemaRef,
    /// What is left: slices are cut off its end. `None` before the first poll.
    left: Option<TimeRange>,
}

impl Walk {
    /// The buckets of the next slice that has any; `None` at the end.
    async fn next(&mut self) -> crate::Result<Option<RecordBatch>> {
        let Some(mut left) = self.left.or_else(|| self.bounds()) else { return Ok(None) };
        while left.start < left.end {
            let mut grid = Grid::new(self.question.width, self.question.tz.clone());
            let wanted = left.end.saturating_sub(self.question.slice_us());
            let start =
                if wanted <= left.start { left.start } else { bucket_of(&mut grid, wanted)?.start.max(left.start) };
            let slice = TimeRange { start, end: left.end };
            left.end = start;
            self.left = Some(left);
            let rows = self.slice(grid, slice).await?;
            if !rows.starts.is_empty() {
                return Ok(Some(rows.into_batch(Arc::clone(&self.schema))?));
            }
        }
        Ok(None)
    }

    fn bounds(&self) -> Option<TimeRange> {
        let TimeRange { start, end } = self.question.times;
        if start >= end {
            return None;
        }
        let (first, last) = self.question.snapshot.time_bounds(&self.question.select(self.question.times))?;
        Some(TimeRange { start: start.max(first), end: end.min(last.saturating_add(1)) })
    }

    async fn slice(&self, grid: Grid, times: TimeRange) -> crate::Result<Rows> {
        let question = &self.question;
        let columns = Columns { source: question.source.is_some(), ..Columns::default() };
        let mut batches = question.snapshot.read(question.select(times), columns);
        let mut fold = Fold::new(grid, &question.aggregates);
        while let Some(batch) = batches.next().await {
            let (times, values) = columns_of(&batch?, question.source.as_deref())?;
            let times = times.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| malformed("recorded_at"))?;
            let values = values.as_primitive_opt::<Float64Type>().ok_or_else(|| malformed("value"))?;
            fold.add(times.values(), values.values())?;
        }
        fold.finish_bucket();
        Ok(fold.rows)
    }
}

/// Times and values of a batch, only of `source` if one is given.
fn columns_of(batch: &RecordBatch, source: Option<&str>) -> crate::Result<(ArrayRef, ArrayRef)> {
    let (times, values) = (Arc::clone(batch.column(0)), Arc::clone(batch.column(1)));
    let Some(source) = source else { return Ok((times, values)) };
    let sources = batch.column(2).as_dictionary_opt::<Int32Type>();
    let sources = sources.and_then(arrow::array::DictionaryArray::downcast_dict::<StringArray>);
    let sources = sources.ok_or_else(|| malformed("source"))?;
    let wanted: Vec<bool> = sources.values().iter().map(|entry| entry == Some(source)).collect();
    if wanted.iter().all(|is_wanted| *is_wanted) {
        return Ok((times, values));
    }
    let is_wanted = |key: &i32| usize::try_from(*key).ok().and_then(|key| wanted.get(key)).copied().unwrap_or(false);
    let mask = sources.keys().values().iter().map(|key| Some(is_wanted(key))).collect();
    let only = |column: &ArrayRef| filter(column, &mask).map_err(|error| malformed(&error.to_string()));
    Ok((only(&times)?, only(&values)?))
}

fn bucket_of(grid: &mut Grid, at_us: i64) -> crate::Result<Bucket> {
    grid.bucket_of(at_us).map_err(|error| malformed(&error.to_string()))
}

/// Buckets made so far, oldest first.
struct Rows {
    starts: Vec<i64>,
    figures: Vec<Vec<Option<f64>>>,
}

impl Rows {
    /// Newest first.
    fn into_batch(self, schema: SchemaRef) -> crate::Result<RecordBatch> {
        let starts = TimestampMicrosecondArray::from_iter_values(self.starts.into_iter().rev()).with_timezone("UTC");
        let mut columns: Vec<ArrayRef> = vec![Arc::new(starts)];
        for figures in self.figures {
            columns.push(Arc::new(figures.into_iter().rev().collect::<Float64Array>()));
        }
        RecordBatch::try_new(schema, columns).map_err(|error| malformed(&error.to_string()))
    }
}

/// Points going by, ascending, across batches.
struct Fold<'a> {
    grid: Grid,
    aggregates: &'a [Aggregate],
    figures: Figures,
    bucket: Option<Bucket>,
    rows: Rows,
}

impl<'a> Fold<'a> {
    fn new(grid: Grid, aggregates: &'a [Aggregate]) -> Self {
        let rows = Rows { starts: Vec::new(), figures: vec![Vec::new(); aggregates.len()] };
        Self { grid, aggregates, figures: Figures::new(Needs::of(aggregates)), bucket: None, rows }
    }

    fn add(&mut self, mut times: &[i64], mut values: &[f64]) -> crate::Result<()> {
        while let Some(first) = times.first() {
            let bucket = match self.bucket {
                Some(bucket) if *first < bucket.end => bucket,
                _ => {
                    self.finish_bucket();
                    let bucket = bucket_of(&mut self.grid, *first)?;
                    self.bucket = Some(bucket);
                    bucket
                }
            };
            let inside = times.partition_point(|time| *time < bucket.end);
            let (Some((_, later)), Some((now, rest))) =
                (times.split_at_checked(inside), values.split_at_checked(inside))
            else {
                return Err(malformed("columns of different length"));
            };
            self.figures.add(now);
            (times, values) = (later, rest);
        }
        Ok(())
    }

    fn finish_bucket(&mut self) {
        let Some(bucket) = self.bucket.take().filter(|_| self.figures.count() > 0) else { return };
        self.rows.starts.push(bucket.start);
        for (column, aggregate) in self.rows.figures.iter_mut().zip(self.aggregates) {
            column.push(self.figures.get(*aggregate));
        }
        self.figures.clear();
    }
}
