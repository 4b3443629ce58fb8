//! Raw points of one user and metric, newest first.
//!
//! The storage reads ascending, so the window goes through slices of time from the newest to the oldest: each is read
//! whole, kept as batches, and given out from the last to the first. A window of up to 62 days is one slice; longer ones begin with
//! that, and the width follows what was found: wider where points are sparse, narrower where a slice would hold more
//! than [`SLICE_ROWS_MAX`]. So memory is bounded whatever the window, and a limit stops early.
//!
//! Order: `recorded_at`, source, device, all descending, no device last. Batches come in this order; inside a batch the
//! rows ascend, as the storage gave them, and who reads them goes from the last to the first: turning them round would
//! copy every column. `source` filters what is left after dedup.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, AsArray, BooleanArray, StringArray, TypedDictionaryArray};
use arrow::compute::filter_record_batch;
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

/// A window. The batches have the columns `recorded_at, value, source, source_device_id`; newest batch first, rows
/// ascending in each.
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

    /// The next batch, earlier than those before; `None` at the end.
    async fn next(&mut self) -> crate::Result<Option<RecordBatch>> {
        while self.rows_left > 0 {
            if let Some(batch) = self.slice.pop_back() {
                let batch = select(&batch, &self.window, self.rows_left)?;
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

/// The rows of a batch that the window wants, at most `rows_max`, the latest.
fn select(batch: &RecordBatch, window: &Window, rows_max: usize) -> crate::Result<RecordBatch> {
    let mut found = match &window.after {
        Some(after) => batch.slice(0, rows_before(batch, after)?),
        None => batch.clone(),
    };
    if let Some(source) = &window.source {
        let origin = Origin::new(&found)?;
        let is_wanted: Vec<bool> = origin.sources.values().iter().map(|entry| entry == Some(source)).collect();
        if !is_wanted.iter().all(|is_wanted| *is_wanted) {
            let keys = origin.sources.keys().values().iter();
            let is_wanted = |key: &i32| usize::try_from(*key).ok().and_then(|key| is_wanted.get(key)).copied();
            let rows: BooleanArray = keys.map(|key| Some(is_wanted(key).unwrap_or(false))).collect();
            found = filter_record_batch(&found, &rows).map_err(|error| malformed(&error.to_string()))?;
        }
    }
    let surplus = found.num_rows().saturating_sub(rows_max);
    Ok(if surplus > 0 { found.slice(surplus, rows_max) } else { found })
}

/// How many rows of a batch come behind a position in the window's order: those that sort before it.
fn rows_before(batch: &RecordBatch, position: &Position) -> crate::Result<usize> {
    let times = times(batch)?;
    let start = times.partition_point(|time| *time < position.recorded_at);
    let origin = Origin::new(batch)?;
    let place = (position.source.as_str(), position.device.as_deref());
    let same = times.iter().enumerate().skip(start).take_while(|(_, time)| **time == position.recorded_at);
    Ok(start + same.take_while(|(row, _)| origin.of(*row) < place).count())
}

fn times(batch: &RecordBatch) -> crate::Result<&[i64]> {
    let times = batch.column(RECORDED_AT).as_primitive_opt::<TimestampMicrosecondType>();
    Ok(times.ok_or_else(|| malformed("recorded_at"))?.values())
}

/// Source and device of a batch's rows.
pub(crate) struct Origin<'a> {
    sources: TypedDictionaryArray<'a, Int32Type, StringArray>,
    devices: TypedDictionaryArray<'a, Int32Type, StringArray>,
}

impl<'a> Origin<'a> {
    /// Of a batch of [`Window`]'s columns.
    ///
    /// # Errors
    /// A batch of another shape.
    pub(crate) fn new(batch: &'a RecordBatch) -> crate::Result<Self> {
        let text = |column: usize, name: &'static str| {
            let array = batch.column(column).as_dictionary_opt::<Int32Type>();
            array.and_then(arrow::array::DictionaryArray::downcast_dict::<StringArray>).ok_or_else(|| malformed(name))
        };
        Ok(Self { sources: text(SOURCE, "source")?, devices: text(DEVICE, "source_device_id")? })
    }

    /// Of a row; the empty source, which no point has, where there is no such row.
    pub(crate) fn of(&self, row: usize) -> (&'a str, Option<&'a str>) {
        (text_at(&self.sources, row).unwrap_or_default(), text_at(&self.devices, row))
    }

    /// Whether two rows have the same source and device, by their keys alone: `false` may be wrong where a dictionary
    /// holds a text twice.
    pub(crate) fn is_same(&self, a: usize, b: usize) -> bool {
        let is_same = |texts: &TypedDictionaryArray<'a, Int32Type, StringArray>| match (
            texts.keys().is_null(a),
            texts.keys().is_null(b),
        ) {
            (false, false) => texts.keys().values().get(a) == texts.keys().values().get(b),
            (a_is_null, b_is_null) => a_is_null == b_is_null,
        };
        is_same(&self.sources) && is_same(&self.devices)
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
    let recorded_at = *times(batch)?.get(row).ok_or_else(|| malformed("recorded_at"))?;
    let (source, device) = Origin::new(batch)?.of(row);
    Ok(Position { recorded_at, source: source.to_owned(), device: device.map(str::to_owned) })
}
