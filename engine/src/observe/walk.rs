//! The way through one metric's points: slices of time, one after the other, each read whole from the storage.
//!
//! The storage reads ascending. A slice is kept as batches and given out from whichever end the order begins with, so that
//! memory is bounded and a reader who wants few points reads few. The width follows what was found.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use storage::{MetricId, Selection, Snapshot, TimeRange, UserId, Users};

use super::columns::{COLUMNS, ObservedColumns};
use super::{Candidate, Keep, ObserveQuery, Observed, Order};
use crate::error::Result;
use crate::query::malformed;
use crate::query::metrics::Entry;
use crate::time::DAY_US;

/// Shortest first slice.
const SLICE_US_MIN: i64 = DAY_US;
/// Longest first slice.
const SLICE_US_MAX: i64 = 31 * DAY_US;
/// What a first slice takes for each wanted point: watches measure every five minutes or more often, and a night on the
/// charger lies between. Two slices would read the same pages twice.
const POINT_US: i64 = DAY_US / 192;
/// Most rows that a slice keeps; one with more is read again in narrower slices, unless it is a single microsecond.
pub(super) const SLICE_ROWS_MAX: usize = 65_536;

/// One metric's points, from where the query begins.
pub(super) struct Walk {
    pub(super) metric: Arc<str>,
    snapshot: Snapshot,
    id: MetricId,
    user: UserId,
    order: Order,
    keep: Option<Keep>,
    /// What of the times is left; narrowed to what can hold points at the first read.
    left: TimeRange,
    is_bounded: bool,
    /// Of the points at the edge of `left` only those behind this source and device.
    edge: Option<(i64, String, Option<String>)>,
    width: i64,
    rows_max: usize,
    /// The current slice, ascending.
    slice: VecDeque<RecordBatch>,
}

impl Walk {
    pub(super) fn new(snapshot: Snapshot, user: UserId, entry: &Entry, query: &ObserveQuery) -> Self {
        let mut left = query.times;
        let mut edge = None;
        if let Some(after) = &query.after {
            let at = after.recorded_at;
            let includes_moment = match entry.key.as_ref().cmp(after.metric.as_str()) {
                std::cmp::Ordering::Equal => {
                    edge = Some((at, after.source.clone(), after.device.clone()));
                    true
                }
                // Of one moment the metrics come by their keys.
                std::cmp::Ordering::Greater => query.order == Order::Ascending,
                std::cmp::Ordering::Less => query.order == Order::Descending,
            };
            let behind = at.saturating_add(1);
            match query.order {
                Order::Ascending => left.start = left.start.max(if includes_moment { at } else { behind }),
                Order::Descending => left.end = left.end.min(if includes_moment { behind } else { at }),
            }
        }
        let rows = i64::try_from(query.rows_about).unwrap_or(i64::MAX);
        let width = rows.saturating_mul(POINT_US).clamp(SLICE_US_MIN, SLICE_US_MAX);
        Self {
            metric: Arc::clone(&entry.key),
            snapshot,
            id: entry.id,
            user,
            order: query.order,
            keep: query.keep.clone(),
            left,
            is_bounded: false,
            edge,
            width,
            rows_max: SLICE_ROWS_MAX,
            slice: VecDeque::new(),
        }
    }

    /// The next points; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Observed>> {
        loop {
            let batch = match self.order {
                Order::Ascending => self.slice.pop_front(),
                Order::Descending => self.slice.pop_back(),
            };
            if let Some(batch) = batch {
                let batch = self.wanted(batch)?;
                if batch.num_rows() > 0 {
                    return Ok(Some(Observed { metric: Arc::clone(&self.metric), batch, order: self.order }));
                }
            } else if !self.load().await? {
                return Ok(None);
            }
        }
    }

    /// Reads the next slice; `false` if nothing is left.
    async fn load(&mut self) -> Result<bool> {
        if !self.is_bounded {
            self.is_bounded = true;
            let Some((first, last)) = self.snapshot.time_bounds(&self.select(self.left)) else { return Ok(false) };
            let end = self.left.end.min(last.saturating_add(1));
            self.left = TimeRange { start: self.left.start.max(first), end };
        }
        let TimeRange { start, end } = self.left;
        if start >= end {
            return Ok(false);
        }
        let slice = match self.order {
            Order::Ascending => TimeRange { start, end: start.saturating_add(self.width).min(end) },
            Order::Descending => TimeRange { start: end.saturating_sub(self.width).max(start), end },
        };
        let mut batches = self.snapshot.read(self.select(slice), COLUMNS);
        let mut rows = 0;
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            rows += batch.num_rows();
            self.slice.push_back(batch);
            if rows > self.rows_max && slice.end.saturating_sub(slice.start) > 1 {
                // Too dense: the same again, narrower.
                self.slice.clear();
                self.width = (slice.end.saturating_sub(slice.start) / 8).max(1);
                return Ok(true);
            }
        }
        if rows < self.rows_max / 8 {
            self.width = self.width.saturating_mul(4);
        }
        self.left = match self.order {
            Order::Ascending => TimeRange { start: slice.end, end },
            Order::Descending => TimeRange { start, end: slice.start },
        };
        Ok(true)
    }

    /// The rows of a batch that are asked for.
    fn wanted(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let batch = self.behind_edge(batch)?;
        let Some(keep) = &self.keep else { return Ok(batch) };
        let columns = ObservedColumns::new(&batch, self.order)?;
        let is_kept = |row| {
            let (source, device) = columns.origin(row);
            let measured = columns.row(row)?;
            Some(keep(&Candidate { metric: &self.metric, source, device, measured }))
        };
        let rows: BooleanArray = (0..batch.num_rows()).map(|row| Some(is_kept(row).unwrap_or(false))).collect();
        if rows.true_count() == batch.num_rows() {
            return Ok(batch);
        }
        filter_record_batch(&batch, &rows).map_err(|error| malformed(&error.to_string()))
    }

    fn behind_edge(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let Some((at, source, device)) = &self.edge else { return Ok(batch) };
        let edge = (source.as_str(), device.as_deref());
        let columns = ObservedColumns::new(&batch, self.order)?;
        let (same, later) =
            (columns.times().partition_point(|time| time < at), columns.times().partition_point(|time| time <= at));
        let len = batch.num_rows();
        Ok(match self.order {
            Order::Ascending => {
                let first = (same..later).find(|row| columns.origin(*row) > edge).unwrap_or(later);
                batch.slice(first, len - first)
            }
            Order::Descending => {
                let end = (same..later).find(|row| columns.origin(*row) >= edge).unwrap_or(later);
                batch.slice(0, end)
            }
        })
    }

    fn select(&self, times: TimeRange) -> Selection {
        Selection { metric: self.id, users: Users::One(self.user), times }
    }
}
