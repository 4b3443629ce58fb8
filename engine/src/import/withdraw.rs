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
    points: &'a [Withdrawn],
    maker: Maker<'a>,
}

/// A point that is taken back, of a metric and a maker that are known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Withdrawn {
    /// Where it stands, microseconds UTC.
    pub at: i64,
    /// What it says; a point that says something else is somebody else's. `None` for whatever stands there.
    pub value: Option<f64>,
}

/// What else is there.
#[derive(Debug, Default)]
struct Others {
    kept: Vec<PointBatch>,
    /// Points that are taken back.
    found: usize,
}

impl Engine {
    /// Deletes some points of a metric that one maker has, given in the order of their moments. What else lies between the
    /// first and the last of them stays, whatever is killed when: it is stored again before anything is
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
        points: &[Withdrawn],
        maker: Maker<'_>,
    ) -> Result<()> {
        let (Some(first), Some(last)) = (points.first(), points.last()) else { return Ok(()) };
        let times = TimeRange { start: first.at, end: last.at.saturating_add(1) };
        let withdrawal = Withdrawal { user, metric, points, maker };
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
    fn names(&self, at: i64, value: f64, maker: Maker<'_>) -> bool {
        let from = self.points.partition_point(|point| point.at < at);
        let here = self.points.iter().skip(from).take_while(|point| point.at == at);
        maker == self.maker && here.into_iter().any(|point| point.value.is_none_or(|said| is_same(said, value)))
    }

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
            let (at, value, maker) =
                (times.value(row), values.value(row), Maker { source: sources.value(row), device });
            if self.names(at, value, maker) {
                others.found += 1;
            } else if stay.push(self.metric, value, at, maker).is_err() {
                // Only where the catalogue's bounds have become narrower since it was stored.
                return Err(Error::Storage(storage::Error::Batch { what: "a point beside it cannot be stored again" }));
            } else if stay.len() >= BATCH_POINTS {
                others.kept.extend(stay.take(self.user)?);
            }
        }
        Ok(())
    }
}

/// As it was stored: there is one zero.
fn is_same(said: f64, stored: f64) -> bool {
    (said + 0.0).to_bits() == stored.to_bits()
}
