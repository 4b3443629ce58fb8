//! Taking back one point of one maker, where a deletion knows only times.

use arrow::array::{Array, ArrayAccessor as _, AsArray, DictionaryArray, StringArray};
use arrow::datatypes::{Float64Type, Int32Type};
use arrow::record_batch::RecordBatch;
use futures::StreamExt as _;
use storage::{TimeRange, UserId};

use super::Maker;
use super::batch::Collector;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::query::budget::to_error;
use crate::query::{WindowQuery, malformed, window};

impl Engine {
    /// Deletes the point of a metric that one maker has at a time. What other makers have at that microsecond is read
    /// before and stored again behind the deletion: a crash in between loses it.
    ///
    /// # Errors
    /// As [`Engine::window`], [`Engine::delete`] and [`Engine::append`].
    pub async fn withdraw(&self, user: UserId, metric: &str, at_us: i64, maker: Maker<'_>) -> Result<()> {
        let times = TimeRange { start: at_us, end: at_us.saturating_add(1) };
        let query = WindowQuery { metric: metric.to_owned(), times, source: None, limit: None, cursor: None };
        let mut batches = self.window_batches(user, query)?;
        let mut others = self.collector();
        let mut is_there = false;
        while let Some(batch) = batches.next().await {
            is_there |= keep_others(&batch.map_err(to_error)?, metric, at_us, maker, &mut others)?;
        }
        if !is_there {
            return Ok(());
        }
        self.delete(user, metric, times).await?;
        match others.take(user)? {
            Some(batch) => self.append(batch).await,
            None => Ok(()),
        }
    }
}

/// Adds the points of other makers; whether the maker's own is among them.
fn keep_others(
    batch: &RecordBatch,
    metric: &str,
    at_us: i64,
    maker: Maker<'_>,
    others: &mut Collector,
) -> Result<bool> {
    let column = |nth: usize| batch.columns().get(nth);
    let values = column(window::VALUE).and_then(|values| values.as_primitive_opt::<Float64Type>());
    let values = values.ok_or_else(|| malformed("value"))?;
    let texts = |nth: usize, what: &'static str| {
        let texts = column(nth).and_then(|texts| texts.as_dictionary_opt::<Int32Type>());
        texts.and_then(DictionaryArray::downcast_dict::<StringArray>).ok_or_else(|| malformed(what))
    };
    let (sources, devices) = (texts(window::SOURCE, "source")?, texts(window::DEVICE, "source_device_id")?);
    let mut is_there = false;
    for row in 0..batch.num_rows() {
        let device = devices.is_valid(row).then(|| devices.value(row));
        let found = Maker { source: sources.value(row), device };
        if found == maker {
            is_there = true;
        } else if others.push(metric, values.value(row), at_us, found).is_err() {
            // Only where the catalogue's bounds have become narrower since it was stored.
            return Err(Error::Storage(storage::Error::Batch { what: "a point beside it cannot be stored again" }));
        }
    }
    Ok(is_there)
}
