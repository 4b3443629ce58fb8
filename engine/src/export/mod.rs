//! Everything that one person has measured, metric by metric, oldest first, whatever there is of it.
//!
//! All of it is read from one snapshot, so that it shows one moment. A snapshot has a longest life; an export that takes
//! longer takes a new one and goes on behind its last point: each point that is there all the while comes exactly once.
//!
//! The reads go through slices of time, so that memory is bounded: what is open at once is what overlaps a slice, and
//! of what is not in Parquet yet a slice is copied. The width follows what was found.
//!
//! Not here: windows and buckets (`crate::query`), and everything of a person that is no point.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use storage::{Columns, MetricId, PointStream, Selection, Snapshot, Storage, TimeRange, UserId, Users};

use crate::error::Result;
use crate::query::cursor::Position;
use crate::query::malformed;
use crate::query::metrics::Metrics;
use crate::query::window::{Origin, RECORDED_AT, position};
use crate::time::DAY_US;

/// First slice of a metric: a day holds 86,400 points at one a second.
const SLICE_US: i64 = DAY_US;
/// The next slice is wider if one held less than a quarter of this, narrower if it held more.
const SLICE_ROWS: usize = 262_144;

/// Those of a window's batches: `recorded_at, value, source, source_device_id`.
const COLUMNS: Columns = Columns { user_id: false, source: true, source_device_id: true, acceptance: false };

/// A metric that somebody may have points of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Its key.
    pub key: Arc<str>,
    /// Its canonical unit; `None` if the catalogue does not have the metric any more.
    pub unit: Option<Arc<str>>,
    /// Whether its values count something, and so print without `.0`.
    pub is_count: bool,
    id: MetricId,
}

/// All points of one person.
#[derive(Debug)]
pub struct Export {
    storage: Arc<Storage>,
    user: UserId,
    snapshot: Snapshot,
    series: Arc<[Series]>,
}

impl Export {
    /// Of what exists at this moment.
    ///
    /// # Errors
    /// As [`Storage::metric`].
    pub(crate) fn new(storage: &Arc<Storage>, metrics: &Metrics, user: UserId) -> Result<Self> {
        let snapshot = storage.snapshot();
        let series = |entry: &crate::query::metrics::Entry| Series {
            key: Arc::clone(&entry.key),
            unit: Some(Arc::clone(&entry.unit)),
            is_count: entry.is_count,
            id: entry.id,
        };
        let mut all: Vec<Series> = metrics.entries().iter().map(series).collect();
        // What the operator has taken out of the catalogue still belongs to the person.
        let mut ids: BTreeSet<MetricId> = snapshot.metrics().into_iter().collect();
        for file in snapshot.live_files() {
            ids.insert(storage.metric(&file.metric)?);
        }
        for id in ids.into_iter().filter(|id| !metrics.ids().contains(id)) {
            if let Some(key) = storage.metric_key(id) {
                all.push(Series { key, unit: None, is_count: false, id });
            }
        }
        Ok(Self { storage: Arc::clone(storage), user, snapshot, series: all.into() })
    }

    /// The metrics there are, whether or not the person has points of them: the catalogue's in its order, then others.
    pub fn series(&self) -> Arc<[Series]> {
        Arc::clone(&self.series)
    }

    /// The person's points of one metric. Nothing is read before the first [`Points::next`].
    pub fn points(&mut self, series: &Series) -> Points<'_> {
        Points {
            metric: series.id,
            left: None,
            width: SLICE_US,
            slice_rows: 0,
            stream: None,
            after: None,
            is_resumed: false,
            export: self,
        }
    }
}

/// One metric's points, oldest first.
pub struct Points<'a> {
    export: &'a mut Export,
    metric: MetricId,
    /// What is left behind the current slice; `None` before the bounds of the snapshot were looked at.
    left: Option<TimeRange>,
    width: i64,
    slice_rows: usize,
    stream: Option<PointStream>,
    /// The last point that was given.
    after: Option<Position>,
    /// A new snapshot was taken, and nothing was given since: what comes may begin with what was given before.
    is_resumed: bool,
}

