//! Raw points of one user and metric, newest first.
//!
//! The storage reads ascending, so the window goes through slices of time from the newest to the oldest: each is read
//! whole, kept as batches, and given out backwards. A window of up to 62 days is one slice; longer ones begin with
//! that, and the width follows what was found: wider where points are sparse, narrower where a slice would hold more
//! than [`SLICE_ROWS_MAX`]. So memory is bounded whatever the window, and a limit stops early.
//!
//! Order: `recorded_at`, source, device, all descending, no device last. `source` filters what is left after dedup.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, AsArray, StringArray, TypedDictionaryArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Int32Type, SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{PlanProperties, SendableRecordBatchStream};
use futures::{StreamExt, stream};
use storage::{Columns, MetricId, Selection, Snapshot, TimeRange, UserId, Users};

use super::cursor::Position;
use super::leaf::{LeafExec, Source, external, properties};
use super::malformed;
use crate::time::DAY_US;

/// A window up to this wide is read in one slice.
const SLICE_US: i64 = 62 * DAY_US;
/// First slice where only so many points are wanted that a day can hold them.
const SHORT_SLICE_US: i64 = DAY_US;
/// Points that a day holds at one a minute.
const SHORT_LIMIT: usize = 1_440;
/// Most rows that a slice keeps; one with more is read again in narrower slices, unless it is a single microsecond.
const SLICE_ROWS_MAX: usize = 262_144;

/// Column of the time.
pub(crate) const RECORDED_AT: usize = 0;
/// Column of the value.
pub(crate) const VALUE: usize = 1;
/// Column of the source.
pub(crate) const SOURCE: usize = 2;
/// Column of the device.
pub(crate) const DEVICE: usize = 3;

const COLUMNS: Columns = Columns { user_id: false, source: true, source_device_id: true, acceptance: false };

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| COLUMNS.schema());

static PROPERTIES: LazyLock<Arc<PlanProperties>> = LazyLock::new(|| properties(Arc::clone(&SCHEMA), 1));

/// A window. The batches have the columns `recorded_at, value, source, source_device_id`.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    /// What exists.
    pub(crate) snapshot: Snapshot,
    /// The metric.
    pub(crate) metric: MetricId,
    /// Whose.
    pub(crate) user: UserId,
    /// When measured.
    pub(crate) times: TimeRange,
    /// Only this source.
    pub(crate) source: Option<String>,
    /// Only what comes behind this position.
    pub(crate) after: Option<Position>,
    /// At most this many rows.
    pub(crate) limit: Option<usize>,
}

/// The plan over [`Window`].
pub(crate) type WindowExec = LeafExec<Window>;

impl Window {
    /// The plan. Cost: one allocation.
    pub(crate) fn plan(self) -> Arc<WindowExec> {
        LeafExec::new(self, Arc::clone(&PROPERTIES))
    }

    fn select(&self, times: TimeRange) -> Selection {
        Selection { metric: self.metric, users: Users::One(self.user), times }
    }
}

impl Source for Window {
    const NAME: &'static str = "WindowExec";

    fn open(&self, _partition: usize) -> Result<SendableRecordBatchStream> {
        let walk = Walk::new(self.clone(), SLICE_ROWS_MAX);
        let batches = stream::try_unfold(walk, |mut walk| async move {
            let batch = walk.next().await.map_err(external)?;
            Ok(batch.map(|batch| (batch, walk)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&SCHEMA), batches)))
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "times={}..{}, limit={:?}", self.times.start, self.times.end, self.limit)
    }
}

/// The way through the slices.
#[derive(Debug)]
struct Walk {
    window: Window,
    /// What is left: slices are cut off its end. `None` before the first poll.
    left: Option<TimeRange>,
    width: i64,
    rows_left: usize,
    rows_max: usize,
    /// The current slice, ascending; given out from the back.
    slice: VecDeque<RecordBatch>,
}

impl Walk {
    fn new(window: Window, rows_max: usize) -> Self {
        let rows_left = window.limit.unwrap_or(usize::MAX);
        let width = if rows_left <= SHORT_LIMIT { SHORT_SLICE_US } else { SLICE_US };
        Self { window, left: None, width, rows_left, rows_max, slice: VecDeque::new() }
    }

    /// The next batch, newest first; `None` at the end.
    async fn next(&mut self) -> crate::Result<Option<RecordBatch>> {
        while self.rows_left > 0 {
            if let Some(batch) = self.slice.pop_back() {
                let batch = backwards(&batch, &self.window, self.rows_left)?;
                if batch.num_rows() > 0 {
                    self.rows_left -= batch.num_rows();
                    return Ok(Some(batch));
                }
            } else if !self.load().await? {
                break;
            }
        }
        Ok(None)
    }

