//! Finds the newest point in a snapshot, newest slice of time first.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, TimestampMicrosecondType, TimestampMillisecondType};
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use storage::{Columns, MetricId, Selection, Snapshot, TimeRange, UserId, Users};

use super::cache::{Found, Newest};
use crate::error::Result;
use crate::query::malformed;
use crate::time::DAY_US;

/// The first slice is as wide as a month with room for points that are ahead of now; each next is twice as wide.
const FIRST_SLICE_US: i64 = 32 * DAY_US;

/// The newest point that is not later than `now_us`, and the earliest that is.
///
/// Of equal times the latest `accepted_at` wins; of those accepted in one group commit, whose order the storage does
/// not keep, the last by source and device.
///
/// # Errors
/// As [`Snapshot::read`].
pub(crate) async fn newest(snapshot: &Snapshot, user: UserId, metric: MetricId, now_us: i64) -> Result<Found> {
    let select = |times| Selection { metric, users: Users::One(user), times };
    let mut found = Found::NOTHING;
    let Some((first, last)) = snapshot.time_bounds(&select(TimeRange::ALL)) else { return Ok(found) };
    let columns = Columns { acceptance: true, ..Columns::default() };
    let mut end = last.saturating_add(1);
    let mut width = FIRST_SLICE_US;
    while found.newest.is_none() && end > first {
        let start = end.saturating_sub(width).max(first);
        let mut batches = snapshot.read(select(TimeRange { start, end }), columns);
        let mut accepted_at_ms = i64::MIN;
        while let Some(batch) = batches.next().await {
            add(&mut found, &mut accepted_at_ms, &batch?, now_us)?;
        }
        end = start;
        width = width.saturating_mul(2);
    }
    Ok(found)
}

/// Adds a batch, ascending in time.
fn add(found: &mut Found, accepted_at_ms: &mut i64, batch: &RecordBatch, now_us: i64) -> Result<()> {
    let [times, values, accepted, _corrected] = batch.columns() else { return Err(malformed("columns of a read")) };
    let times = times.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| malformed("recorded_at"))?.values();
    let values = values.as_primitive_opt::<Float64Type>().ok_or_else(|| malformed("value"))?;
    let accepted = accepted.as_primitive_opt::<TimestampMillisecondType>().ok_or_else(|| malformed("accepted_at"))?;
    let until = times.partition_point(|time| *time <= now_us);
    if let Some(pending) = times.get(until) {
        found.pending = found.pending.min(*pending);
    }
    let Some(last) = until.checked_sub(1).and_then(|last| times.get(last)) else { return Ok(()) };
    let from = times.partition_point(|time| time < last);
    if found.newest.is_none_or(|newest| newest.recorded_at < *last) {
        *accepted_at_ms = i64::MIN;
    }
    for ((value, accepted), _) in values.values().iter().zip(accepted.values()).zip(times).take(until).skip(from) {
        if *accepted >= *accepted_at_ms {
            *accepted_at_ms = *accepted;
            found.newest = Some(Newest { recorded_at: *last, value: *value });
        }
    }
    debug_assert!(values.null_count() == 0, "a run's values are never null");
    Ok(())
}
