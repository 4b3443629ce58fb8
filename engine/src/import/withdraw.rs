//! Taking back points of one maker, where a deletion knows only times.

use arrow::array::{Array, ArrayAccessor as _, AsArray, DictionaryArray, StringArray};
use arrow::datatypes::{Float64Type, Int32Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use futures::StreamExt as _;
use storage::{PointBatch, Snapshot, TimeRange, UserId};
use tokio::runtime::Handle;

use super::Maker;
use super::batch::Collector;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::query::budget::to_error;
use crate::query::{WindowQuery, malformed, window};

/// Points of one batch that are stored again.
const BATCH_POINTS: usize = 16_384;

/// What is taken back.
#[derive(Debug, Clone, Copy)]
struct Withdrawal<'a> {
    user: UserId,
    metric: &'a str,
    moments: &'a [i64],
    maker: Maker<'a>,
}

/// What else is there.
#[derive(Debug, Default)]
struct Others {
    kept: Vec<PointBatch>,
    /// Points that are taken back.
    found: usize,
}

impl Engine {
    /// Deletes the points of a metric that one maker has at some moments (microseconds UTC, sorted). What else lies
    /// between the first and the last of them stays, whatever is killed when: it is stored again before anything is
    /// deleted. A write of the same identity that is accepted in just that step loses against the value that it replaces.
    ///
    /// Blocks; not for async code.
    ///
    /// # Errors
    /// As [`Engine::window`], [`Engine::delete`] and [`Engine::append`].
    pub fn withdraw(
        &self,
        runtime: &Handle,
        user: UserId,
        metric: &str,
        moments: &[i64],
        maker: Maker<'_>,
    ) -> Result<()> {
        let (Some(first), Some(last)) = (moments.first(), moments.last()) else { return Ok(()) };
        let times = TimeRange { start: *first, end: last.saturating_add(1) };
        let withdrawal = Withdrawal { user, metric, moments, maker };
        let others = |snapshot| runtime.block_on(self.others(snapshot, withdrawal, times));
        if others(self.storage().snapshot())?.found == 0 {
            return Ok(());
        }
        self.delete_but(user, metric, times, |snapshot| Ok(others(snapshot)?.kept))
    }

    async fn others(&self, snapshot: Snapshot, withdrawal: Withdrawal<'_>, times: TimeRange) -> Result<Others> {
        let Withdrawal { user, metric, .. } = withdrawal;
        let query = WindowQuery { metric: metric.to_owned(), times, source: None, limit: None, cursor: None };
        let mut batches = self.window_batches(snapshot, user, query)?;
        let (mut others, mut stay) = (Others::default(), self.collector());
        while let Some(batch) = batches.next().await {
            withdrawal.divide(&batch.map_err(to_error)?, &mut stay, &mut others)?;
        }
        others.kept.extend(stay.take(user)?);
        Ok(others)
    }
}

impl Withdrawal<'_> {
    /// Adds the points that stay, and counts those that do not.
    fn divide(&self, batch: &RecordBatch, stay: &mut Collector, others: &mut Others) -> Result<()> {
        let column = |nth: usize| batch.columns().get(nth);
        let times = column(window::RECORDED_AT).and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>());
        let times = times.ok_or_else(|| malformed("recorded_at"))?;
        let values = column(window::VALUE).and_then(|values| values.as_primitive_opt::<Float64Type>());
        let values = values.ok_or_else(|| malformed("value"))?;
        let texts = |nth: usize, what: &'static str| {
            let texts = column(nth).and_then(|texts| texts.as_dictionary_opt::<Int32Type>());
            texts.and_then(DictionaryArray::downcast_dict::<StringArray>).ok_or_else(|| malformed(what))
        };
        let (sources, devices) = (texts(window::SOURCE, "source")?, texts(window::DEVICE, "source_device_id")?);
        for row in 0..batch.num_rows() {
            let device = devices.is_valid(row).then(|| devices.value(row));
            let (at, maker) = (times.value(row), Maker { source: sources.value(row), device });
            if maker == self.maker && self.moments.binary_search(&at).is_ok() {
                others.found += 1;
            } else if stay.push(self.metric, values.value(row), at, maker).is_err() {
                // Only where the catalogue's bounds have become narrower since it was stored.
                return Err(Error::Storage(storage::Error::Batch { what: "a point beside it cannot be stored again" }));
            } else if stay.len() >= BATCH_POINTS {
                others.kept.extend(stay.take(self.user)?);
            }
        }
        Ok(())
    }
}