    /// Reads the next slice; `false` if nothing is left.
    async fn load(&mut self) -> crate::Result<bool> {
        let Some(left) = self.left.or_else(|| self.bounds()) else { return Ok(false) };
        if left.start >= left.end {
            return Ok(false);
        }
        let slice = TimeRange { start: left.end.saturating_sub(self.width).max(left.start), end: left.end };
        let mut batches = self.window.snapshot.read(self.window.select(slice), COLUMNS);
        let mut rows = 0;
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            rows += batch.num_rows();
            self.slice.push_back(batch);
            if rows > self.rows_max && slice.end.saturating_sub(slice.start) > 1 {
                // Too dense: the same again, narrower.
                self.slice.clear();
                self.width = (slice.end.saturating_sub(slice.start) / 8).max(1);
                self.left = Some(left);
                return Ok(true);
            }
        }
        if rows < self.rows_max / 8 {
            self.width = self.width.saturating_mul(4);
        }
        self.left = Some(TimeRange { start: left.start, end: slice.start });
        Ok(true)
    }

    /// The part of the window that can hold points.
    fn bounds(&self) -> Option<TimeRange> {
        let TimeRange { start, mut end } = self.window.times;
        if let Some(after) = &self.window.after {
            end = end.min(after.recorded_at.saturating_add(1));
        }
        if start >= end {
            return None;
        }
        let (first, last) = self.window.snapshot.time_bounds(&self.window.select(TimeRange { start, end }))?;
        Some(TimeRange { start: start.max(first), end: end.min(last.saturating_add(1)) })
    }
}

/// The rows of a batch that the window wants, from the last to the first, at most `rows_max`.
fn backwards(batch: &RecordBatch, window: &Window, rows_max: usize) -> crate::Result<RecordBatch> {
    let times = batch.column(RECORDED_AT).as_primitive_opt::<TimestampMicrosecondType>();
    let times = times.ok_or_else(|| malformed("recorded_at"))?.values();
    let rows = 0..u32::try_from(batch.num_rows()).map_err(|_| malformed("rows of a batch"))?;
    // Behind the last position: everything earlier, and of its own time what sorts before it.
    let sure = match &window.after {
        Some(after) => times.partition_point(|time| *time < after.recorded_at),
        None => times.len(),
    };
    let rows: UInt32Array = if sure == times.len() && window.source.is_none() {
        rows.rev().take(rows_max).collect::<Vec<_>>().into()
    } else {
        let origin = Origin::new(batch, window.source.as_deref())?;
        let wanted = |row: &u32| {
            let row = *row as usize;
            origin.is_source_wanted(row)
                && (row < sure
                    || window.after.as_ref().is_some_and(|after| {
                        times.get(row) == Some(&after.recorded_at)
                            && origin.of(row) < (after.source.as_str(), after.device.as_deref())
                    }))
        };
        rows.rev().filter(wanted).take(rows_max).collect::<Vec<_>>().into()
    };
    take_record_batch(batch, &rows).map_err(|error| malformed(&error.to_string()))
}

/// Source and device of a batch's rows.
struct Origin<'a> {
    sources: TypedDictionaryArray<'a, Int32Type, StringArray>,
    devices: TypedDictionaryArray<'a, Int32Type, StringArray>,
    /// Per entry of the sources' dictionary.
    is_wanted: Option<Vec<bool>>,
}

impl<'a> Origin<'a> {
    fn new(batch: &'a RecordBatch, source: Option<&str>) -> crate::Result<Self> {
        let text = |column: usize, name: &'static str| {
            let array = batch.column(column).as_dictionary_opt::<Int32Type>();
            array.and_then(arrow::array::DictionaryArray::downcast_dict::<StringArray>).ok_or_else(|| malformed(name))
        };
        let (sources, devices) = (text(SOURCE, "source")?, text(DEVICE, "source_device_id")?);
        let is_wanted = source.map(|source| sources.values().iter().map(|entry| entry == Some(source)).collect());
        Ok(Self { sources, devices, is_wanted })
    }

    fn is_source_wanted(&self, row: usize) -> bool {
        let Some(is_wanted) = &self.is_wanted else { return true };
        let key = self.sources.keys().values().get(row).and_then(|key| usize::try_from(*key).ok());
        key.and_then(|key| is_wanted.get(key)).copied().unwrap_or(false)
    }

    fn of(&self, row: usize) -> (&'a str, Option<&'a str>) {
        (text_at(&self.sources, row).unwrap_or_default(), text_at(&self.devices, row))
    }
}

fn text_at<'a>(texts: &TypedDictionaryArray<'a, Int32Type, StringArray>, row: usize) -> Option<&'a str> {
    if texts.keys().is_null(row) {
        return None;
    }
    let key = texts.keys().values().get(row).and_then(|key| usize::try_from(*key).ok())?;
    (key < texts.values().len()).then(|| texts.values().value(key))
}

/// The place of a row, for the cursor.
pub(crate) fn position(batch: &RecordBatch, row: usize) -> crate::Result<Position> {
    let times = batch.column(RECORDED_AT).as_primitive_opt::<TimestampMicrosecondType>();
    let recorded_at = times.and_then(|times| times.values().get(row)).ok_or_else(|| malformed("recorded_at"))?;
    let (source, device) = Origin::new(batch, None)?.of(row);
    Ok(Position { recorded_at: *recorded_at, source: source.to_owned(), device: device.map(str::to_owned) })
}