impl std::fmt::Debug for Points<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Points").field("metric", &self.metric).field("left", &self.left).finish_non_exhaustive()
    }
}

impl Points<'_> {
    /// The next points, never none: columns `recorded_at, value, source, source_device_id`, at most 65,536 rows. `None`
    /// at the end.
    ///
    /// # Errors
    /// I/O; an expired snapshot, if a new one expires before anything could be read from it.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if self.stream.is_none() && !self.open_slice() {
                return Ok(None);
            }
            let Some(stream) = &mut self.stream else { return Ok(None) };
            match stream.next().await {
                Some(Ok(batch)) => {
                    if let Some(batch) = self.take(batch)? {
                        return Ok(Some(batch));
                    }
                }
                Some(Err(storage::Error::SnapshotExpired { .. })) if !self.is_resumed => self.renew(),
                Some(Err(error)) => return Err(error.into()),
                None => self.close_slice(),
            }
        }
    }

    /// What is new in a batch.
    fn take(&mut self, batch: RecordBatch) -> Result<Option<RecordBatch>> {
        self.slice_rows += batch.num_rows();
        let batch = match &self.after {
            Some(after) if self.is_resumed => behind(&batch, after)?,
            _ => batch,
        };
        let Some(last) = batch.num_rows().checked_sub(1) else { return Ok(None) };
        self.after = Some(position(&batch, last)?);
        self.is_resumed = false;
        Ok(Some(batch))
    }

    /// Takes a new snapshot, to go on behind the last point.
    fn renew(&mut self) {
        self.export.snapshot = self.export.storage.snapshot();
        self.stream = None;
        self.left = None;
        self.is_resumed = true;
    }

    /// Begins the next slice; `false` if nothing is left.
    fn open_slice(&mut self) -> bool {
        let Some(left) = self.left.or_else(|| self.bounds()) else { return false };
        if left.start >= left.end {
            return false;
        }
        let end = left.start.saturating_add(self.width).min(left.end);
        let slice = self.select(TimeRange { start: left.start, end });
        self.stream = Some(self.export.snapshot.read(slice, COLUMNS));
        self.left = Some(TimeRange { start: end, end: left.end });
        self.slice_rows = 0;
        true
    }

    fn close_slice(&mut self) {
        self.stream = None;
        if self.slice_rows < SLICE_ROWS / 4 {
            self.width = self.width.saturating_mul(4);
        } else if self.slice_rows > SLICE_ROWS {
            self.width = (self.width / 2).max(1);
        }
    }

    /// The times that can hold points which were not given yet.
    fn bounds(&self) -> Option<TimeRange> {
        let start = self.after.as_ref().map_or(i64::MIN, |after| after.recorded_at);
        let times = TimeRange { start, ..TimeRange::ALL };
        let (first, last) = self.export.snapshot.time_bounds(&self.select(times))?;
        Some(TimeRange { start: first, end: last.saturating_add(1) })
    }

    fn select(&self, times: TimeRange) -> Selection {
        Selection { metric: self.metric, users: Users::One(self.export.user), times }
    }
}

/// The rows of a batch that sort behind a position.
fn behind(batch: &RecordBatch, after: &Position) -> Result<RecordBatch> {
    let times = batch.column(RECORDED_AT).as_primitive_opt::<TimestampMicrosecondType>();
    let times = times.ok_or_else(|| malformed("recorded_at"))?.values();
    let (same, later) = (
        times.partition_point(|time| *time < after.recorded_at),
        times.partition_point(|time| *time <= after.recorded_at),
    );
    let origin = Origin::new(batch)?;
    let is_given = |row: usize| origin.of(row) <= (after.source.as_str(), after.device.as_deref());
    let first = (same..later).find(|row| !is_given(*row)).unwrap_or(later);
    Ok(batch.slice(first, batch.num_rows() - first))
}

#[cfg(test)]
mod tests;
